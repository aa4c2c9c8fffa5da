//! Docker hosts by name: one engine on its socket, one over TCP with TLS, one by ssh under another user and port.
//!
//! `eval "$(scripts/docker-hosts-up.sh DIR)"` starts them; elsewhere the tests are skipped, and say so. `POOLKEEPER_REQUIRE_DOCKER` makes that
//! a failure. Some tests stop an engine or cut a network, so they run one after the other.
#![allow(clippy::unwrap_used)]

mod doctor;
mod hosts;
mod outages;
mod refusals;
mod spread;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_poolkeeper");
