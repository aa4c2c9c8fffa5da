//! Drives `poolkeeper controller` and `poolkeeper uninstall` as a user or a kubelet does: flags, probes, signals, exit codes.
//!
//! Their API server is the embedded one behind a socket. What needs a real one is in `scripts/ci/cluster.d`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod inputs;
mod life;
mod stage;
