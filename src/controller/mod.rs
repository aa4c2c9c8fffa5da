//! Connects the core to the world: watches become inputs, actions become requests. It holds no rule.
//!
//! - `control_loop`: the one loop, which owns the [`Core`](crate::core::Core). `work_queue`: its requests under way.
//! - `watch`: the three watches. `trim`: how an object is decoded, and which parts of it stay in memory.
//! - `writes`: every compare-and-swap. `orders`: requests to runtimes. `events`: Kubernetes Events.
//! - `changed`: credentials with another value, as the program reports them that starts the workers.
//! - `log`: what the log says of all this.
//! - [`election`]: which of several controllers runs the loop.
//! - [`health`]: what the probes report. [`metrics`]: what is counted. [`probes`]: serves both.

mod changed;
mod control_loop;
pub mod election;
mod events;
pub mod health;
mod log;
pub mod metrics;
mod options;
mod orders;
pub mod probes;
mod trim;
mod watch;
mod work_queue;
mod writes;

use tokio_util::sync::CancellationToken;

pub use changed::{ChangedCredential, ChangedCredentials, CredentialSender};
pub use options::Options;
pub(crate) use trim::{Decoded, Trim};
pub(crate) use watch::{Pause, translate};

/// Runs a controller until `stop` is cancelled. Then it stops deciding and waits for the requests under way.
pub async fn run(client: kube::Client, options: Options, stop: CancellationToken) {
    control_loop::ControlLoop::new(client, options).run(stop).await;
}
