//! The variables that `acquire` exports. `run` and `exec` set them for the command, without the uid.

/// Name of the Dispatch; with `run`: id of the task.
pub const ID: &str = "POOLKEEPER_TASK_ID";
/// Uid of the Dispatch.
pub const UID: &str = "POOLKEEPER_TASK_UID";
/// Number of the attempt.
pub const ATTEMPT: &str = "POOLKEEPER_ATTEMPT";
/// Name of the Worker.
pub const WORKER: &str = "POOLKEEPER_WORKER";
