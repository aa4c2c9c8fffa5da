//! What dies and what is cut off while tasks run: servers, engines, connections, holders. The tasks say what they saw.
//!
//! Tests that need Docker start engines of their own (`scripts/docker-up.sh`), where POOLKEEPER_DOCKERD_PRIVATE allows that; elsewhere
//! they are skipped, and say so. `POOLKEEPER_REQUIRE_DOCKER` makes that a failure. `POOLKEEPER_KILLS` and `POOLKEEPER_ROUNDS` say how
//! often something is killed, `POOLKEEPER_FROZEN` for how many seconds an engine is frozen, `POOLKEEPER_CUTS` how often connections are cut. `POOLKEEPER_SYSTEMD` lets
//! root start a systemd, as the manager of a user's units. `POOLKEEPER_OLDER` names the program of an older version.
#![allow(clippy::unwrap_used)]

mod engine;
mod frozen;
mod holders;
mod init;
mod proxy;
mod runs;
mod server;
mod supervisor;
mod swapped;
mod upgrade;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_poolkeeper");

/// A number that the environment may set.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}
