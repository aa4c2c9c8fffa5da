//! How a controller is made.

use std::sync::Arc;
use std::time::Duration;

use super::health::Health;
use super::metrics::Metrics;
use crate::clock::{Clock, Ids};
use crate::runtime::Runtime;

/// What a controller is made of.
#[derive(Clone)]
pub struct Options {
    /// Follow this namespace only. None: all.
    pub namespace: Option<String>,
    /// Runtimes that pools may name. The first is the default of pools that name none.
    pub runtimes: Vec<Arc<dyn Runtime>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Names of Kubernetes Events.
    pub ids: Ids,
    /// Least time between two roll-ups of one pool's status. Design: 5 s.
    pub rollup_interval: Duration,
    /// Wall-clock deadlines are looked at again at least this often, since that clock may jump. Design: 30 s.
    pub look_again: Duration,
    /// Whether credentials may come from this machine (fromEnv, fromFile, fromCommand).
    pub local_credentials: bool,
    /// Told how the loop and its watches are.
    pub health: Health,
    /// Told what is done.
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
            health: Health::default(),
            metrics: Metrics::default(),
        }
    }
}
