//! A task, and an attempt at it as its Dispatch showed it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::api::dispatch::{Target, WorkerRef};
use crate::supervisor::batch::attempts;
use crate::supervisor::spent::Spent;

/// A task.
#[derive(Clone, Debug)]
pub struct TaskRef {
    /// Its id.
    pub id: String,
    /// Its line, from 1; 0 for a single command.
    pub line: u64,
    /// Its text. None for a single command.
    pub text: Option<String>,
    /// The directory of its output and its result, if these are written.
    pub dir: Option<PathBuf>,
    /// How many attempts of earlier runs have files in it.
    pub earlier: i32,
    /// Its place in the queue of the pool: higher first.
    pub priority: i32,
}

impl TaskRef {
    /// Where the files of an attempt are, below the directory of the run. None: nothing is written.
    pub fn files(&self, number: i32) -> Option<String> {
        let task = self.dir.as_ref()?.file_name()?.to_string_lossy();
        Some(attempts::dir(Path::new(&*task), self.earlier + number).display().to_string())
    }
}

/// One attempt, as the Dispatch showed it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Name of the Dispatch.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// From 1.
    pub number: i32,
    /// Its worker.
    pub worker: WorkerRef,
    /// How to reach the worker.
    pub target: Target,
    /// What to run.
    pub task: Arc<TaskRef>,
    /// True if no other attempt follows if this one fails.
    pub last_try: bool,
    /// True if an earlier run may have started it.
    pub again: bool,
    /// Set before its end is reported, if its program said what it cost.
    pub spent: Arc<OnceLock<Spent>>,
    /// The exit code, set once the command has exited: then its end counts, whatever else is due.
    pub exited: Arc<OnceLock<i32>>,
}

impl Attempt {
    /// Its number among the attempts that have files, those of earlier runs counted.
    pub(super) fn place(&self) -> i32 {
        self.task.earlier + self.number
    }

    /// The number of the files of an earlier run that this attempt may go on with.
    pub(super) fn begun_before(&self) -> Option<i32> {
        Some(self.task.earlier).filter(|number| self.again && *number > 0)
    }
}
