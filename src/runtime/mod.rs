//! What makes workers real, behind one trait; and running tasks in them, behind another.
//!
//! A [`Runtime`] decides nothing. It makes the one instance of a Worker uid, reports what exists, and makes sure
//! that an instance is gone. An [`Executor`](exec::Executor) runs a task in the worker that a Dispatch's `status.target` names.
//! The program that requested the worker uses it, never the controller.

pub mod assemble;
pub mod config;
pub mod credentials;
pub mod docker;
pub mod exec;
pub mod given;
pub mod pod;
pub mod process;
pub mod reach;
pub mod stored_credentials;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::api::dispatch::Target;
use crate::api::pool::{Credential, EnvVar, Mount, Resources};
use crate::api::worker::Handle;
use crate::api::{RuntimeKind, names};

/// Name of the host that every runtime with hosts has.
pub const LOCAL_HOST: &str = "local";

/// Whose instance it is. There is never a second instance for the same uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    /// Namespace of the Worker.
    pub namespace: String,
    /// Name of the Worker.
    pub worker: String,
    /// Uid of the Worker.
    pub uid: String,
}

impl InstanceKey {
    /// The runtime's name for it: `<worker>-<uid8>`.
    pub fn instance_name(&self) -> String {
        names::instance(&self.worker, &self.uid)
    }
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.instance_name())
    }
}

/// What a runtime is asked to make. Holds no secret: a credential is resolved by the runtime at the start.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceSpec {
    /// Whose it is.
    pub key: InstanceKey,
    /// Name of the pool.
    pub pool: String,
    /// Uid of the pool.
    pub pool_uid: String,
    /// Host to make it on.
    pub host: String,
    /// Image; required by all but Process.
    pub image: Option<String>,
    /// Replaces the ENTRYPOINT.
    pub command: Vec<String>,
    /// Replaces the CMD.
    pub args: Vec<String>,
    /// Environment, besides the credential.
    pub env: Vec<EnvVar>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// Limits and requests.
    pub resources: Option<Resources>,
    /// Directories of the host.
    pub mounts: Vec<Mount>,
    /// Credential to inject.
    pub credential: Option<Credential>,
    /// Time between the order to stop it and its end by force. `None`: the runtime's own.
    pub grace: Option<Duration>,
    /// For how long it is protected from eviction once its node is being drained. `None`: it is not protected.
    pub protected_for: Option<Duration>,
    /// Merged over a generated Pod.
    pub pod_template: Option<serde_json::Map<String, serde_json::Value>>,
}

/// One instance as a runtime sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Whose it is.
    pub key: InstanceKey,
    /// Host it is on.
    pub host: String,
    /// Whether this installation made it. It is its Worker's in any case; but without a Worker only its own installation
    /// may remove it.
    pub own: bool,
    /// What it is called there, for ever.
    pub handle: Handle,
    /// How it is.
    pub state: InstanceState,
}

/// How an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// Made, and on its way.
    Starting,
    /// It cannot take a task yet, or any more, and the runtime says why.
    NotReady {
        /// The runtime's own words, such as `ErrImagePull: …`. The same for as long as the reason is the same.
        why: String,
        /// True if it waits for something outside of it, such as room on a node: it is not given up for that.
        held: bool,
    },
    /// Able to take a task.
    Running,
    /// Its processes stand still. It can take a task once they go on.
    Paused,
    /// Its node is being drained: it is to take no other task, and to be removed once it has none. Why, in words.
    Leaving(String),
    /// It ended, and nothing of it runs any more. It may still take up a name and disk.
    Exited(Exit),
}

impl InstanceState {
    /// The runtime's words for why it cannot take a task, if it gave any.
    pub fn why_not_ready(&self) -> Option<&str> {
        match self {
            Self::NotReady { why, .. } | Self::Leaving(why) => Some(why),
            _ => None,
        }
    }
}

/// How an instance ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, 128 + signal number if a signal ended it. None: not known.
    pub code: Option<i32>,
    /// True if it was killed because it used up its memory.
    pub out_of_memory: bool,
    /// Last lines of its output, at most 1 KiB. Or what ended it, if `from_outside`.
    pub tail: String,
    /// True if it did not end by itself: `tail` then is a sentence about what ended it, such as `its Pod was deleted`.
    pub from_outside: bool,
}

/// What a runtime reports about a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A full list of this installation's instances on the host. It may include other installations' instances if they could
    /// belong to our Workers. Sent first, after every reconnect, and about every 30 s by runtimes whose change events can be
    /// lost. An instance that is not in it is gone, if its start had been answered before the listing began.
    Listed(Vec<Instance>),
    /// One instance changed.
    Changed(Instance),
    /// The runtime confirms that this instance is gone.
    Gone(InstanceKey),
    /// The host cannot be listed or its changes cannot be followed. Holds until the next `Listed`.
    Unreachable(String),
}

/// Why an instance was not started. It is a value that the core compares, and the message says all: a `source` could not be
/// compared, and would be said twice.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// It was refused; nothing is left of it. Trying the same again soon will not help. The runtime's own words.
    #[error("{0}")]
    Refused(String),
    /// Nothing was made, for an outside reason that may pass, such as an exhausted quota. To be retried.
    #[error("{0}")]
    NotNow(String),
    /// The host was not reached: nothing was made. Nothing more is asked of it until the next `Listed`: of a runtime that
    /// lists again by itself.
    #[error("{0}")]
    Unreachable(String),
    /// The answer was lost: it may or may not exist. The next `Listed` tells.
    #[error("{0}")]
    Unknown(String),
}

/// Why something could not be asked or done. As in [`StartError`], the message has the causes.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum RuntimeError {
    /// The host was not reached, or did not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The host answered that it will not.
    #[error("{0}")]
    Refused(String),
}

/// Makes workers real.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Which one it is.
    fn kind(&self) -> RuntimeKind;

    /// Names of the hosts that it was configured with.
    fn hosts(&self) -> Vec<String>;

    /// Follows one host, endlessly: reconnects by itself, with backoff.
    fn observe(&self, host: &str) -> BoxStream<'static, Observation>;

    /// Most orders that are worth giving at a time.
    fn parallel(&self) -> usize {
        32
    }

    /// Makes and starts the instance and waits until it runs or has ended. A runtime that hands the instance over, as Pod
    /// does, answers once that is done, and its observation reports the rest. A second call returns the same instance. An
    /// early end is not an error here: it is observed.
    async fn start(&self, spec: &InstanceSpec) -> Result<Instance, StartError>;

    /// Stops and removes the instance. `Ok` only if the host confirms that nothing of it is left, or never was.
    async fn stop(&self, host: &str, key: &InstanceKey) -> Result<(), RuntimeError>;

    /// Looks at one instance now. `Ok(None)`: the host confirms that it does not exist.
    async fn check(&self, host: &str, key: &InstanceKey) -> Result<Option<Instance>, RuntimeError>;

    /// Makes the processes of an instance that runs stand still (`paused`), or go on. To repeat it changes nothing. Answers with how
    /// the instance is then. `Ok(None)`: the host confirms that it does not exist.
    async fn set_paused(
        &self,
        _host: &str,
        _key: &InstanceKey,
        _paused: bool,
    ) -> Result<Option<Instance>, RuntimeError> {
        Err(RuntimeError::Refused(format!("runtime {} cannot pause", self.kind())))
    }

    /// How a task reaches the instance.
    fn target(&self, instance: &Instance) -> Target;
}
