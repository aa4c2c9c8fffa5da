//! What the controller was configured with.

use std::sync::Arc;
use std::time::Duration;

use crate::api::dispatch::Target;
use crate::api::{ContainerPool, RuntimeKind};
use crate::runtime::Instance;

/// One host of one runtime.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey {
    /// The runtime.
    pub runtime: RuntimeKind,
    /// Name of the host.
    pub host: String,
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
    /// True: no pool assigns or starts anything, because the workers are about to be stopped. What is open goes on.
    pub standing_down: bool,
    /// Says what is wrong with an entry of `spec.rateLimit.patterns`. A function of its argument alone.
    pub check_pattern: PatternFn,
    /// How a task reaches an instance: [`crate::runtime::Runtime::target`] of its runtime. A function of its arguments alone.
    pub target: TargetFn,
}

/// See [`Config::check_pattern`].
pub type PatternFn = fn(&str) -> Result<(), String>;

/// See [`Config::target`].
pub type TargetFn = Arc<dyn Fn(&HostKey, &Instance) -> Target + Send + Sync>;

impl Config {
    /// True if a pool keeps what it has: nothing is assigned, started or removed.
    pub fn is_paused(&self, pool: &ContainerPool) -> bool {
        pool.spec.paused || self.standing_down
    }

    /// Hosts of one runtime.
    pub fn hosts_of(&self, kind: RuntimeKind) -> &[String] {
        self.hosts.iter().find(|(k, _)| *k == kind).map_or(&[], |(_, hosts)| hosts)
    }
}
