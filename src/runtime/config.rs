//! What the runtimes of one installation are configured with.

use std::path::PathBuf;
use std::time::Duration;

use super::credentials::Resolver;
use super::docker::{EngineGate, HostOptions, OwnerProcess};
use super::process::Inherited;
use crate::api::RuntimeKind;

/// The configuration of all runtimes of one controller.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// The runtimes, each once. The first is that of pools that name none.
    pub kinds: Vec<RuntimeKind>,
    /// Id of the installation that the instances belong to.
    pub installation: String,
    /// Docker hosts. One called `local` is added if none is: the engine that `docker` itself would use.
    pub docker_hosts: Vec<HostOptions>,
    /// Decides which engines may be used. None: all.
    pub engine_gate: Option<EngineGate>,
    /// The process that the containers belong to, if they must not outlive it. Docker only.
    pub owner_process: Option<OwnerProcess>,
    /// Directory for what runtime Process writes. It needs one.
    pub run_dir: Option<PathBuf>,
    /// The `poolkeeper` program that workers of runtime Process are made of. None: the one that is running.
    pub binary: Option<PathBuf>,
    /// How long workers of runtime Process live on without a controller. None: 10 s.
    pub owner_grace: Option<Duration>,
    /// Which variables of this process workers of runtime Process get.
    pub inherited: Inherited,
    /// Finds the values of credentials, for Docker and Process. Default: as a command finds them.
    pub credentials: Resolver,
    /// The namespace whose Pods are made. None: every namespace.
    pub namespace: Option<String>,
    /// The image from which Pods get the helper that runs tasks. None: they have none.
    pub helper_image: Option<String>,
    /// Protects busy workers from eviction while their node is drained. Runtime Pod only.
    pub drain_protection: bool,
}

impl RuntimeConfig {
    /// These runtimes, on this machine, with nothing else configured.
    pub fn new(kinds: Vec<RuntimeKind>, installation: impl Into<String>) -> Self {
        Self {
            kinds,
            installation: installation.into(),
            docker_hosts: Vec::new(),
            engine_gate: None,
            owner_process: None,
            run_dir: None,
            binary: None,
            owner_grace: None,
            inherited: Inherited::default(),
            credentials: Resolver::default(),
            namespace: None,
            helper_image: None,
            drain_protection: false,
        }
    }
}
