//! The built-in supervisor: it asks for workers, runs tasks in them, and reports how the tasks ended.
//!
//! It needs a client, a namespace and an executor. It knows neither the API in this process nor the command line, so it
//! works the same against a cluster.
//!
//! - [`outcome`]: what the end of a command means.

pub mod outcome;
