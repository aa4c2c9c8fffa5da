//! What a worker has on disk. Everything of one worker is in one directory, `<run directory>/workers/<uid>`:
//!
//! | name | what |
//! |---|---|
//! | `record.json` | its Worker, its owner and its process; written before anything is started |
//! | `socket` | where the shim listens |
//! | `tmp` | `TMPDIR` of all that runs in the worker |
//! | `results` | result files of tasks |
//! | `exit.json` | how it ended: written by the shim when nothing else of the worker runs |
//! | `shim.log` | what the shim had to say; empty unless something is wrong |
//!
//! The directory appears and disappears by rename, so one without a record belongs to no worker. Names with a leading
//! dot are on the way in or out and carry pid and start time of the process that moves them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::procfs::ProcessId;
use crate::api::worker::Handle;
use crate::runtime::{Exit, InstanceKey};

/// The grace of a worker whose record has none.
const USUAL_GRACE: Duration = Duration::from_secs(2);

/// Whose a worker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Namespace of the Worker.
    pub namespace: String,
    /// Name of the Worker.
    pub worker: String,
    /// Its uid.
    pub uid: String,
    /// Installation that it belongs to.
    pub installation: String,
    /// The boot within which the process numbers here mean something.
    pub boot_id: String,
    /// The process that runs the controller.
    pub owner: ProcessId,
    /// Time between SIGTERM and SIGKILL, in milliseconds. None: an older version made it.
    #[serde(default)]
    pub grace_ms: Option<u64>,
    /// The program that its shim is of, and that speaks its protocol. None: an older version made it.
    #[serde(default)]
    pub binary: Option<PathBuf>,
    /// The shim. None: not known to have been started; it may have been.
    pub shim: Option<ProcessId>,
}

impl Record {
    /// The key of its instance.
    pub fn key(&self) -> InstanceKey {
        InstanceKey { namespace: self.namespace.clone(), worker: self.worker.clone(), uid: self.uid.clone() }
    }

    /// Time between SIGTERM and SIGKILL.
    pub fn grace(&self) -> Duration {
        self.grace_ms.map_or(USUAL_GRACE, Duration::from_millis)
    }

    /// What the instance is called for ever: start times repeat from boot to boot.
    pub fn handle(&self, shim: ProcessId) -> Handle {
        Handle { id: shim.pid.to_string(), started: format!("{}/{}", self.boot_id, shim.start), engine: None }
    }
}

/// How a worker ended, as its shim wrote it down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExitRecord {
    code: Option<i32>,
    tail: String,
}

impl From<Exit> for ExitRecord {
    fn from(exit: Exit) -> Self {
        Self { code: exit.code, tail: exit.tail }
    }
}

impl From<ExitRecord> for Exit {
    fn from(record: ExitRecord) -> Self {
        Self { code: record.code, tail: record.tail, ..Self::default() }
    }
}

/// Where all workers of a run directory are.
pub fn workers(run_dir: &Path) -> PathBuf {
    run_dir.join("workers")
}

/// Makes that directory again, if a cleaner of temporary files removed it, alone or with the run directory.
///
/// # Errors
/// It cannot be made, or another user has put something else there.
pub fn ensure_workers(run_dir: &Path) -> io::Result<()> {
    let workers = workers(run_dir);
    if workers.exists() {
        return ensure_own(&workers);
    }
    if !run_dir.exists()
        && let Some(parent) = run_dir.parent()
    {
        ensure_own(parent)?;
    }
    ensure_own(run_dir)?;
    ensure_own(&workers)
}

/// Makes a directory for this user alone, unless it is there and this user's. Where other users may create files, one of
/// them could offer a directory under a name that was just removed.
fn ensure_own(dir: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = fs::metadata(dir)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("{} is not a directory of this user", dir.display())));
    }
    Ok(())
}

/// The directory of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerDir(PathBuf);

impl WorkerDir {
    /// The directory of the worker with this uid. None: the uid cannot be a file name.
    pub fn of(run_dir: &Path, uid: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let usable = !uid.is_empty() && uid.len() <= 128 && uid.chars().all(plain);
        usable.then(|| Self(workers(run_dir).join(uid)))
    }

    /// A directory that is known to be one.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Itself.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// The shim's socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
    /// The tasks' `TMPDIR`.
    pub fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }
    /// Result files.
    pub fn results(&self) -> PathBuf {
        self.0.join("results")
    }
    /// The shim's standard error.
    pub fn log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    /// Makes it, with all that a shim needs. Fails if it is there.
    pub fn create(&self, record: &Record) -> io::Result<()> {
        let new = Self(self.next_to_it("new", record.owner));
        let made = (|| {
            fs::DirBuilder::new().mode(0o700).create(&new.0)?;
            new.write_record(record)?;
            for dir in [new.tmp(), new.results()] {
                fs::DirBuilder::new().mode(0o700).create(dir)?;
            }
            // A rename onto an existing directory succeeds if that is empty; ours never are.
            fs::rename(&new.0, &self.0)
        })();
        made.inspect_err(|_| drop(remove_tree(&new.0)))
    }

    /// Removes it with all that is in it. Fine if it is not there. For when nothing of the worker runs any more: what cannot
    /// be removed then, since it is another user's, stops nothing, and stays under the name that [`left`] finds.
    pub fn remove(&self, by: ProcessId) -> io::Result<()> {
        let gone = self.next_to_it("gone", by);
        match fs::rename(&self.0, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        discard(&gone);
        Ok(())
    }

    /// Makes again what a cleaner of temporary files removed from a living worker, except its socket.
    pub fn repair(&self, record: &Record) -> io::Result<()> {
        for dir in [self.tmp(), self.results()] {
            match fs::DirBuilder::new().mode(0o700).create(dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        if self.record_file().exists() { Ok(()) } else { self.write_record(record) }
    }

    /// True if this path leads to the directory that this process is in.
    pub fn is_current_dir(&self) -> bool {
        let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
        matches!((id(&self.0), id(Path::new("."))), (Ok(there), Ok(here)) if there == here)
    }

    /// Removes what only a living worker needs.
    pub fn remove_scratch(&self) -> io::Result<()> {
        match fs::remove_file(self.socket()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        remove_tree(&self.results())?;
        remove_tree(&self.tmp())
    }

    /// The record. None: there is no such worker.
    pub fn read_record(&self) -> io::Result<Option<Record>> {
        read_json(&self.record_file())
    }

    /// Replaces the record.
    pub fn write_record(&self, record: &Record) -> io::Result<()> {
        write_json(&self.record_file(), record)
    }

    /// How it ended. None: its shim did not say.
    pub fn read_exit(&self) -> io::Result<Option<ExitRecord>> {
        read_json(&self.0.join("exit.json"))
    }

    /// Says how it ended.
    pub fn write_exit(&self, exit: &ExitRecord) -> io::Result<()> {
        write_json(&self.0.join("exit.json"), exit)
    }

    fn record_file(&self) -> PathBuf {
        self.0.join("record.json")
    }

    fn next_to_it(&self, what: &str, by: ProcessId) -> PathBuf {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        self.0.with_file_name(format!(".{what}.{}.{}.{name}", by.pid, by.start))
    }
}

/// The process that moves a directory whose name has a leading dot. None: it is no such name.
pub fn mover(name: &str) -> Option<ProcessId> {
    let rest = name.strip_prefix(".new.").or_else(|| name.strip_prefix(".gone."))?;
    let mut parts = rest.splitn(3, '.');
    let id = ProcessId { pid: parts.next()?.parse().ok()?, start: parts.next()?.parse().ok()? };
    parts.next().map(|_| id)
}

/// Removes what is no longer needed, as far as possible.
pub fn discard(path: &Path) {
    if let Err(error) = remove_tree(path) {
        tracing::warn!(path = %path.display(), %error, "what a worker left cannot be removed: remove it by hand");
    }
}

/// What workers left in a run directory that could not be removed.
pub fn left(run_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(workers(run_dir)).into_iter().flatten().flatten();
    let mut left: Vec<PathBuf> =
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(".gone.")).map(|e| e.path()).collect();
    left.sort();
    left
}

/// Removes a directory with all that is in it, also where a task took away its own permission to. Fine if it is not there.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // One permission may be missing and another not.
            let _ = permit(path);
            fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn permit(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            permit(&entry.path())?;
        }
    }
    Ok(())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
    }
}

/// By rename: no reader sees half of it. Not synced: what it describes does not survive the machine either.
fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_moved_names_its_mover() {
        let id = ProcessId { pid: 12, start: 345 };
        let dir = WorkerDir::of(Path::new("/run"), "ab-c").unwrap();
        let name = dir.next_to_it("gone", id).file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name, ".gone.12.345.ab-c");
        assert_eq!(mover(&name), Some(id));
        for name in ["ab-c", ".gone.12.ab-c", ".old.12.345.ab-c", ".gone.x.345.ab-c"] {
            assert_eq!(mover(name), None, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_removed_is_listed_and_blocks_nothing() {
        let run = tempfile::tempdir().unwrap();
        fs::create_dir(workers(run.path())).unwrap();
        let id = ProcessId { pid: 12, start: 345 };
        let dir = WorkerDir::of(run.path(), "ab-c").unwrap();
        // No directory: not even root can remove it as one.
        fs::write(dir.path(), "").unwrap();
        dir.remove(id).unwrap();
        assert_eq!(left(run.path()), [workers(run.path()).join(".gone.12.345.ab-c")]);
        dir.remove(id).unwrap();
    }

    #[test]
    fn a_uid_cannot_lead_out_of_the_directory() {
        for uid in ["", "..", "a/b", ".gone", "a b"] {
            assert_eq!(WorkerDir::of(Path::new("/run"), uid), None, "{uid}");
        }
    }
}
