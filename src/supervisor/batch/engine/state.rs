//! What the engine knows: each task in flight, and what the watches showed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::dispatch::{DispatchStatus, Outcome};
use crate::api::{ContainerPool, Period};
use crate::supervisor::attempt::{AttemptEnd, Runner, TaskRef};
use crate::supervisor::batch::IN_FLIGHT_PER_WORKER;
use crate::supervisor::batch::former::Adopted;
use crate::supervisor::batch::source::TaskSource;
use crate::supervisor::spent::{Spent, Usd};
use crate::supervisor::tracker::Tracker;

/// How a batch is to be run.
pub struct BatchOptions {
    /// The pool.
    pub pool: ContainerPool,
    /// Further attempts after Failed.
    pub retry_failed: i32,
    /// The shortest wait before an attempt that follows Failed, WorkerLost or Overloaded.
    pub backoff: Period,
    /// Once so much was spent, nothing more is started.
    pub max_cost: Option<Usd>,
    /// What an earlier run spent that this one goes on with.
    pub spent_before: Usd,
    /// The most time for a task, from its first start.
    pub timeout: Option<Period>,
    /// True: a task's directory stays after its output was printed.
    pub keep: bool,
    /// Added to the message if no worker can be started.
    pub start_hint: &'static str,
    /// The run, as it stands in names and labels.
    pub run: String,
    /// The Lease of the run, on a server that others use too. None: the server is in this process.
    pub lease: Option<String>,
    /// Dispatches of earlier runs that this one goes on with.
    pub adopted: Adopted,
}

/// How the last task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its outcome.
    pub outcome: Outcome,
    /// Exit code of its command, if it was seen to exit.
    pub exit_code: Option<i32>,
    /// True if `--timeout` ended it.
    pub timed_out: bool,
}

/// A task between its creation and its end.
pub(super) struct InFlight {
    pub(super) task: Arc<TaskRef>,
    pub(super) uid: String,
    /// True: an earlier run may have started the attempt that it is at.
    pub(super) again: bool,
    /// Newest attempt that was started here.
    pub(super) started: i32,
    pub(super) started_at: Duration,
    /// Ends the attempt that runs.
    pub(super) running: Option<CancellationToken>,
    /// The exit code of that attempt's command, set once it has exited.
    pub(super) exited: Arc<OnceLock<i32>>,
    /// Newest attempt that is known to be closed.
    pub(super) closed: i32,
    /// What that attempt cost. Set before its end is reported.
    pub(super) spent: Arc<OnceLock<Spent>>,
    pub(super) recorded: bool,
    pub(super) failed: i32,
    pub(super) timed_out: bool,
    /// Set once final.
    pub(super) last: Option<DispatchStatus>,
    /// Why it waits for a worker.
    pub(super) waits: Option<String>,
}

/// What ended besides the loop.
pub(super) enum Done {
    Attempt {
        name: String,
        number: i32,
        end: AttemptEnd,
    },
    /// The task of this Dispatch is over.
    Final(String),
    Printed(std::io::Result<()>),
}

/// Runs tasks.
pub struct Engine {
    pub(super) runner: Arc<Runner>,
    pub(super) options: BatchOptions,
    pub(super) tracker: Arc<Tracker>,
    pub(super) source: Option<TaskSource>,
    pub(super) room: usize,
    pub(super) in_flight: BTreeMap<String, InFlight>,
    pub(super) deadlines: BTreeSet<(Duration, String)>,
    /// No time is over before this. It is set after the process was stopped (Ctrl-Z): what ended meanwhile is taken in first.
    pub(super) settle_until: Duration,
    pub(super) work: JoinSet<Done>,
    pub(super) printing: usize,
    pub(super) listed: BTreeSet<String>,
    pub(super) workers: BTreeSet<String>,
    /// Dispatches that a full queue refused, and when they are made again.
    pub(super) refused_by_queue: BTreeSet<(Duration, String)>,
    /// True once the pool is being deleted.
    pub(super) pool_goes: bool,
    /// What this run and earlier ones cost.
    pub(super) spent: Usd,
    pub(super) start_failures: i32,
    /// Failed starts before this run saw the pool.
    pub(super) failures_before: Option<i32>,
    pub(super) start_message: String,
    pub(super) idle_since: Option<Duration>,
    /// What was said last of why nothing runs.
    pub(super) said: String,
    /// True once a command ran to its end.
    pub(super) worked: bool,
    /// Names of credentials, once all were refused.
    pub(super) refused: Option<String>,
    /// True if the pool finds out by itself when a refused credential is accepted again.
    pub(super) probes: bool,
    /// True once a task succeeded: its credential was accepted.
    pub(super) succeeded: bool,
    pub(super) last: Option<Last>,
}

/// How many Dispatches are in flight for a pool.
pub(super) fn room(pool: &ContainerPool) -> usize {
    usize::try_from(i64::from(pool.spec.max) * IN_FLIGHT_PER_WORKER).unwrap_or(1).max(1)
}
