//! Connections to an engine: plain ones, with TLS, and by ssh.
//!
//! - `dial`: the client, and when a connection counts as made. `tls`, `ssh`: how such a connection is made. `wire`: what is read and
//!   written then. `limits`: how long it may take and be silent.
//!
//! With TLS and ssh a refusal may come after the connection was made, when a request is on its way. So the engine is greeted first: what
//! fails before it answers has asked nothing of it.
//!
//! A connection on which nothing arrives any more ends after 45 s: otherwise a task whose engine vanished would run for ever.

mod dial;
mod limits;
mod ssh;
mod tls;
mod wire;

pub(super) use dial::client;
pub(super) use limits::Problem;
