//! The progress of a run, as values. Nothing here prints.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::api::RuntimeKind;
use crate::api::dispatch::Outcome;
use crate::api::pool::Scope;
use crate::runtime::exec::Output;

use super::spent::Spent;

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// The run begins.
    Run {
        /// Its id.
        run_id: String,
        /// Name of the pool.
        pool: String,
        /// The runtime of its workers.
        runtime: RuntimeKind,
        /// What rests after a rate limit.
        scope: Scope,
        /// Most workers.
        workers: i32,
        /// Tasks to run. None for a single command.
        tasks: Option<u64>,
        /// True if tasks come while the run goes on.
        more_come: bool,
        /// Tasks that an earlier run finished.
        skipped: u64,
        /// Those of them that failed.
        skipped_failed: u64,
        /// What attempts of earlier runs cost.
        spent_before: Spent,
    },
    /// A task came while the run goes on.
    Came {
        /// Its id.
        task: String,
    },
    /// What came is no task.
    Mistake {
        /// What it is, where, and what would be right.
        message: String,
    },
    /// An attempt starts.
    Started {
        /// Id of the task.
        task: String,
        /// From 1.
        attempt: i32,
        /// Worker that runs it.
        worker: String,
        /// Where its output goes, below the directory of the run. None: it is not stored.
        files: Option<String>,
    },
    /// An attempt has ended.
    Ended {
        /// Id of the task.
        task: String,
        /// From 1.
        attempt: i32,
        /// Worker that ran it.
        worker: String,
        /// How it ended.
        outcome: Outcome,
        /// Exit code of the command, if it was seen to exit.
        exit_code: Option<i32>,
        /// The message of the report.
        message: Option<String>,
        /// How long it took.
        took: Duration,
        /// When the rest of its worker, or of its credential, ends.
        until: Option<Timestamp>,
        /// What it cost, if its program said so.
        spent: Option<Spent>,
        /// Where its output is, below the directory of the run. None: it is not stored.
        files: Option<String>,
    },
    /// A task is over.
    Task {
        /// Id of the task.
        task: String,
        /// How its last attempt ended.
        outcome: Outcome,
        /// How many attempts there were.
        attempts: i32,
    },
    /// A worker came up.
    WorkerReady {
        /// Its name.
        worker: String,
        /// Name of its credential, if it has one.
        credential: Option<String>,
    },
    /// A worker is gone, or going.
    WorkerGone {
        /// Its name.
        worker: String,
    },
    /// Workers fail to start.
    StartFailed {
        /// How many times in a row.
        failures: i32,
        /// What the runtime says, and what to set.
        message: String,
    },
    /// Something else that a person should know.
    Note {
        /// In words.
        text: String,
    },
}

/// Shows progress, and what the tasks print.
#[async_trait]
pub trait Reporter: Send + Sync + 'static {
    /// Shows one step, seen at `now`.
    fn report(&self, progress: &Progress, now: Timestamp);

    /// Passes on a piece of a single command's output, as it arrives.
    ///
    /// # Errors
    /// Standard output was closed.
    async fn pass_on(&self, piece: &Output) -> io::Result<()>;

    /// Shows the whole output of a task that has ended. Blocks while standard output is not read.
    ///
    /// # Errors
    /// Standard output was closed, or a file cannot be read.
    fn show_output(&self, stdout: &Path, stderr: &Path) -> io::Result<()>;
}

/// Shows nothing.
pub struct Silent;

#[async_trait]
impl Reporter for Silent {
    fn report(&self, _: &Progress, _: Timestamp) {}

    async fn pass_on(&self, _: &Output) -> io::Result<()> {
        Ok(())
    }

    fn show_output(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }
}
