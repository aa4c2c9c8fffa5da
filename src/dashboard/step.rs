//! One step of a run, as `run --out` records it: the objects of `--progress json`.

use jiff::Timestamp;
use serde::Deserialize;

use crate::api::RuntimeKind;
use crate::api::dispatch::Outcome;
use crate::api::pool::Scope;
use crate::supervisor::spent::Spent;

/// A step, and when it was.
#[derive(Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When it was seen.
    pub time: Timestamp,
    /// What it was.
    #[serde(flatten)]
    pub event: StepKind,
}

/// What happened. Fields that no page shows are not read.
#[derive(Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StepKind {
    /// The run begins, or goes on after an earlier one.
    Run {
        /// Its id.
        run_id: String,
        /// Name of the pool.
        pool: String,
        /// The runtime of its workers.
        runtime: RuntimeKind,
        /// What rests after a rate limit. Absent in the records of version 0.1.
        scope: Option<Scope>,
        /// Tasks to run. None: they come while it runs, or there is one command.
        tasks: Option<u64>,
        /// Tasks that an earlier run finished.
        #[serde(default)]
        skipped: u64,
    },
    /// A task came.
    Came {
        /// Its id.
        task: String,
    },
    /// An attempt starts.
    Started {
        /// Id of the task.
        task: String,
        /// From 1.
        attempt: i32,
        /// Worker that runs it.
        worker: String,
        /// Where its output goes, below the directory of the run.
        files: Option<String>,
    },
    /// An attempt has ended.
    Ended {
        /// Id of the task.
        task: String,
        /// From 1.
        attempt: i32,
        /// How it ended.
        outcome: Outcome,
        /// Exit code of the command, if it was seen to exit.
        exit_code: Option<i32>,
        /// The message of the report.
        message: Option<String>,
        /// When the rest of its worker, or of its credential, ends.
        rests_until: Option<Timestamp>,
        /// What it cost, if its program said so.
        spent: Option<Spent>,
    },
    /// A task is over.
    Task {
        /// Id of the task.
        task: String,
        /// How its last attempt ended.
        outcome: Outcome,
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
        /// What the runtime says.
        message: String,
    },
    /// Something else that a person should know.
    Note {
        /// In words.
        message: String,
    },
    /// The run has ended.
    Summary {
        /// Tasks that were not run.
        #[serde(default)]
        not_run: u64,
    },
    /// A step that this version does not know.
    #[serde(other)]
    Other,
}

impl Step {
    /// Reads a line of a record. None: it is none, as the last line of a run that was killed.
    pub fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}
