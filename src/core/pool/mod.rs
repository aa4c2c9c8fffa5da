//! A ContainerPool.
//!
//! [`decide`] has the order of a round. The other files are what it calls, each one rule.

mod assign;
mod backoff;
mod decide;
mod directories;
mod dispatching;
mod explain;
mod hosts;
mod not_ready;
mod pauses;
mod progress;
mod ready;
mod requests;
mod resting;
mod scale;
mod size;
mod status;
mod sums;
mod template;
mod update;
mod wait;
mod waiting;

pub(in crate::core) use assign::Gate;
pub use size::{Counts, want};
pub use wait::Wait;
