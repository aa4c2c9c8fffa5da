//! The run directory: `--out DIR`, or a temporary one that goes away with the run.
//!
//! | path | what |
//! |---|---|
//! | `ID/attempt-N/stdout`, `…/stderr`, `…/result.json` | of each attempt of each task |
//! | `ID/stdout`, `ID/stderr`, `ID/result.json` | of the last one |
//! | `report.html` | the page that shows the run, and those before it |
//! | `.poolkeeper/steps.jsonl` | every step, as `--progress json` shows it; the page is made of it |
//! | `.poolkeeper/run.lock` | locked while a run uses the directory; holds its pid |
//! | `.poolkeeper/run.json` | the run's id, which its workers carry, and a hash of the command |
//! | `.poolkeeper/workers/` | a record of each worker (Process), written before its start, and its socket |

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ids;
use super::result::{self, TaskResult};
use super::tasks::Item;
use crate::api::dispatch::Outcome;
use crate::supervisor::Error;

/// The directory in it that is Poolkeeper's own.
pub const OWN: &str = ".poolkeeper";
/// Name of the lock file in that.
pub const LOCK: &str = "run.lock";
/// Name of the file in it that says which run it is.
const RECORD: &str = "run.json";
/// Name of the page that shows the run.
const REPORT: &str = "report.html";
/// Name of the file in Poolkeeper's own directory that holds the steps of the run.
const STEPS: &str = "steps.jsonl";
/// What the names of temporary run directories start with.
pub const TEMPORARY: &str = "poolkeeper-run-";

/// What the directory says about its run.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct RunRecord {
    run_id: String,
    command_hash: String,
    /// Runs that this one goes on with, and whose ends on their server are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<String>,
    /// Those of all these whose tasks live on without a client.
    #[serde(default, rename = "kept", skip_serializing_if = "Vec::is_empty")]
    outliving: Vec<String>,
}

/// Which run it is that goes on with an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The same: nothing of it is left but its own workers.
    Same,
    /// Another one: the Dispatches of the earlier one may still be on their server.
    Another,
}

impl RunRecord {
    /// The record of a run that goes on with this one.
    fn followed_by(self, next: Self, identity: Identity) -> Self {
        match identity {
            Identity::Same => Self { run_id: self.run_id, ..next },
            Identity::Another => {
                let former = std::iter::once(self.run_id).chain(self.former).collect();
                Self { former, outliving: self.outliving, ..next }
            }
        }
    }
}

/// A run directory that this process holds.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    record: RunRecord,
    resumed: bool,
    temporary: Option<tempfile::TempDir>,
    /// Locked for as long as it is open.
    _lock: File,
}

impl RunDir {
    /// Makes a directory in `base` that is removed with the value.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn temporary(base: &Path, run_id: String) -> Result<Self, Error> {
        let made = (|| {
            let dir = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(base)?;
            let own = dir.path().join(OWN);
            DirBuilder::new().mode(0o700).create(&own)?;
            // No other process knows of it, so the lock is free.
            let lock = lock(&own.join(LOCK))?.map_err(|_| io::Error::other("its lock is taken"))?;
            Ok((dir, lock))
        })();
        let (dir, lock) =
            made.map_err(|e: io::Error| Error::Input(format!("cannot make a directory in {}: {e}", base.display())))?;
        let record = RunRecord { run_id, command_hash: String::new(), former: Vec::new(), outliving: Vec::new() };
        Ok(Self { path: dir.path().to_owned(), record, resumed: false, temporary: Some(dir), _lock: lock })
    }

    /// Takes `path` for a run of `command`. With `resume` it may hold an earlier run, whose id is then this run's if it is the
    /// same one; else the id is `run_id`.
    ///
    /// # Errors
    /// A living run uses it, it holds something else, it holds results and `resume` is not set, or the command differs.
    pub fn open(
        path: &Path,
        resume: bool,
        run_id: String,
        identity: Identity,
        command: &[String],
    ) -> Result<Self, Error> {
        let name = path.display();
        let wrong = |e: io::Error| Error::Input(format!("--out {name}: {e}"));
        fs::create_dir_all(path).map_err(wrong)?;
        let path = path.canonicalize().map_err(wrong)?;
        let own = path.join(OWN);
        if !own.is_dir() && holds_anything(&path, &[]).map_err(wrong)? {
            return Err(Error::Conflict(format!(
                "--out {name}: it is not empty, and no run made it: name an empty or new directory"
            )));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&own).map_err(wrong)?;
        let lock = lock(&own.join(LOCK)).map_err(wrong)?.map_err(|pid| {
            let who = if pid.is_empty() { String::new() } else { format!(" (pid {pid})") };
            Error::Conflict(format!("--out {name}: a run{who} is using it: wait for that, or name another directory"))
        })?;
        let command_hash = result::hash(None, command);
        let wanted = RunRecord { run_id, command_hash, former: Vec::new(), outliving: Vec::new() };
        let file = own.join(RECORD);
        let found = match fs::read(&file) {
            // As if it were not there: the results name the command too, and no worker outlived the machine.
            Ok(bytes) if result::is_emptied(&bytes) => None,
            Ok(bytes) => Some(serde_json::from_slice::<RunRecord>(&bytes).map_err(|e| {
                let file = file.display();
                Error::Conflict(format!("{file}: {e}; remove it to go on with the results that are there"))
            })?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(wrong(e)),
        };
        let used = holds_anything(&path, &[REPORT]).map_err(wrong)?;
        let record = match found {
            // It has no result, or was emptied by hand. Its workers may still be there, so it keeps its id.
            Some(found) if !used => found.followed_by(wanted, identity),
            _ if used && !resume => {
                return Err(Error::Conflict(format!(
                    "--out {name}: it holds the results of another run: add --resume to go on with that, or name another directory"
                )));
            }
            Some(found) if found.command_hash != wanted.command_hash => {
                return Err(Error::Conflict(format!(
                    "--out {name}: it holds the results of another command: resume with the same one, or name another directory"
                )));
            }
            Some(found) => found.followed_by(wanted, identity),
            None => wanted,
        };
        write_new(&file, &record).map_err(wrong)?;
        Ok(Self { path, record, resumed: resume, temporary: None, _lock: lock })
    }

    /// The id that the run's workers carry.
    pub fn run_id(&self) -> &str {
        &self.record.run_id
    }

    /// The run, as it stands in names and labels.
    pub fn run(&self) -> String {
        ids::run(&self.record.run_id)
    }

    /// The ids of earlier runs that may have left something on their server.
    pub fn former(&self) -> &[String] {
        &self.record.former
    }

    /// Those of the earlier runs whose tasks live on without a client.
    pub fn outliving(&self) -> impl Iterator<Item = &String> {
        self.record.former.iter().filter(|run| self.record.outliving.contains(run))
    }

    /// Records that nothing is left of the earlier runs but these, and whether tasks of this run live on without it.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn begin(&self, left: Vec<String>, keeps: bool) -> Result<(), Error> {
        let run = &self.record;
        let own = keeps.then(|| run.run_id.clone());
        let outliving = run.outliving.iter().filter(|id| left.contains(id)).cloned().chain(own).collect();
        let record = RunRecord { former: left, outliving, ..run.clone() };
        let file = self.runtime_dir().join(RECORD);
        write_new(&file, &record).map_err(|e| Error::write(format!("cannot write {}", file.display()), e))
    }

    /// Where the Process runtime keeps its records.
    pub fn runtime_dir(&self) -> PathBuf {
        self.path.join(OWN)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file of the steps, which are appended.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn record_steps(&self) -> io::Result<File> {
        let mut file = File::options().append(true).create(true).open(steps(&self.path))?;
        if !self.resumed {
            file.set_len(0)?;
        } else if file.metadata()?.len() > 0 {
            // A run that was killed may have left half a line.
            file.write_all(b"\n")?;
        }
        Ok(file)
    }

    /// True if outputs and results outlive the run.
    pub const fn is_persistent(&self) -> bool {
        self.temporary.is_none()
    }

    /// True if it may hold results of an earlier run.
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Directory of a task.
    pub fn task_dir(&self, id: &str) -> PathBuf {
        self.path.join(ids::dir_name(id))
    }

    /// Names directories of tasks, without holding this one.
    pub fn task_dirs(&self) -> impl Fn(&str) -> PathBuf + Send + 'static {
        let path = self.path.clone();
        move |id| path.join(ids::dir_name(id))
    }

    /// How an earlier run finished this very task. None: it has to run.
    ///
    /// # Errors
    /// The result under its id is of another task, or cannot be read.
    pub fn done(&self, item: &Item, command: &[String]) -> Result<Option<Outcome>, Error> {
        if !self.resumed {
            return Ok(None);
        }
        let dir = self.task_dir(&item.id);
        let found = TaskResult::read(&dir).map_err(|e| {
            Error::Conflict(format!(
                "--resume: {}: {e}; remove it to run the task again",
                dir.join(result::FILE).display()
            ))
        })?;
        let Some(found) = found else { return Ok(None) };
        if found.hash != result::hash(Some(&item.text), command) {
            return Err(Error::Conflict(format!(
                "--resume: the result of task {:?} in {} is of another task (line {} has changed): resume with the same tasks, \
                 or name another directory",
                item.id,
                dir.display(),
                item.line
            )));
        }
        Ok(found.is_final().then_some(found.outcome))
    }

    /// The result file of a task, if it has no content.
    pub fn emptied_result(&self, item: &Item) -> Option<PathBuf> {
        let dir = self.task_dir(&item.id);
        let file = dir.join(result::FILE);
        (file.exists() && matches!(TaskResult::read(&dir), Ok(None))).then_some(file)
    }
}

/// The page that shows the run in a directory.
pub fn report(dir: &Path) -> PathBuf {
    dir.join(REPORT)
}

/// The steps of the run in a directory, and of those that it goes on with.
pub fn steps(dir: &Path) -> PathBuf {
    dir.join(OWN).join(STEPS)
}

/// Locks a file for as long as it is open. `Err(pid)`: another process holds the lock.
fn lock(path: &Path) -> io::Result<Result<File, String>> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            write!(file, "{}", std::process::id())?;
            Ok(Ok(file))
        }
        Err(fs::TryLockError::WouldBlock) => Ok(Err(fs::read_to_string(path)?)),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// True if a directory holds anything besides Poolkeeper's own directory, these names, and what the file system itself puts into
/// its root.
fn holds_anything(path: &Path, but: &[&str]) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != OWN && name != "lost+found" && !but.iter().any(|own| name == *own) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn write_new(path: &Path, record: &RunRecord) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec_pretty(record)?)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(word: &str) -> Vec<String> {
        vec![word.to_owned()]
    }

    fn open(path: &Path, resume: bool, word: &str) -> Result<RunDir, Error> {
        RunDir::open(path, resume, "id".to_owned(), Identity::Same, &command(word))
    }

    #[test]
    fn one_run_at_a_time_and_never_by_accident() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let first = open(&out, false, "true").unwrap();
        let error = open(&out, true, "true").unwrap_err();
        assert!(
            matches!(error, Error::Conflict(_)) && error.to_string().contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        drop(first);
        drop(open(&out, false, "false").unwrap());
        drop(open(&out, false, "true").unwrap());
        fs::create_dir(out.join("line-1")).unwrap();
        assert!(open(&out, false, "true").unwrap_err().to_string().contains("--resume"));
        assert!(open(&out, true, "false").unwrap_err().to_string().contains("another command"));
        let open = |id: &str, identity| RunDir::open(&out, true, id.to_owned(), identity, &command("true")).unwrap();
        assert_eq!(open("other", Identity::Same).run_id(), "id");
    }

    #[test]
    fn another_run_remembers_the_earlier_ones_until_nothing_is_left_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let open =
            |id: &str| RunDir::open(dir.path(), true, id.to_owned(), Identity::Another, &command("true")).unwrap();
        assert_eq!(open("first").former(), [""; 0]);
        assert_eq!(open("second").former(), ["first"]);
        let third = open("third");
        assert_eq!((third.run_id(), third.former()), ("third", &["second".to_owned(), "first".to_owned()][..]));
        assert_eq!(third.outliving().count(), 0);
        third.begin(vec!["second".to_owned()], true).unwrap();
        drop(third);
        let fourth = open("fourth");
        assert_eq!(fourth.former(), ["third", "second"]);
        assert_eq!(fourth.outliving().collect::<Vec<_>>(), ["third"]);
        fourth.begin(Vec::new(), false).unwrap();
        drop(fourth);
        let fifth = open("fifth");
        assert_eq!((fifth.former(), fifth.outliving().count()), (&["fourth".to_owned()][..], 0));
    }

    #[test]
    fn a_directory_with_anything_else_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        let error = open(dir.path(), true, "true").unwrap_err();
        assert!(matches!(error, Error::Conflict(_)) && error.to_string().contains("not empty"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_done_is_known_by_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let run = open(dir.path(), true, "true").unwrap();
        let item = Item { id: "a".into(), line: 1, text: "x".into(), priority: 0 };
        assert_eq!(run.done(&item, &command("true")).unwrap(), None);
        let mut result = TaskResult {
            id: "a".into(),
            hash: result::hash(Some("x"), &command("true")),
            outcome: Outcome::Succeeded,
            exit_code: Some(0),
            message: None,
            spent: None,
            attempts: 1,
            worker: None,
            started_at: None,
            finished_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let task_dir = run.task_dir("a");
        fs::create_dir(&task_dir).unwrap();
        for (outcome, done) in [
            (Outcome::Succeeded, true),
            (Outcome::Failed, true),
            (Outcome::RateLimited, false),
            (Outcome::Forced, false),
        ] {
            result.outcome = outcome;
            result.write(&task_dir).unwrap();
            assert_eq!(run.done(&item, &command("true")).unwrap(), done.then_some(outcome), "{outcome}");
        }
        let other = Item { text: "y".into(), ..item.clone() };
        let error = run.done(&other, &command("true")).unwrap_err();
        assert!(matches!(error, Error::Conflict(_)) && error.to_string().contains("\"a\""), "{error}");
        fs::write(task_dir.join(result::FILE), "{").unwrap();
        assert!(matches!(run.done(&item, &command("true")).unwrap_err(), Error::Conflict(_)));
    }
}
