//! The built-in supervisor: it asks for workers, runs tasks in them, and reports how the tasks ended.
//!
//! It needs a client, a namespace and an executor. It knows neither the API in this process nor the command line, so it
//! works the same against a cluster, and other commands can use its parts.
//!
//! - [`place`]: where the workers are: client, namespace, executor.
//! - [`attempt`]: one execution of a task in the worker that a Dispatch names. [`report`]: how its end is reported.
//! - [`outcome`]: what the end of a command means. [`short_rests`]: repeated limits that name hardly any time.
//! - [`batch`]: many tasks: which of them run, which are over, and what of them is on disk.
//! - [`patience`]: a server that is away. [`lease`]: how a run shows that it is alive. [`released`]: when a worker is free again.
//! - [`progress`]: what happens, as values. [`summary`]: their sums. [`spent`]: money and tokens. [`tracker`] adds them up. Nothing here prints: a [`progress::Reporter`] does.
//! - [`error`]: why a run ends before its time.

pub mod attempt;
pub mod batch;
pub mod error;
pub mod lease;
pub mod outcome;
pub mod patience;
pub mod place;
pub mod progress;
pub mod released;
pub mod report;
pub mod short_rests;
pub mod spent;
pub mod summary;
pub mod tracker;

pub use error::Error;
pub use place::Place;
