//! Questions about what waits and why, answered from the objects of a server alone.
//!
//! - `snapshot`: a core that knows the objects. It decides nothing, so nothing follows from it. `waits`: the answers.
//! - `conditions`: what the conditions of a pool say is wrong.

mod conditions;
mod snapshot;
mod waits;

pub use conditions::is_fine;
pub use snapshot::Snapshot;
pub use waits::{Held, PoolWait};
