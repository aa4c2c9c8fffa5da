//! Why a store cannot be opened.
use std::io;
use std::path::{Path, PathBuf};

/// Why a store cannot be opened. Its file is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Its content makes no sense.
    #[error(
        "the store {} is damaged: {problem}. It was left as it is: put a backup in its place, or move it away to start with \
         an empty one", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A newer program wrote it.
    #[error(
        "the store {} has format {found}, and this Poolkeeper knows formats up to {known}: use the newer Poolkeeper that \
         wrote it. It was left as it is", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format that it has.
        found: u64,
        /// The newest format that this program knows.
        known: u64,
    },
    /// Another process has it open.
    #[error("the store {} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("the store {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DiskError {
    pub(super) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    /// What an error of redb means.
    pub(super) fn of(path: &Path, error: impl Into<redb::Error>) -> Self {
        let path = path.to_owned();
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse { path },
            // redb says so of a file that it has not written.
            redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
                Self::Damaged { path, problem: source.to_string() }
            }
            redb::Error::Io(source) => Self::Io { path, source },
            redb::Error::UpgradeRequired(found) => {
                Self::Damaged { path, problem: format!("redb wrote it in its format {found}, which is too old") }
            }
            error @ redb::Error::PreviousIo => Self::Io { path, source: io::Error::other(error.to_string()) },
            error => Self::Damaged { path, problem: error.to_string() },
        }
    }
}
