//! Many tasks: which of them run, which are over, and what of them is on disk.
//!
//! - [`engine`]: keeps Dispatches in flight until every task is over.
//! - [`former`]: what an earlier run left on a server.
//! - [`tasks`]: the task file. [`source`]: tasks that are there, or come. `ids`: names for what is in it.
//! - [`outdir`]: the run directory. [`attempts`]: the files of each attempt. [`result`]: how each task ended. [`state_dirs`]: what its attempts share.

pub mod attempts;
pub mod engine;
pub mod former;
pub mod ids;
pub mod outdir;
pub mod result;
pub mod source;
pub mod state_dirs;
pub mod tasks;

/// Attempts that are queued for each worker: so many that none is idle, so few that a long task file stays on disk.
pub const IN_FLIGHT_PER_WORKER: i64 = 2;
