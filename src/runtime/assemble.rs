//! From a configuration to the runtimes, and to what runs tasks in their workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;

use super::config::RuntimeConfig;
use super::docker::{DockerOptions, DockerRuntime, EndpointError};
use super::exec::{ExecError, Executor, Find};
use super::pod::PodRuntime;
use super::process::{ProcessExecutor, ProcessOptions, ProcessRuntime};
use super::{Runtime, RuntimeError};
use crate::api::RuntimeKind;
use crate::api::dispatch::Target;

/// Why the runtimes cannot be made.
#[derive(thiserror::Error, Debug)]
pub enum AssembleError {
    /// The address of a Docker host is not known or cannot be used.
    #[error("runtime Docker: {0}")]
    Docker(#[source] EndpointError),
    /// The directory of runtime Process cannot be used.
    #[error("runtime Process: {0}")]
    Process(#[source] RuntimeError),
    /// Runtime Process has no directory.
    #[error("runtime Process needs a directory")]
    NoRunDir,
    /// Runtime Pod has no cluster.
    #[error("runtime Pod needs a cluster")]
    NoCluster,
}

/// What a configuration gave.
pub struct Assembled {
    /// The runtimes, in the order of the configuration.
    pub runtimes: Vec<Arc<dyn Runtime>>,
    /// What runs tasks in their workers.
    pub executors: Executors,
    /// The Docker runtime once more, for what the trait does not have: probing it, and removing leftovers.
    pub docker: Option<Arc<DockerRuntime>>,
    /// The Process runtime once more: which programs its workers are made of.
    pub process: Option<Arc<ProcessRuntime>>,
}

/// Makes the runtimes of a configuration. `client` reaches the cluster of runtime Pod.
///
/// # Errors
/// One cannot be made.
pub async fn assemble(config: &RuntimeConfig, client: Option<&Client>) -> Result<Assembled, AssembleError> {
    let mut made = Assembled { runtimes: Vec::new(), executors: Executors::default(), docker: None, process: None };
    for kind in &config.kinds {
        let installation = config.installation.clone();
        match kind {
            RuntimeKind::Docker => {
                let options = DockerOptions {
                    hosts: config.docker_hosts.clone(),
                    installation,
                    owner_process: config.owner_process.clone(),
                };
                let runtime = DockerRuntime::new(options).map_err(AssembleError::Docker)?;
                let runtime = Arc::new(runtime.with_credentials(config.credentials.clone()));
                config.engine_gate.iter().for_each(|gate| runtime.set_gate(gate));
                made.executors.add(*kind, Arc::new(runtime.executor()));
                made.docker = Some(runtime.clone());
                made.runtimes.push(runtime);
            }
            RuntimeKind::Process => {
                let run_dir = config.run_dir.clone().ok_or(AssembleError::NoRunDir)?;
                let mut options = ProcessOptions::new(run_dir, installation);
                options.owner_grace = config.owner_grace.unwrap_or(options.owner_grace);
                options.binary = config.binary.clone();
                options.inherited = config.inherited.clone();
                options.credentials = config.credentials.clone();
                let runtime = Arc::new(ProcessRuntime::new(options).await.map_err(AssembleError::Process)?);
                made.process = Some(runtime.clone());
                made.executors.add(*kind, Arc::new(ProcessExecutor));
                made.runtimes.push(runtime);
            }
            RuntimeKind::Pod => {
                let client = client.ok_or(AssembleError::NoCluster)?.clone();
                let runtime = PodRuntime::new(client, installation, config.namespace.clone());
                let runtime = runtime.with_helper(config.helper_image.clone());
                let runtime = if config.drain_protection { runtime.protecting() } else { runtime };
                made.runtimes.push(Arc::new(runtime));
            }
        }
    }
    Ok(made)
}

/// The executors of several runtimes as one: each target says which runtime it belongs to.
#[derive(Clone, Default)]
pub struct Executors(BTreeMap<RuntimeKind, Arc<dyn Executor>>);

impl Executors {
    /// Adds the executor of one runtime.
    pub fn add(&mut self, kind: RuntimeKind, executor: Arc<dyn Executor>) {
        self.0.insert(kind, executor);
    }
}

impl Find for Executors {
    fn of(&self, target: &Target) -> Result<Arc<dyn Executor>, ExecError> {
        let missing = || ExecError::Worker(format!("tasks cannot be run in workers of runtime {}", target.runtime));
        self.0.get(&target.runtime).cloned().ok_or_else(missing)
    }
}
