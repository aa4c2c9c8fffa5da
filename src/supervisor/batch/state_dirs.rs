//! `$POOLKEEPER_STATE`: a directory of each task that all its attempts see, whichever worker they get.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use futures::StreamExt;

use super::ids;
use crate::api::dispatch::Target;
use crate::runtime::exec::{ExecError, Executor, Output, Running, Task, TaskEnd};
use crate::supervisor::Error;

/// The variable that names the directory of a task.
pub const VARIABLE: &str = "POOLKEEPER_STATE";
/// The most that is repeated of what `mkdir` prints, in bytes.
const MOST_WORDS: usize = 500;

/// Where the directories of the tasks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateDirs {
    /// On this machine.
    Here {
        /// The directory above them. It exists.
        dir: PathBuf,
        /// Where workers see it.
        seen_at: PathBuf,
        /// Permission bits of a task's directory. Containers may run as any user, so theirs are open to all.
        mode: u32,
    },
    /// On a file system that the workers share, below this path in them.
    InWorkers(String),
}

/// Why a task has no directory.
#[derive(Debug)]
pub enum StateError {
    /// The worker was not reached, or died.
    Worker(String),
    /// It cannot be made.
    Refused(Error),
}

impl StateDirs {
    /// Makes `dir`, for workers that are processes of this machine.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn of_processes(dir: &Path) -> Result<Self, Error> {
        let dir = make(dir)?;
        Ok(Self::Here { seen_at: dir.clone(), dir, mode: 0o700 })
    }

    /// Makes `dir`, for containers on this machine that see it at the path that `seen_at` answers for it.
    ///
    /// # Errors
    /// It cannot be made; or what `seen_at` answers.
    pub fn of_containers<E: From<Error>>(
        dir: &Path,
        seen_at: impl FnOnce(&Path) -> Result<PathBuf, E>,
    ) -> Result<Self, E> {
        let dir = make(dir)?;
        Ok(Self::Here { seen_at: seen_at(&dir)?, dir, mode: 0o777 })
    }

    /// Makes the directory of a task, if it is not there, and answers its path in the worker.
    ///
    /// # Errors
    /// It cannot be made, or the worker is gone.
    pub async fn of_task(&self, executor: &dyn Executor, target: &Target, id: &str) -> Result<String, StateError> {
        let name = ids::dir_name(id);
        match self {
            Self::Here { dir, seen_at, mode } => {
                let path = dir.join(&name);
                make_for_task(&path, *mode).map_err(|e| refused(&path.display().to_string(), &e.to_string()))?;
                Ok(seen_at.join(name).to_string_lossy().into_owned())
            }
            Self::InWorkers(dir) => {
                let path = format!("{}/{name}", dir.trim_end_matches('/'));
                make_in_worker(executor, target, &path).await?;
                Ok(path)
            }
        }
    }
}

fn make(dir: &Path) -> Result<PathBuf, Error> {
    let made = std::fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
    let made = made.map_err(|e| Error::Input(format!("--state {}: {e}", dir.display())))?;
    if made.to_str().is_none() {
        return Err(Error::Input(format!("--state {}: its path must be UTF-8", made.display())));
    }
    Ok(made)
}

/// Only a new directory gets the mode, whatever the umask is: a later change by the user stays.
fn make_for_task(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The worker makes it, as the user that runs its tasks.
async fn make_in_worker(executor: &dyn Executor, target: &Target, path: &str) -> Result<(), StateError> {
    let argv = ["mkdir", "-p", "--", path].map(str::to_owned).into();
    let Running { mut output, end } = match executor.exec(target, Task { argv, ..Task::default() }).await {
        Ok(running) => running,
        Err(ExecError::Worker(why)) => return Err(StateError::Worker(why)),
        Err(ExecError::Command { message, .. }) => {
            return Err(refused(path, &format!("mkdir cannot be run in the worker: {message}")));
        }
    };
    let mut words = Vec::new();
    while let Some(Output::Stdout(piece) | Output::Stderr(piece)) = output.next().await {
        words.extend(piece.iter().take(MOST_WORDS.saturating_sub(words.len())));
    }
    match end.await {
        TaskEnd::Exited(0) => Ok(()),
        TaskEnd::Exited(code) => {
            let words = String::from_utf8_lossy(&words);
            Err(refused(path, &format!("mkdir exited with {code} in the worker: {}", words.trim())))
        }
        TaskEnd::Lost(why) => Err(StateError::Worker(why)),
    }
}

fn refused(path: &str, why: &str) -> StateError {
    StateError::Refused(Error::Write {
        what: format!("cannot make {path} (--state)"),
        source: io::Error::other(why.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_gets_the_mode_and_one_that_is_there_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        make_for_task(&path, 0o777).unwrap();
        assert_eq!(mode(), 0o777);
        std::fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        make_for_task(&path, 0o777).unwrap();
        assert_eq!(mode(), 0o750);
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(make_for_task(&dir.path().join("file"), 0o777).is_err());
    }
}
