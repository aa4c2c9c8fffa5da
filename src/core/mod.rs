//! Every decision, and nothing else: no I/O, no clock, no async.
//!
//! [`Core`] holds what is known, indexed so that no event costs a scan. [`Core::apply`] takes in one
//! [`Input`]; [`Core::decide`] returns the [`Action`]s that follow. Whoever carries an action out reports its
//! end as an event; until then nothing else is decided about the same object. The same events in the same
//! order give the same actions.
//!
//! Where the rules are:
//! - [`commit`]: reserve, publish, close, free, and the recovery table.
//! - [`assign`]: which dispatch gets which worker.
//! - [`outcome`]: what ends an attempt, retries, final phases. `queue`: who may wait.
//! - [`cooldown`]: rests of workers and credentials, half-open.
//! - [`instance`]: a Worker and its one instance: start, health, stop. `checks`: when it is looked at.
//! - [`scale`]: who comes, who goes. [`update`]: who is replaced. [`backoff`]: failing starts.
//! - [`doors`]: requests in annotations. [`rollup`]: the pool's status. [`explain`]: why something waits.
//! - [`history`]: how long finished dispatches stay. [`lease`]: holders that vanish.
//! - [`election`]: which of several controllers leads.
//! - `census`: how many there are of everything, for who asks.

pub mod assign;
pub mod backoff;
mod census;
mod checks;
pub mod commit;
mod conditions;
pub mod cooldown;
pub mod doors;
pub mod election;
mod entries;
pub mod explain;
pub mod history;
mod index;
mod input;
pub mod instance;
pub mod lease;
mod observe;
pub mod outcome;
mod queue;
pub mod rollup;
pub mod scale;
mod slots;
mod tally;
pub mod template;
#[cfg(test)]
mod testkit;
pub mod update;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use census::PoolCensus;
pub use index::{Core, Visits};
pub use input::{
    Action, Event, EventType, Fetched, Input, LeaseFact, RuntimeFact, RuntimeOrder, Seen, Settled, Subject, Verb,
};

use crate::api::dispatch::{DispatchStatus, Target};
use crate::api::worker::WorkerStatus;
use crate::api::{ContainerPool, Dispatch, RuntimeKind, Worker};
use crate::runtime::Instance;

/// Namespace and name. Clones share their texts: of a worker alone there are five at rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// From its parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// ObjectKey of an object. Every kind that is watched is namespaced.
    pub fn of<K: Object>(object: &K) -> Self {
        let meta = object.object_meta();
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }

    /// Another name in the same namespace.
    #[must_use]
    pub fn sibling(&self, name: impl Into<Arc<str>>) -> Self {
        Self::new(self.namespace.clone(), name)
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What the three kinds have in common.
pub trait Object {
    /// Its metadata.
    fn object_meta(&self) -> &ObjectMeta;

    /// Its uid, empty before it is stored.
    fn uid_str(&self) -> &str {
        self.object_meta().uid.as_deref().unwrap_or_default()
    }

    /// Its version as a number. Kubernetes promises since 1.35 that versions of one kind compare as numbers, and
    /// every server before did so too.
    fn version(&self) -> u64 {
        self.object_meta().resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
    }

    /// True if `other`, of the same name, shows nothing that this one does not: it is older, or the same version.
    fn covers(&self, other: &Self) -> bool {
        let (own, its) = (self.version(), other.version());
        own > its || (own == its && own != 0 && self.uid_str() == other.uid_str())
    }

    /// True once somebody asked for its deletion.
    fn is_deleting(&self) -> bool {
        self.object_meta().deletion_timestamp.is_some()
    }

    /// True if this annotation is `true`.
    fn is_flagged(&self, annotation: &str) -> bool {
        self.object_meta().annotations.as_ref().and_then(|a| a.get(annotation)).is_some_and(|v| v == "true")
    }
}

impl Object for ContainerPool {
    fn object_meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}
impl Object for Worker {
    fn object_meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}
impl Object for Dispatch {
    fn object_meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// Status of a Worker: that of a new one before it has one.
pub(crate) fn worker_status(worker: &Worker) -> &WorkerStatus {
    static NEW: LazyLock<WorkerStatus> = LazyLock::new(WorkerStatus::default);
    worker.status.as_ref().unwrap_or(&NEW)
}

/// Status of a Dispatch: that of a new one before it has one.
pub(crate) fn dispatch_status(dispatch: &Dispatch) -> &DispatchStatus {
    static NEW: LazyLock<DispatchStatus> = LazyLock::new(DispatchStatus::default);
    dispatch.status.as_ref().unwrap_or(&NEW)
}

/// One host of one runtime.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey {
    /// The runtime.
    pub runtime: RuntimeKind,
    /// Name of the host.
    pub host: String,
}

/// The present, as two clocks tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, cut to microseconds, as it is stored. May jump.
    pub wall: Timestamp,
    /// Time since some fixed point. Never jumps.
    pub mono: Duration,
}

impl Now {
    /// From two readings.
    pub fn new(wall: Timestamp, mono: Duration) -> Self {
        // What is stored has microseconds: what is decided must not be finer.
        let wall = Timestamp::from_microsecond(wall.as_microsecond()).unwrap_or(wall);
        Self { wall, mono }
    }
}

/// What the controller was configured with.
#[derive(Clone)]
pub struct Config {
    /// Runtime of pools that name none.
    pub default_runtime: RuntimeKind,
    /// Runtimes that pools may name.
    pub runtimes: Vec<RuntimeKind>,
    /// Hosts of each runtime. Those that pools may name; the first is the default.
    pub hosts: Vec<(RuntimeKind, Vec<String>)>,
    /// Least time between two roll-ups of a pool's status. 5 s by design; tests may scale it.
    pub rollup_interval: Duration,
    /// Whether credentials may come from the controller's own machine.
    pub local_credentials: bool,
    /// How a task reaches an instance: [`crate::runtime::Runtime::target`] of its runtime. A function of its arguments alone.
    pub target: TargetFn,
}

/// See [`Config::target`].
pub type TargetFn = Arc<dyn Fn(&HostKey, &Instance) -> Target + Send + Sync>;

impl Config {
    /// Hosts of one runtime.
    pub fn hosts_of(&self, kind: RuntimeKind) -> &[String] {
        self.hosts.iter().find(|(k, _)| *k == kind).map_or(&[], |(_, hosts)| hosts)
    }
}
