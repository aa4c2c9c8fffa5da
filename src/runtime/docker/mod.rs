//! Workers as containers of Docker Engines.
//!
//! The labels on the containers are the only record. Only the engine's answers are believed: an event is a reason to
//! ask.
//!
//! | file | subject |
//! |---|---|
//! | `endpoint` | where an engine is: addresses, `DOCKER_HOST`, contexts, the default socket |
//! | `hosts_file` | the hosts of a person or an installation: `hosts.yaml` |
//! | `transport` | connections to an engine: plain ones, with TLS, by ssh |
//! | `host` | one engine, the connection to it, and turns of requests about one name |
//! | `engine_error` | why a request failed, and whether it may have had an effect |
//! | `container` | from an [`InstanceSpec`] to the request that creates a container: mounts, limits, labels |
//! | `quantity` | Kubernetes quantities as numbers |
//! | `image` | pulls, which starts share |
//! | `start`, `stop` | making an instance, and removing it |
//! | `pause` | making the processes of a container stand still, and go on |
//! | `instance` | from an inspected container to an [`Instance`], with its last output |
//! | `observe` | following an engine: listings and events |
//! | `exec` | running a task in a container |
//! | `login` | containers with a login directory: one at a time, and whose user |
//! | `target` | how a task reaches a container |
//! | `logs` | what a container's command printed |
//! | `result` | the result file of a task |
//! | `owner`, `sweep` | the process of a local run, and removing what dead runs left |

mod container;
mod endpoint;
mod engine_error;
mod exec;
mod gate;
mod host;
pub mod hosts_file;
mod image;
mod instance;
mod login;
mod logs;
mod observe;
mod owner;
mod pause;
mod quantity;
mod result;
mod start;
mod stop;
mod sweep;
mod target;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};

pub use endpoint::{Address, DEFAULT_SOCKET, Endpoint, EndpointError, TlsFiles};
pub use exec::Input;
pub use gate::EngineGate;
pub use host::HostOptions;
pub use hosts_file::{HostEntry, HostsError};
pub use owner::{NoProcess, OwnerProcess};
pub use target::named;

use self::host::Host;
use super::credentials::{Resolver, remove_value_file};
use super::exec::{ExecError, Executor, Output, Running, Task};
use super::{
    Instance, InstanceKey, InstanceSpec, InstanceState, LOCAL_HOST, Observation, Runtime, RuntimeError, StartError,
};
use crate::api::RuntimeKind;
use crate::api::dispatch::Target;

/// How to make a [`DockerRuntime`].
#[derive(Clone, Debug)]
pub struct DockerOptions {
    /// The hosts. One called `local` is added, at the address that `docker` would use, if none is.
    pub hosts: Vec<HostOptions>,
    /// Id of the installation that owns the containers. Containers of others are not seen.
    pub installation: String,
    /// With a local run: its process. A later run may remove what it leaves behind.
    pub owner_process: Option<OwnerProcess>,
}

/// The engines, by the name of their host.
#[derive(Clone)]
struct Hosts(Arc<BTreeMap<String, Arc<Host>>>);

impl Hosts {
    fn new(options: Vec<HostOptions>) -> Result<Self, EndpointError> {
        let mut hosts = BTreeMap::new();
        let local = HostOptions { name: LOCAL_HOST.to_owned(), endpoint: None };
        let var = |name: &str| std::env::var(name).ok();
        // The last of a name wins, so what is given replaces what is added.
        for HostOptions { name, endpoint } in std::iter::once(local).chain(options) {
            let explicit = endpoint.is_some();
            hosts.insert(name, (endpoint, explicit));
        }
        let connect = |(name, (endpoint, explicit)): (String, (Option<Endpoint>, bool))| {
            let (endpoint, explicit) = match endpoint {
                Some(endpoint) => (endpoint, explicit),
                None => {
                    let found = Endpoint::find(var)?;
                    let explicit = found != Endpoint::of_docker(var)?;
                    (found, explicit)
                }
            };
            Ok((name.clone(), Arc::new(Host::new(name, endpoint, explicit))))
        };
        Ok(Self(Arc::new(hosts.into_iter().map(connect).collect::<Result<_, _>>()?)))
    }

    fn get(&self, name: &str) -> Result<&Arc<Host>, String> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            format!("no Docker host is called {name:?}; the configuration has {}", known.join(", "))
        })
    }

    fn of(&self, target: &Target) -> Result<Arc<Host>, ExecError> {
        self.get(target.host.as_deref().unwrap_or(LOCAL_HOST)).cloned().map_err(ExecError::Worker)
    }
}

/// Makes workers on Docker Engines.
pub struct DockerRuntime {
    hosts: Hosts,
    owner: container::Owner,
    credentials: Resolver,
}

impl DockerRuntime {
    /// Finds the engines. Connects to none yet.
    ///
    /// # Errors
    /// If the address of one cannot be found or is not supported.
    pub fn new(options: DockerOptions) -> Result<Self, EndpointError> {
        let owner = container::Owner {
            installation: options.installation,
            process: options.owner_process.map(|process| process.to_string()),
        };
        Ok(Self { hosts: Hosts::new(options.hosts)?, owner, credentials: Resolver::default() })
    }

    /// Finds the values of credentials so, and not as a command does.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Resolver) -> Self {
        self.credentials = credentials;
        self
    }

    /// Lets this gate decide, at each new connection, whether the engine that answers may be used. It cannot be changed.
    pub fn set_gate(&self, gate: &EngineGate) {
        for host in self.hosts.0.values() {
            let _ = host.gate.set(gate.clone());
        }
    }

    /// What runs tasks in the containers, over the same connections.
    pub fn executor(&self) -> DockerExecutor {
        DockerExecutor { hosts: self.hosts.clone() }
    }

    /// Asks a host whether it can be used. Answers with its version, as `20.10.24 (API 1.41) at unix:///…`.
    ///
    /// # Errors
    /// If it cannot be reached; the text says what to do.
    pub async fn probe(&self, host: &str) -> Result<String, RuntimeError> {
        let host = self.hosts.get(host).map_err(RuntimeError::Refused)?;
        let docker = host.redial().await?;
        let version = docker.version().await.map_err(|e| host.error(&e))?;
        let word = |part: Option<String>| part.unwrap_or_else(|| "?".to_owned());
        Ok(format!("{} (API {}) at {}", word(version.version), word(version.api_version), host.endpoint))
    }

    /// Removes, from a host, the containers of local runs whose process is certainly gone, of one
    /// installation or of all. Never touches those of a living run. Answers, when they are confirmed gone, with whose
    /// they were.
    ///
    /// # Errors
    /// If the engine cannot be asked, or cannot remove one.
    pub async fn sweep_leftovers(
        &self,
        host: &str,
        installation: Option<&str>,
    ) -> Result<Vec<InstanceKey>, RuntimeError> {
        sweep::sweep(self.hosts.get(host).map_err(RuntimeError::Refused)?, installation).await
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Docker
    }

    fn hosts(&self) -> Vec<String> {
        self.hosts.0.keys().cloned().collect()
    }

    fn observe(&self, host: &str) -> BoxStream<'static, Observation> {
        match self.hosts.get(host) {
            Ok(host) => observe::observe(host.clone(), self.owner.installation.clone()),
            Err(why) => stream::iter([Observation::Unreachable(why)]).chain(stream::pending()).boxed(),
        }
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<Instance, StartError> {
        let host = self.hosts.get(&spec.host).map_err(StartError::Refused)?.clone();
        let (owner, spec, credentials) = (self.owner.clone(), spec.clone(), self.credentials.clone());
        // Continues to its end even if no caller waits for it: cut off between two requests, it could be doubled by the next.
        let start = tokio::spawn(async move {
            let started = start::start(&host, &owner, &credentials, &spec).await;
            let has_file = spec.credential.as_ref().is_some_and(|credential| credential.file.is_some());
            if has_file && matches!(started, Err(StartError::Refused(_) | StartError::NotNow(_))) {
                remove_value_file(&spec.key.uid);
            }
            started
        });
        start.await.unwrap_or_else(|e| Err(StartError::Unknown(format!("the start was interrupted: {e}"))))
    }

    async fn stop(&self, host: &str, key: &InstanceKey) -> Result<(), RuntimeError> {
        let host = self.hosts.get(host).map_err(RuntimeError::Refused)?;
        stop::stop(host, &self.owner.installation, key).await
    }

    async fn set_paused(&self, host: &str, key: &InstanceKey, paused: bool) -> Result<Option<Instance>, RuntimeError> {
        let host = self.hosts.get(host).map_err(RuntimeError::Refused)?;
        pause::set(host, &self.owner.installation, key, paused).await
    }

    async fn check(&self, host: &str, key: &InstanceKey) -> Result<Option<Instance>, RuntimeError> {
        let host = self.hosts.get(host).map_err(RuntimeError::Refused)?;
        match instance::find(host, &self.owner.installation, key).await? {
            // Three such answers in a row, and an idle worker is replaced.
            Some(Instance { state: InstanceState::NotReady { why, .. }, .. }) => Err(RuntimeError::Refused(why)),
            found => Ok(found),
        }
    }

    fn target(&self, instance: &Instance) -> Target {
        let id = instance.handle.id.clone();
        let host = self.hosts.0.get(&instance.host);
        let argv = host.map_or_else(|| target::by_name(&instance.host, &id), |host| host.argv(&id));
        let endpoint = host.map(|host| host.endpoint.public());
        Target { runtime: RuntimeKind::Docker, host: Some(instance.host.clone()), id, argv, endpoint }
    }
}

/// Runs tasks in containers.
#[derive(Clone)]
pub struct DockerExecutor {
    hosts: Hosts,
}

impl DockerExecutor {
    /// For a program that has a target and no runtime. Connects to no engine yet.
    ///
    /// # Errors
    /// If the address of one cannot be found or is not supported.
    pub fn new(hosts: Vec<HostOptions>) -> Result<Self, EndpointError> {
        Ok(Self { hosts: Hosts::new(hosts)? })
    }

    /// For the container of this target: with the engine that its command names, else with the host of this name in `known`, else with
    /// the engine of `docker`.
    ///
    /// # Errors
    /// There is no such host, or as [`DockerExecutor::new`].
    pub fn reaching(target: &Target, known: &[HostEntry]) -> Result<Self, ReachError> {
        let named = target.argv.iter().skip_while(|word| *word != "-H").nth(1).filter(|_| !is_by_name(target));
        let name = target.host.clone().unwrap_or_else(|| LOCAL_HOST.to_owned());
        let endpoint = match (named, known.iter().find(|host| host.name == name)) {
            (Some(named), _) => Some(named.parse::<Endpoint>()?),
            (None, Some(host)) if is_by_name(target) => host.resolve()?.endpoint,
            (None, None) if is_by_name(target) => {
                return Err(ReachError::Unknown { host: name, endpoint: target.endpoint.clone() });
            }
            (None, _) => None,
        };
        Ok(Self::new(vec![HostOptions { name, endpoint }])?)
    }

    /// The options with which `docker` reaches the host of a target.
    ///
    /// # Errors
    /// There is no such host.
    pub fn docker_options(&self, target: &Target) -> Result<Vec<String>, ExecError> {
        let host = self.hosts.of(target)?;
        Ok(if host.explicit { host.endpoint.docker_options() } else { Vec::new() })
    }

    /// Starts a task whose standard input comes piece by piece.
    ///
    /// # Errors
    /// As [`Executor::exec`].
    pub async fn exec_with(&self, target: &Target, task: Task, input: Input) -> Result<Running, ExecError> {
        exec::exec(self.hosts.of(target)?, target.id.clone(), task, Some(input)).await
    }

    /// What the command of a container printed, both streams, from its start or its last lines. With `follow` it goes on
    /// with what is printed from then on.
    ///
    /// # Errors
    /// The engine is not reached, or has no such container.
    pub async fn logs(
        &self,
        target: &Target,
        tail: Option<u64>,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<Output, String>>, ExecError> {
        logs::logs(self.hosts.of(target)?, &target.id, tail, follow).await
    }
}

/// True if the command of a target leaves it to its reader where the host is.
fn is_by_name(target: &Target) -> bool {
    target.argv.iter().any(|word| word == "--container")
}

/// Why the engine of a target cannot be reached from here.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum ReachError {
    /// Its host is not known here.
    #[error(
        "Docker host {host:?} is not known here{}; add it to hosts.yaml, with the endpoint as it is from this machine",
        .endpoint.as_ref().map(|endpoint| format!(" (its engine is at {endpoint})")).unwrap_or_default()
    )]
    Unknown {
        /// The name of the host.
        host: String,
        /// Where its engine is, as the server sees it.
        endpoint: Option<String>,
    },
    /// Its address cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

#[async_trait]
impl Executor for DockerExecutor {
    async fn exec(&self, target: &Target, task: Task) -> Result<Running, ExecError> {
        exec::exec(self.hosts.of(target)?, target.id.clone(), task, None).await
    }

    async fn result_path(&self, target: &Target, dispatch: &str, attempt: i32) -> Result<String, ExecError> {
        result::path(&*self.hosts.of(target)?, &target.id, dispatch, attempt).await
    }

    async fn reaches_host(&self, target: &Target) -> bool {
        let Ok(host) = self.hosts.of(target) else { return false };
        match host.docker().await {
            Ok(docker) => host.confirm(&docker).await.is_ok(),
            Err(_) => false,
        }
    }

    async fn take_result(&self, target: &Target, path: &str) -> Result<Option<Vec<u8>>, ExecError> {
        result::take(&*self.hosts.of(target)?, &target.id, path).await
    }
}
