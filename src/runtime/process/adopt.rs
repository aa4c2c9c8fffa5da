//! Taking over the workers of a controller that ended, within the grace that they give it.

use std::io;
use std::sync::Arc;

use super::end;
use super::record::{self, Record, WorkerDir};
use super::start::{Connection, Death, own, watch};
use super::state::{Known, Shared};
use crate::runtime::{Exit, InstanceState, RuntimeError};

/// Takes over all workers of this installation.
pub async fn all(shared: &Arc<Shared>) -> Result<(), RuntimeError> {
    let workers = record::workers(&shared.options.run_dir);
    let refused = |error: io::Error| RuntimeError::Refused(format!("{}: {error}", workers.display()));
    for entry in std::fs::read_dir(&workers).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        let Some(dir) = name.to_str().and_then(|uid| WorkerDir::of(&shared.options.run_dir, uid)) else { continue };
        match dir.read_record().map_err(refused)? {
            Some(record) if record.installation == shared.options.installation => one(shared, dir, record).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn one(shared: &Arc<Shared>, dir: WorkerDir, mut record: Record) -> Result<(), RuntimeError> {
    let refused = |error: io::Error| RuntimeError::Refused(format!("worker {}: {error}", record.worker));
    if record.boot_id != shared.boot_id {
        return dir.remove(shared.own).map_err(refused);
    }
    if record.owner != shared.own && record.owner.is_alive() {
        let (dir, pid) = (shared.options.run_dir.display(), record.owner.pid);
        return Err(RuntimeError::Refused(format!(
            "{dir} is in use by process {pid}: end that, or use another directory"
        )));
    }
    match take_over(&dir, &record).await {
        Some((death, connection)) => {
            record.owner = shared.own;
            dir.write_record(&record).map_err(|error| RuntimeError::Refused(error.to_string()))?;
            shared.add(Known::new(&record, dir, InstanceState::Running));
            tokio::spawn(watch(shared.clone(), record, death, Some(connection)));
        }
        None if record.shim.is_none_or(super::procfs::ProcessId::is_alive) => {
            // It does not answer, or it is not known whether it was started. It was never reported, or soon will not be.
            end::destroy(&shared.own, &dir, &record).await.map_err(RuntimeError::Unreachable)?;
        }
        None => {
            let exit = dir.read_exit().map_err(refused)?;
            if exit.is_none() {
                end::end_left(&record.uid, None).await.map_err(RuntimeError::Unreachable)?;
            }
            if dir.path().exists() {
                record.owner = shared.own;
                dir.write_record(&record).map_err(|error| RuntimeError::Refused(error.to_string()))?;
                shared.add(Known::new(
                    &record,
                    dir,
                    InstanceState::Exited(exit.map_or_else(Exit::default, Into::into)),
                ));
            }
        }
    }
    Ok(())
}

/// Connects to a shim. None: it has ended, or does not listen.
async fn take_over(dir: &WorkerDir, record: &Record) -> Option<(Death, Connection)> {
    let death = Death::Other(record.shim?.ending()?);
    Some((death, own(dir).await.ok()?))
}
