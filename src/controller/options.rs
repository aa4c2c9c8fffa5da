//! How a controller is made.

use std::sync::Arc;
use std::time::Duration;

use super::changed::ChangedCredentials;
use super::health::Health;
use super::metrics::Metrics;
use crate::clock::{Clock, Ids};
use crate::core::PatternFn;
use crate::runtime::Runtime;

/// How a controller is made.
#[derive(Clone)]
pub struct Options {
    /// The only namespace to watch. None: all.
    pub namespace: Option<String>,
    /// Runtimes that pools may name. The first is the default of pools that name none.
    pub runtimes: Vec<Arc<dyn Runtime>>,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// Makes the names of Kubernetes Events.
    pub ids: Ids,
    /// The shortest time between two updates of the sums in one pool's status. Design: 5 s.
    pub rollup_interval: Duration,
    /// The longest time between two looks at wall-clock deadlines, because that clock may jump. Design: 30 s.
    pub look_again: Duration,
    /// Whether credentials may come from this machine (fromEnv, fromFile, fromCommand).
    pub local_credentials: bool,
    /// Credentials whose value changed, from the program that looks at them. None: no program does.
    pub changed_credentials: Option<ChangedCredentials>,
    /// True: nothing is assigned or started, because the workers are about to be stopped.
    pub standing_down: bool,
    /// Says what is wrong with an entry of `spec.rateLimit.patterns`. By default nothing is.
    pub check_pattern: PatternFn,
    /// Gets the state of the loop and its watches, for the probes.
    pub health: Health,
    /// Counts what the controller does.
    pub metrics: Metrics,
}

impl Options {
    /// With the design's times.
    pub fn new(runtimes: Vec<Arc<dyn Runtime>>, clock: Arc<dyn Clock>, ids: Ids) -> Self {
        Self {
            namespace: None,
            runtimes,
            clock,
            ids,
            rollup_interval: Duration::from_secs(5),
            look_again: Duration::from_secs(30),
            local_credentials: false,
            changed_credentials: None,
            standing_down: false,
            check_pattern: |_| Ok(()),
            health: Health::default(),
            metrics: Metrics::default(),
        }
    }
}
