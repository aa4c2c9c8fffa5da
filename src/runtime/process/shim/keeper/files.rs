//! How the keeper of a task is found by the task's key.

use std::path::{Path, PathBuf};

/// What a keeper says once it can be reached.
pub const LISTENS: &str = "it listens\n";

/// The file that says that there was a keeper for a key.
pub fn marker(tmp: &Path, key: &str) -> PathBuf {
    tmp.join(format!("{key}.kept"))
}

/// The socket of a keeper.
pub fn socket(tmp: &Path, key: &str) -> PathBuf {
    tmp.join(format!("{key}.sock"))
}
