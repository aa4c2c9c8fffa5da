//! Running tasks in workers that another process made: all that is needed is in their targets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;

use super::docker::{DockerExecutor, HostEntry};
use super::exec::{ExecError, Executor, Find};
use super::pod::PodExecutor;
use super::process::ProcessExecutor;
use crate::api::RuntimeKind;
use crate::api::dispatch::Target;

/// What names an engine: the host, and the words of a target before the container.
type Engine = (Option<String>, Vec<String>);

/// Runs tasks in the workers of any runtime.
pub struct Reach {
    pods: PodExecutor,
    engines: Mutex<BTreeMap<Engine, Arc<DockerExecutor>>>,
    /// Docker hosts that are known here.
    hosts: Vec<HostEntry>,
}

impl Reach {
    /// With the rights of this client where workers are Pods, and with these Docker hosts.
    pub fn new(client: Client, hosts: Vec<HostEntry>) -> Self {
        Self { pods: PodExecutor::new(client), engines: Mutex::default(), hosts }
    }

    fn engine(&self, target: &Target) -> Result<Arc<DockerExecutor>, ExecError> {
        let words = target.argv.iter().filter(|word| **word != target.id).cloned().collect();
        let key = (target.host.clone(), words);
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&key) {
            return Ok(engine.clone());
        }
        let made = DockerExecutor::reaching(target, &self.hosts).map_err(|e| ExecError::Worker(e.to_string()))?;
        Ok(engines.entry(key).or_insert(Arc::new(made)).clone())
    }
}

impl Find for Reach {
    fn of(&self, target: &Target) -> Result<Arc<dyn Executor>, ExecError> {
        match target.runtime {
            RuntimeKind::Process => Ok(Arc::new(ProcessExecutor)),
            RuntimeKind::Docker => Ok(self.engine(target)?),
            RuntimeKind::Pod => Ok(Arc::new(self.pods.clone())),
        }
    }
}
