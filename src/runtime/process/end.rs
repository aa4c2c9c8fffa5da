//! Making sure that nothing is left of a worker.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::procfs::{self, ProcessId};
use super::record::{Record, WorkerDir};
use super::state::Shared;
use crate::runtime::credentials::remove_value_file;
use crate::runtime::{InstanceKey, RuntimeError};

/// How long a shim may take, beyond the grace that it gives its tasks, to end.
const SHIM_PATIENCE: Duration = Duration::from_secs(3);
/// How long a killed process may take to end. The kernel may keep it, in a disk's or a network file system's hand.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks for processes that were made while the others were being killed.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Ends a worker of this controller and removes all of it.
pub async fn stop(shared: Arc<Shared>, key: InstanceKey) -> Result<(), RuntimeError> {
    let _alone = shared.exclusive(&key.uid).await;
    let Some(worker) = shared.get(&key.uid) else { return Ok(()) };
    if let Some(shim) = worker.shim
        && !worker.ended.is_cancelled()
    {
        let ended_within = |limit| tokio::time::timeout(limit, worker.ended.cancelled());
        shim.signal(Signal::TERM);
        if ended_within(worker.grace + SHIM_PATIENCE).await.is_err() {
            shim.signal(Signal::KILL);
            let still = format!("worker {} was killed, but does not end", key.worker);
            ended_within(KILL_PATIENCE).await.map_err(|_| RuntimeError::Unreachable(still))?;
        }
    }
    let refused = |error| RuntimeError::Refused(format!("{}: {error}", worker.dir.path().display()));
    remove(&worker.dir, shared.own).await.map_err(refused)?;
    remove_value_file(&key.uid);
    shared.remove(&key.uid);
    Ok(())
}

/// Ends a worker of which nothing but its record is known, and removes all of it. The error says what is left.
pub async fn destroy(own: &ProcessId, dir: &WorkerDir, record: &Record) -> Result<(), String> {
    if let Some(shim) = record.shim.filter(|shim| shim.is_alive()) {
        shim.signal(Signal::TERM);
        if !gone_within(shim, record.grace() + SHIM_PATIENCE).await {
            shim.signal(Signal::KILL);
            if !gone_within(shim, KILL_PATIENCE).await {
                return Err(format!("process {} of worker {} was killed, but does not end", shim.pid, record.worker));
            }
        }
    }
    end_left(&record.uid, None).await?;
    remove_value_file(&record.uid);
    remove(dir, *own).await.map_err(|error| format!("{}: {error}", dir.path().display()))
}

/// Kills what runs of a worker although its shim does not. `shim`: as [`procfs::left_of`] has it.
pub async fn end_left(uid: &str, shim: Option<ProcessId>) -> Result<(), String> {
    let look = || {
        let uid = uid.to_owned();
        let work = tokio::task::spawn_blocking(move || {
            let left = procfs::left_of(&uid, shim);
            for id in &left {
                id.signal(Signal::KILL);
            }
            left
        });
        async { work.await.map_err(|error| error.to_string()) }
    };
    let empty = async {
        while !look().await?.is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    };
    if let Ok(done) = tokio::time::timeout(KILL_PATIENCE, empty).await {
        return done;
    }
    let pids: Vec<String> = look().await?.iter().map(|id| id.pid.to_string()).collect();
    if pids.is_empty() { Ok(()) } else { Err(format!("processes {} were killed, but do not end", pids.join(", "))) }
}

/// Waits for the end of a process. False: it did not end in time.
async fn gone_within(id: ProcessId, limit: Duration) -> bool {
    let Some(ending) = id.ending() else { return !id.is_alive() };
    tokio::time::timeout(limit, ending.seen()).await.is_ok()
}

async fn remove(dir: &WorkerDir, by: ProcessId) -> std::io::Result<()> {
    let dir = dir.clone();
    tokio::task::spawn_blocking(move || dir.remove(by)).await.map_err(std::io::Error::other)?
}
