//! Where a Docker Engine is.
//!
//! - `kinds`: what an endpoint is. `address`: an address as people write it, with the files of TLS. `context`: what `docker` itself would
//!   use.

mod address;
mod context;
mod kinds;

pub use address::Address;
pub use kinds::{DEFAULT_SOCKET, Endpoint, EndpointError, Ssh, TlsFiles};
