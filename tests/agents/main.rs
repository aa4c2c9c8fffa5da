//! Agents that continue their sessions: 40 tasks over 4 workers, with accounts that meet every kind of limit.
//!
//! The wrappers are those of `examples/`. `stand-in.sh` plays the programs, and checks what no one else can see: that no
//! session starts over, and that no account is asked before its time. `run` on a server and without one, `acquire`, and requests by
//! annotation are the ways by which tasks get their workers.
#![allow(clippy::unwrap_used)]

mod accounts;
mod batch;
mod examples;
mod logins;
mod supervisor;

/// The program under test.
const BINARY: &str = env!("CARGO_BIN_EXE_poolkeeper");
