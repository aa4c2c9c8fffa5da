//! What a run leaves behind that is killed: workers, records of them, and temporary directories. The next run removes it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::runtime::process;
use crate::supervisor::batch::outdir::{self, RunDir};

/// Removes the temporary directories in `tmp` of this user's runs that were killed, and what still runs of them. If that
/// fails, this run goes on without it.
pub async fn sweep_temporary(tmp: &Path) {
    let own = rustix::process::getuid().as_raw();
    for entry in fs::read_dir(tmp).into_iter().flatten().flatten() {
        let named = entry.file_name().to_string_lossy().starts_with(outdir::TEMPORARY);
        // The metadata of a link is that of the link itself.
        if !named || !entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == own) {
            continue;
        }
        let run_dir = entry.path().join(outdir::OWN);
        // A lock without a pid is about to be taken.
        let lock = File::open(run_dir.join(outdir::LOCK));
        let Ok(lock) = lock.and_then(|file| Ok((file.metadata()?.len() > 0).then_some(file))) else { continue };
        let Some(_lock) = lock.filter(|lock| lock.try_lock().is_ok()) else { continue };
        if process::sweep_leftovers(&run_dir).await.is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Removes what only a living run needs, and answers what of it cannot be removed.
pub fn clean(dir: &RunDir) -> Vec<PathBuf> {
    // This fails, as it should, if a worker is left in the directory.
    let _ = fs::remove_dir(dir.runtime_dir().join("workers"));
    process::left_files(&dir.runtime_dir())
}
