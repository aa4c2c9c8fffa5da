//! The server of the probes and the metrics, and a layer of the API client that reports watches to the probes.

mod server;
mod watch_layer;

pub use server::{Pages, serve};
pub use watch_layer::{WatchLayer, WatchService};
