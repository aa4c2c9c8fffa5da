//! How to run workers as processes.

use std::path::PathBuf;
use std::time::Duration;

use crate::runtime::credentials::Resolver;

/// How to run workers as processes.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// Directory for all that is written: sockets, records, scratch. Made if it is not there, with mode 0700.
    pub run_dir: PathBuf,
    /// The `poolkeeper` binary. None: the one that is running.
    pub binary: Option<PathBuf>,
    /// Id of the installation that the workers belong to.
    pub installation: String,
    /// How long a worker lives on without its controller. Default 10 s.
    pub owner_grace: Duration,
    /// Time between SIGTERM and SIGKILL. Default 2 s.
    pub kill_grace: Duration,
    /// Whether workers get only a few variables of this process. Default: all of them.
    pub clean_environment: bool,
    /// Finds the values of credentials. Default: as a command finds them.
    pub credentials: Resolver,
}

impl ProcessOptions {
    /// With the defaults.
    pub fn new(run_dir: impl Into<PathBuf>, installation: impl Into<String>) -> Self {
        Self {
            run_dir: run_dir.into(),
            binary: None,
            installation: installation.into(),
            owner_grace: Duration::from_secs(10),
            kill_grace: Duration::from_secs(2),
            clean_environment: false,
            credentials: Resolver::default(),
        }
    }
}
