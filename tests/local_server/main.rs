//! The local server as its user has it: `poolkeeper local`, kubectl and a client library, over HTTPS.
#![allow(clippy::unwrap_used)]

mod builds;
mod crashes;
mod docker;
mod https;
mod kubectl;
mod life;
mod restore;
mod rotate;
mod secrets;
mod watches;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_poolkeeper");
