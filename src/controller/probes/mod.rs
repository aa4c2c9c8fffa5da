//! What the probes and the metrics are served from, and what a client reports to them.

mod server;
mod watch_layer;

pub use server::{Pages, serve};
pub use watch_layer::{WatchLayer, WatchService};
