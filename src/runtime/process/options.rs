//! How to run workers as processes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use crate::runtime::credentials::Resolver;

/// Which variables of this process its workers get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Inherited {
    /// All.
    #[default]
    All,
    /// All but these, which hold values of credentials: a worker gets its own credential, and no other.
    Without(BTreeSet<String>),
    /// Only where its home, its programs and its temporary files are, and its language.
    General,
}

impl Inherited {
    /// True if workers get this variable.
    pub fn has(&self, name: &OsStr) -> bool {
        let name = name.to_str();
        match self {
            Self::All => true,
            // Programs do not run without the general ones, even if a credential names them.
            Self::Without(secret) => name.is_none_or(|name| is_general(name) || !secret.contains(name)),
            Self::General => name.is_some_and(is_general),
        }
    }
}

/// The variables that every program may know.
fn is_general(name: &str) -> bool {
    const NAMES: [&str; 8] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"];
    NAMES.contains(&name) || name.starts_with("LC_")
}

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
    /// Which variables of this process workers get. Default: all.
    pub inherited: Inherited,
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
            inherited: Inherited::default(),
            credentials: Resolver::default(),
        }
    }
}
