//! What the helper in a Pod and the keeper of a task share: where they are, and what starts programs there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::child::Worker;
use super::reaper::Reaper;

/// Name of the directory next to the program. Tasks may write there.
pub const TMP: &str = "tmp";
/// Time between SIGTERM and SIGKILL, for a task whose client has gone.
const GRACE: Duration = Duration::from_secs(10);

/// The directory for the files of tasks, next to this program.
pub fn tmp() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    program.parent().map(|dir| dir.join(TMP)).ok_or_else(|| io::Error::other("this program has no directory"))
}

/// What runs tasks in this container.
pub fn worker(tmp: &Path) -> io::Result<Arc<Worker>> {
    let mut env = Vec::new();
    if std::env::var_os("TMPDIR").is_none() {
        env.push(("TMPDIR".to_owned(), tmp.to_string_lossy().into_owned()));
    }
    let (reaper, working_dir) = (Reaper::start()?, std::env::current_dir()?);
    Ok(Arc::new(Worker { reaper, env, working_dir, kill_grace: GRACE }))
}
