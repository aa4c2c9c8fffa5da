//! All of Poolkeeper in one process, without a cluster: the API of `local`, a controller on it, and runtimes.
//!
//! - [`stack`]: starts it, and stops it.
//! - `credential_watch`: looks whether credentials have another value.
//! - [`room`]: how many workers it has room for.
//! - [`engines`]: whether the Docker Engine of a host is the one with its workers. `names`: lists of names in messages.
//! - [`leftovers`]: removes what runs left behind that were killed.
//! - [`resident`]: the server that stays, with objects that outlive it.
//! - [`state_dir`]: where a run without a directory of its own keeps its files.

mod credential_watch;
pub mod engines;
mod error;
pub mod leftovers;
mod names;
pub mod resident;
pub mod room;
pub mod stack;
pub mod state_dir;

pub use error::Error;
pub use stack::{DockerHosts, NAMESPACE, Server, Stack};
