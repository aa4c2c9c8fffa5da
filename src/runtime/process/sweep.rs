//! What a run that died left behind.

use std::io;
use std::path::{Path, PathBuf};

use super::end;
use super::procfs::{self, ProcessId};
use super::record::{self, WorkerDir};
use crate::runtime::{InstanceKey, RuntimeError};

/// Destroys every worker in a run directory whose owner has ended: kills what runs of it, waits until that is
/// gone, removes its files. Never touches a worker whose owner is alive (this process included), nor a process
/// that merely has the number of one that is gone. After `Ok` nothing is left of them; the keys of those that were
/// there are returned. After an error some may be left, and calling again goes on. No directory: nothing to do.
///
/// # Errors
/// When something still runs after it was killed, or files cannot be looked at. For those that cannot be removed: [`left_files`].
pub async fn sweep_leftovers(run_dir: &Path) -> Result<Vec<InstanceKey>, RuntimeError> {
    let workers = record::workers(run_dir);
    let refused = |error: io::Error| RuntimeError::Refused(format!("{}: {error}", workers.display()));
    let own = ProcessId::own().map_err(refused)?;
    let boot_id = procfs::boot_id().map_err(refused)?;
    let entries = match std::fs::read_dir(&workers) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(refused)?,
    };
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>().map_err(refused)?;
    names.sort();
    let mut swept = Vec::new();
    for name in names {
        let path = workers.join(&name);
        let failed = |error: io::Error| RuntimeError::Refused(format!("{}: {error}", path.display()));
        if let Some(mover) = record::mover(&name.to_string_lossy()) {
            if !mover.is_alive() {
                record::discard(&path);
            }
            continue;
        }
        let dir = WorkerDir::at(&path);
        let Some(record) = dir.read_record().map_err(failed)? else {
            // A shim that ends itself at this moment takes its directory along.
            match path.exists() {
                true => {
                    return Err(failed(io::Error::other("has no record, so it is no worker's: remove it by hand")));
                }
                false => continue,
            }
        };
        if record.boot_id != boot_id {
            dir.remove(own).map_err(failed)?;
        } else if record.owner.is_alive() {
            continue;
        } else {
            end::destroy(&own, &dir, &record).await.map_err(RuntimeError::Unreachable)?;
        }
        swept.push(record.key());
    }
    Ok(swept)
}

/// Directories that workers left in a run directory and that could not be removed: as a rule because they hold files of another
/// user, for example of a container that a task started.
pub fn left_files(run_dir: &Path) -> Vec<PathBuf> {
    record::left(run_dir)
}
