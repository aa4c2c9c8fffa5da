//! The schema of the page's data. Times are milliseconds after `View::from`, unless they say something else. Lists of numbers
//! stand for what there are many of: their order is part of the schema.

use serde::Serialize;

use crate::api::RuntimeKind;
use crate::api::dispatch::Outcome;
use crate::api::pool::Scope;
use crate::supervisor::spent::Spent;

/// The number of this schema. It grows with a change that an older page would show wrongly.
pub const SCHEMA: u32 = 1;

/// What the page shows.
#[derive(Serialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the pool.
    pub pool: String,
    /// Id of the run.
    pub run_id: String,
    /// The runtime of the workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeKind>,
    /// What rests after a rate limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The first step, in milliseconds after 1970.
    pub from: i64,
    /// The last one.
    pub to: i64,
    /// How it stands.
    pub state: State,
    /// Begin and end of the run and of those that it goes on with.
    pub runs: Vec<[i64; 2]>,
    /// What became of the tasks.
    pub tasks: Tasks,
    /// Their ids. Other parts refer to them by position.
    pub ids: Vec<String>,
    /// The workers, in the order of their ordinals.
    pub rows: Vec<Row>,
    /// All attempts, in the order of their starts.
    pub attempts: Vec<Attempt>,
    /// Older attempts that are left out, because there are too many.
    pub left_out: usize,
    /// How many tasks waited for a worker: time, number.
    pub waiting: Vec<(i64, u64)>,
    /// When tasks waited and no attempt ran.
    pub stalls: Vec<Stall>,
    /// What a person should know: time, words.
    pub notes: Vec<(i64, String)>,
    /// What attempts cost, if their programs said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
    /// The ends of outputs.
    pub outputs: Vec<Output>,
    /// Why outputs are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_outputs: Option<String>,
}

/// How the run stands.
#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Every task is over.
    Complete,
    /// It ended with tasks that were not run.
    Stopped,
    /// No end is recorded: it goes on, or was killed.
    Open,
}

/// What became of the tasks.
#[derive(Serialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tasks {
    /// How many there are.
    pub total: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that ended otherwise.
    pub failed: u64,
    /// Those that only met rate limits.
    pub rate_limited: u64,
    /// Those of them that an earlier run finished, as far as its record is not there.
    pub skipped: u64,
}

/// A worker.
#[derive(Serialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Name of its credential, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// When it was up.
    pub up: Vec<[i64; 2]>,
    /// Its rests, one after another.
    pub rests: Vec<Rest>,
    /// How long it worked.
    pub worked: i64,
    /// How long it rested, up to the end of the run.
    pub rested: i64,
}

/// A rest of a worker.
#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Its begin.
    pub from: i64,
    /// Its end, which may be after the end of the run.
    pub until: i64,
    /// Position of the attempt that it follows. None: that is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<usize>,
}

/// An attempt.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Position of its task in `ids`.
    pub task: usize,
    /// From 1, in its run.
    pub n: i32,
    /// Position of its worker in `rows`.
    pub row: usize,
    /// Its start.
    pub from: i64,
    /// Its end; if that is not recorded, the end of its run.
    pub to: i64,
    /// How it ended. None: that is not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How long its task had waited for it. -1: that is not known.
    pub waited: i64,
    /// Exit code of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// The message of the report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// End of the rest that followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
    /// True while it runs, as far as that is seen. Its end is then the time of the view.
    #[serde(skip_serializing_if = "is_false")]
    pub running: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(is: &bool) -> bool {
    !is
}

/// A time in which tasks waited and no attempt ran.
#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// Its begin.
    pub from: i64,
    /// Its end.
    pub to: i64,
    /// Why.
    pub why: Why,
}

/// Why no attempt ran.
#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// Every worker rested.
    Rest,
    /// No worker was up.
    NoWorker,
    /// A worker was free: the tasks waited for the time of their retry, or for other work of the pool.
    Retry,
}

/// The end of what an attempt printed.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Position of the attempt.
    pub attempt: usize,
    /// The end of its standard output.
    pub stdout: Tail,
    /// The end of its standard error.
    pub stderr: Tail,
}

/// The end of a stream.
#[derive(Serialize, Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// Its text.
    pub text: String,
    /// How many bytes the whole stream has.
    pub bytes: u64,
}
