//! What a controller knows of its workers, and the observers of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, broadcast};
use tokio_util::sync::CancellationToken;

use super::options::ProcessOptions;
use super::procfs::{self, ProcessId};
use super::record::{Record, WorkerDir};
use crate::runtime::{Exit, Instance, InstanceState, LOCAL_HOST, Observation};

/// Changes that a slow observer may lag behind before it is given a listing instead.
const CHANGES: usize = 1024;

/// One worker.
#[derive(Clone, Debug)]
pub struct Known {
    /// As others see it.
    pub instance: Instance,
    /// Its directory.
    pub dir: WorkerDir,
    /// The program that its shim is of.
    pub binary: Option<PathBuf>,
    /// Its shim.
    pub shim: Option<ProcessId>,
    /// Time that its shim takes between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Cancelled when it has exited.
    pub ended: CancellationToken,
}

impl Known {
    /// What a record says.
    pub fn new(record: &Record, dir: WorkerDir, state: InstanceState) -> Self {
        let handle = record.shim.map(|shim| record.handle(shim)).unwrap_or_default();
        let ended = CancellationToken::new();
        if matches!(state, InstanceState::Exited(_)) {
            ended.cancel();
        }
        let instance = Instance { key: record.key(), host: LOCAL_HOST.to_owned(), own: true, handle, state };
        Self { instance, dir, binary: record.binary.clone(), shim: record.shim, grace: record.grace(), ended }
    }
}

/// What all parts of the runtime share.
#[derive(Debug)]
pub struct Shared {
    /// As given; `run_dir` is absolute.
    pub options: ProcessOptions,
    /// The path of the `poolkeeper` binary, for people and for the command lines of targets.
    pub binary: PathBuf,
    /// What a shim is started from.
    pub program: PathBuf,
    /// This boot.
    pub boot_id: String,
    /// This process.
    pub own: ProcessId,
    /// Where poolkeeper runs.
    pub current_dir: PathBuf,
    workers: Mutex<BTreeMap<String, Known>>,
    changes: broadcast::Sender<Observation>,
    locks: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    closed: CancellationToken,
}

impl Shared {
    /// Of no worker yet.
    pub fn new(options: ProcessOptions, binary: PathBuf, program: PathBuf) -> io::Result<Self> {
        Ok(Self {
            options,
            binary,
            program,
            boot_id: procfs::boot_id()?,
            own: ProcessId::own()?,
            current_dir: std::env::current_dir()?,
            workers: Mutex::default(),
            changes: broadcast::channel(CHANGES).0,
            locks: Mutex::default(),
            closed: CancellationToken::new(),
        })
    }

    /// Releases all workers: they see that no process owns them.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Resolves when the workers were released.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Keeps starts and stops of one worker apart for as long as the guard lives.
    pub async fn exclusive(&self, uid: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = lock(&self.locks);
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(uid.to_owned()).or_default().clone()
        };
        lock.lock_owned().await
    }

    /// The worker with this uid.
    pub fn get(&self, uid: &str) -> Option<Known> {
        lock(&self.workers).get(uid).cloned()
    }

    /// The programs that the shims of all workers are of.
    pub fn binaries(&self) -> BTreeSet<PathBuf> {
        lock(&self.workers).values().filter_map(|worker| worker.binary.clone()).collect()
    }

    /// All instances, and the changes from here on: none is missed and none comes twice.
    pub fn list(&self) -> (Vec<Instance>, broadcast::Receiver<Observation>) {
        let workers = lock(&self.workers);
        let changes = self.changes.subscribe();
        (workers.values().map(|worker| worker.instance.clone()).collect(), changes)
    }

    /// Adds a worker.
    pub fn add(&self, worker: Known) {
        let mut workers = lock(&self.workers);
        let _ = self.changes.send(Observation::Changed(worker.instance.clone()));
        workers.insert(worker.instance.key.uid.clone(), worker);
    }

    /// A worker ended.
    pub fn set_exited(&self, uid: &str, exit: Exit) {
        let mut workers = lock(&self.workers);
        if let Some(worker) = workers.get_mut(uid) {
            worker.instance.state = InstanceState::Exited(exit);
            worker.ended.cancel();
            let _ = self.changes.send(Observation::Changed(worker.instance.clone()));
        }
    }

    /// Nothing is left of a worker.
    pub fn remove(&self, uid: &str) {
        let mut workers = lock(&self.workers);
        if let Some(worker) = workers.remove(uid) {
            let _ = self.changes.send(Observation::Gone(worker.instance.key));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
