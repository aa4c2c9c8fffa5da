//! Poolkeeper keeps pools of warm worker containers and hands work to them.
//!
//! The map, from the inside out. A layer uses only those above it in this list:
//!
//! - [`clock`]: the only place that asks the machine for the time or for random numbers.
//! - `causes`: the message of an error with its causes.
//! - [`api`]: the three kinds, the annotation grammar, the CRDs. Types only.
//! - [`runtime`]: what makes workers real (processes, Docker containers) and runs tasks in them.
//! - [`core`]: every decision. Pure: values in, actions out, `now` is an argument. Of `runtime` it
//!   knows the words only.
//! - [`local`]: a small Kubernetes API in this process. Knows nothing of pools.
//! - [`https`]: HTTPS for a service on this machine: certificates, the token, limits.
//! - [`controller`]: watches feed the core, its actions become writes. Holds no rule.
//! - [`supervisor`]: asks for workers, runs tasks in them, and reports how they ended. Needs a client only.
//! - [`dashboard`]: what a run did as a view over time, and the page that shows it; what pools do now, as a view. Pure.
//! - [`standalone`]: `local`, a controller and runtimes in one process, for `run --local` and for the local server.
//! - [`cli`]: the commands.

#![deny(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![deny(clippy::print_stderr, clippy::print_stdout)]
#![warn(missing_docs)]

pub mod api;
mod causes;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod core;
pub mod dashboard;
pub mod https;
pub mod local;
pub mod runtime;
pub mod standalone;
pub mod supervisor;
