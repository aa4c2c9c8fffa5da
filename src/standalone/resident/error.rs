//! Why the local server cannot start, or ended.

use std::io;
use std::path::PathBuf;

use crate::local::{DiskError, LocalError};
use crate::runtime::assemble::AssembleError;
use crate::runtime::docker::HostsError;

/// Why the local server cannot start, or ended.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// Another server has the directory.
    #[error("a local server runs already with {}, as process {pid}", home.display())]
    InUse {
        /// The directory.
        home: PathBuf,
        /// The process.
        pid: String,
    },
    /// The directory cannot be used.
    #[error("the directory {}: {source}", home.display())]
    Home {
        /// The directory.
        home: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory was removed while the server ran.
    #[error(
        "the directory {} was removed, and its objects with it: the server ends, and process workers end 60 s later", home.display()
    )]
    Removed {
        /// The directory.
        home: PathBuf,
    },
    /// The directory comes from another machine.
    #[error(
        "the directory {} was made on another machine, and its workers are there: use another directory; to use this copy \
         here, without its workers, remove {} first", home.display(), file.display()
    )]
    OtherMachine {
        /// The directory.
        home: PathBuf,
        /// The file that says so.
        file: PathBuf,
    },
    /// A file in the directory cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] DiskError),
    /// The port cannot be used.
    #[error("port {port} of 127.0.0.1: {source}; find its holder with `ss -ltnp`, or choose another one with --port")]
    Port {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The API cannot be made. This does not happen in practice.
    #[error("the API in this process: {0}")]
    Api(#[from] LocalError),
    /// No certificate can be made.
    #[error("the certificate of the server: {0}")]
    Certificate(#[source] tower::BoxError),
    /// A runtime that this process cannot have.
    #[error("{0}")]
    Runtime(#[from] AssembleError),
    /// The Docker hosts cannot be used.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// The file of the Docker hosts has one called `local`.
    #[error(
        "hosts.yaml has a host called local: of the local server that is the engine that `local up --docker-host` names; rename it"
    )]
    LocalHost,
    /// A Docker host that was never named.
    #[error("--unset-host {name}: `local up --host` named no such host")]
    NoSuchHost {
        /// Its name.
        name: String,
    },
    /// The pools of a restored copy cannot be paused.
    #[error("pausing the pools of a restored copy: {0}")]
    Pause(#[source] kube::Error),
    /// A commit failed.
    #[error("the store {} failed: the log says why; start the server again to go on with what is on the disk", store.display())]
    StoreFailed {
        /// The file.
        store: PathBuf,
    },
    /// The controller ended by itself. This does not happen in practice.
    #[error("the controller ended: {0}")]
    Controller(String),
    /// Workers cannot be stopped.
    #[error("{0}")]
    StandingDown(String),
}
