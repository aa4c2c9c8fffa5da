//! Carries: watches feed one loop that owns the [`Core`](crate::core::Core), and carries out its actions. Holds no rule.
//!
//! - `carrier`: the loop. `lane`: the requests that it has under way.
//! - [`election`]: which of several controllers runs it.
//! - [`health`]: what the probes say. [`tap`]: sees watches open. [`metrics`]: what is counted. [`http`]: serves these.
//! - `watch`: the three watches, as events. `kept`: what is kept of an object.
//! - `writes`: every compare-and-swap.
//! - `order`: what runtimes are asked.
//! - `note`: Kubernetes Events. `causes`: errors in words.

mod carrier;
pub(crate) mod causes;
pub mod election;
pub mod health;
pub mod http;
mod kept;
mod lane;
pub mod metrics;
mod note;
mod order;
pub mod tap;
mod watch;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::health::Health;
use self::metrics::Metrics;
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

/// Runs a controller until `stop` is cancelled. It then decides no more, and waits for what is under way.
pub async fn run(client: kube::Client, options: Options, stop: CancellationToken) {
    carrier::Carrier::new(client, options).run(stop).await;
}
