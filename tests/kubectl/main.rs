//! kubectl against the embedded API server and a real one.
//!
//! - `habits`: what kubectl is used for, command by command. What is expected stands in `transcripts/`, recorded from a real
//!   server; `differences` lists what is answered otherwise, and why.
//! - `rules`: every rule of the three kinds, on a real server.
//!
//! Each needs kubectl, and a real server where `POOLKEEPER_TEST_API` names its kubeconfig. `scripts/ci/conformance.sh` has both.
#![allow(clippy::unwrap_used, clippy::panic)]

mod differences;
mod habits;
mod rules;
mod server;
mod transcript;
