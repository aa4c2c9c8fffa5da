//! The commands of a supervisor: claim a worker, report on the attempt, and what is between.
//!
//! - `identity`: which attempt a command is about. `watch`: waiting for a Dispatch. `patience`: what is repeated while the
//!   server is away. `released`: when the worker of a finished Dispatch is free of it.
//! - The commands: `acquire`, `report`, `cancel`, `wait`, `renew`, `logs`. `exec` is in `cli/exec`.

pub mod acquire;
pub mod cancel;
pub mod identity;
pub mod logs;
pub mod patience;
mod released;
pub mod renew;
pub mod report;
pub mod variables;
pub mod wait;
mod watch;
