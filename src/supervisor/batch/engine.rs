//! Keeps Dispatches in flight: creates them, starts an attempt once its `status.target` is there, and at most once, and
//! continues until every task is over. One task owns this state; attempts and printing, which take long, run next to it.
//!
//! It works the same in one process and on a server that others use too. There the server may be away, its queue may be full, and
//! objects may be deleted by others (`shared`).

mod endings;
mod shared;
mod state;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::StreamExt;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Config;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::endings::message_of;
pub use self::state::{BatchOptions, Engine, Last};
use self::state::{Done, InFlight, room};
use self::watching::watch;

use super::ids;
use super::source::{Next, TaskSource};
use crate::api::dispatch::{Dispatch, DispatchSpec, DispatchStatus, Outcome, Retry};
use crate::api::{Period, Worker, names};
use crate::supervisor::Error;
use crate::supervisor::attempt::{Attempt, AttemptEnd, Runner, TaskRef};
use crate::supervisor::progress::Progress;

/// Further attempts after a worker was lost. A task that brings down its worker each time must not do so for ever.
const WORKER_LOST_RETRIES: i32 = 3;
/// Dispatches that are created before the engine looks for other work.
const BURST: usize = 16;

impl Engine {
    /// For the tasks of `source`.
    pub fn new(runner: Runner, options: BatchOptions, source: TaskSource) -> Self {
        let (room, options_spent) = (room(&options.pool), options.spent_before);
        Self {
            tracker: runner.tracker.clone(),
            runner: Arc::new(runner),
            options,
            source: Some(source),
            room,
            in_flight: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            settle_until: Duration::ZERO,
            work: JoinSet::new(),
            printing: 0,
            listed: BTreeSet::new(),
            workers: BTreeSet::new(),
            refused_by_queue: BTreeSet::new(),
            pool_goes: false,
            spent: options_spent,
            start_failures: 0,
            failures_before: None,
            start_message: String::new(),
            idle_since: None,
            said: String::new(),
            worked: false,
            refused: None,
            probes: false,
            succeeded: false,
            last: None,
        }
    }

    /// Runs all tasks. Answers how the last one ended. When it returns, no attempt runs any more.
    ///
    /// # Errors
    /// The run cannot or must not go on.
    pub async fn run(mut self, interrupted: &CancellationToken) -> Result<Option<Last>, Error> {
        let ended = tokio::select! {
            biased;
            () = interrupted.cancelled() => Err(Error::Interrupted),
            ended = self.all() => ended,
        };
        self.work.shutdown().await;
        if ended.is_err() && self.is_shared() {
            self.give_back().await;
        }
        ended.map(|()| self.last)
    }

    async fn all(&mut self) -> Result<(), Error> {
        let (place, patience) = (self.runner.place.clone(), &self.runner.clone().patience);
        let pool = self.options.pool.metadata.name.clone().unwrap_or_default();
        let own = Config::default().labels(&self.labels());
        let of_pool = Config::default().labels(&format!("{}={pool}", names::POOL));
        let mut dispatches = watch(place.dispatches(), own, patience);
        let mut pools = watch(place.pools(), Config::default().fields(&format!("metadata.name={pool}")), patience);
        let mut workers = watch::<Worker>(place.workers(), of_pool, patience);
        let broken = place.broken();
        tokio::pin!(broken);
        loop {
            self.fill().await?;
            if self.source.is_none() && self.in_flight.is_empty() && self.printing == 0 {
                return Ok(());
            }
            self.give_up_if_refused()?;
            self.give_up_if_the_pool_is_gone()?;
            self.give_up_if_spent()?;
            let more = self.has_room();
            let waits = more && self.source.as_ref().is_some_and(TaskSource::is_coming);
            self.note_idleness();
            let due = self.due();
            let pause = due.unwrap_or_default().saturating_sub(self.mono());
            tokio::select! {
                biased;
                why = &mut broken => {
                    return Err(Error::Broken { what: "the controller ended".to_owned(), why: why.to_string() });
                }
                Some(done) = self.work.join_next() => {
                    let broken = |e: tokio::task::JoinError| Error::Broken { what: "an attempt".to_owned(), why: e.to_string() };
                    self.done(done.map_err(broken)?)?;
                }
                Some(event) = dispatches.next() => self.on_dispatch_event(event?).await?,
                Some(event) = pools.next() => self.on_pool_event(event?)?,
                Some(event) = workers.next() => self.on_worker_event(event?),
                () = tokio::time::sleep(pause), if due.is_some() => {
                    self.queue_again().await?;
                    self.say_why_nothing_runs();
                    self.time_out().await?;
                }
                next = coming(&mut self.source), if waits => self.take(next?).await?,
                () = std::future::ready(()), if more && !waits => {}
            }
        }
    }

    /// Monotonic time.
    fn mono(&self) -> Duration {
        self.runner.clock.mono()
    }

    fn has_room(&self) -> bool {
        let is_stopped = self.pool_goes || !self.refused_by_queue.is_empty() || self.is_spent();
        self.source.is_some() && !is_stopped && self.in_flight.len() + self.printing < self.room
    }

    /// Creates Dispatches while there is room for them.
    async fn fill(&mut self) -> Result<(), Error> {
        for _ in 0..BURST {
            if !self.has_room() {
                return Ok(());
            }
            match self.source.as_mut().map_or(Ok(Next::End), TaskSource::now)? {
                Next::NotYet => return Ok(()),
                next => self.take(next).await?,
            }
        }
        Ok(())
    }

    async fn take(&mut self, next: Next) -> Result<(), Error> {
        match next {
            Next::Task(task) => {
                if self.source.as_ref().is_some_and(TaskSource::is_coming) {
                    self.tracker.report(&Progress::Came { task: task.id.clone() });
                }
                return self.create(task).await;
            }
            Next::Mistake(message) => self.tracker.report(&Progress::Mistake { message }),
            Next::NotYet => {}
            Next::End => self.source = None,
        }
        Ok(())
    }

    async fn create(&mut self, task: TaskRef) -> Result<(), Error> {
        if let Some(name) = self.options.adopted.take(task.line, &task.id)
            && let Some(dispatch) = self.of_earlier_run(&name).await?
        {
            let uid = dispatch.metadata.uid.clone().unwrap_or_default();
            self.insert(name, uid, task, true);
            self.on_dispatch(dispatch);
            return Ok(());
        }
        let name = ids::dispatch_name(&self.options.run, task.line, &task.id);
        let dispatch = self.dispatch(&name, &task.id, task.priority);
        let uid = self.queue(&dispatch, &task.id).await?;
        self.insert(name, uid, task, false);
        Ok(())
    }

    fn insert(&mut self, name: String, uid: String, task: TaskRef, again: bool) {
        self.in_flight.insert(
            name,
            InFlight {
                task: Arc::new(task),
                uid,
                again,
                started: 0,
                started_at: self.mono(),
                running: None,
                exited: Arc::default(),
                closed: 0,
                spent: Arc::default(),
                recorded: false,
                failed: 0,
                timed_out: false,
                last: None,
                waits: None,
            },
        );
    }

    fn dispatch(&self, name: &str, task: &str, priority: i32) -> Dispatch {
        let labels = [(names::RUN.to_owned(), self.options.run.clone())].into();
        Dispatch {
            metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
            spec: DispatchSpec {
                pool: self.options.pool.metadata.name.clone().unwrap_or_default(),
                priority,
                // Rests may be long. The Dispatches of a dead run end with its Lease.
                queue_timeout: self.is_shared().then_some(Period::ZERO),
                lease_name: self.options.lease.clone(),
                // The engine ends a task whose time is over. The controller would not know of an end that is not reported yet.
                timeout: self.options.timeout.map(|_| Period::ZERO),
                retry: Retry {
                    rate_limited: -1,
                    worker_lost: WORKER_LOST_RETRIES,
                    failed: self.options.retry_failed,
                    // Each follows when nothing of the last one runs any more.
                    lost: if self.options.timeout.is_some() { -1 } else { WORKER_LOST_RETRIES },
                    // An outage of the service is no fault of the task.
                    overloaded: -1,
                    backoff: Some(self.options.backoff),
                    ..Retry::default()
                },
                note: Some(task.to_owned()),
                ..DispatchSpec::default()
            },
            status: None,
        }
    }

    /// Starts the attempt that a Dispatch is at, if it was not started before.
    fn start(&mut self, name: &str, status: &DispatchStatus) {
        let now = self.mono();
        let (Some(worker), Some(target)) = (&status.worker, &status.target) else { return };
        if self.is_spent() {
            return;
        }
        let Some(t) = self.in_flight.get_mut(name).filter(|t| status.attempt > t.started) else { return };
        if let Some(timeout) = self.options.timeout.filter(|_| t.started == 0) {
            self.deadlines.insert((now + timeout.get(), name.to_owned()));
        }
        (t.started, t.started_at, t.recorded) = (status.attempt, now, false);
        let attempt = Attempt {
            name: name.to_owned(),
            uid: t.uid.clone(),
            number: status.attempt,
            worker: worker.clone(),
            target: target.clone(),
            task: t.task.clone(),
            last_try: t.failed >= self.options.retry_failed,
            again: std::mem::take(&mut t.again),
            exited: Arc::default(),
            spent: Arc::default(),
        };
        let token = CancellationToken::new();
        t.running = Some(token.clone());
        t.exited = attempt.exited.clone();
        t.spent = attempt.spent.clone();
        self.tracker.report(&Progress::Started {
            task: t.task.id.clone(),
            attempt: status.attempt,
            worker: worker.name.clone(),
            files: t.task.files(status.attempt).filter(|_| self.options.keep),
        });
        let runner = self.runner.clone();
        self.work.spawn(async move {
            let end = tokio::select! {
                biased;
                () = token.cancelled() => AttemptEnd::Stale,
                end = runner.attempt(&attempt) => end,
            };
            Done::Attempt { name: attempt.name, number: attempt.number, end }
        });
    }

    /// An attempt has a result.
    fn on_closed(&mut self, name: &str, status: &DispatchStatus) {
        let now = self.mono();
        let (Some(t), Some(result)) = (self.in_flight.get_mut(name), &status.last_result) else { return };
        t.closed = result.attempt;
        t.failed += i32::from(result.outcome == Outcome::Failed);
        self.worked |= result.outcome.is_reported();
        self.succeeded |= result.outcome == Outcome::Succeeded;
        // A reported outcome was reported by the attempt itself, which ends by itself.
        if !result.outcome.is_reported()
            && let Some(running) = &t.running
        {
            running.cancel();
        }
        if t.started < result.attempt {
            return; // it never ran
        }
        if !result.outcome.is_reported() {
            self.record_attempt(name, status, result);
        }
        let Some(t) = self.in_flight.get(name) else { return };
        let spent = t.spent.get().copied();
        self.spent = self.spent.plus(spent.unwrap_or_default().cost_usd);
        let outcome =
            if t.timed_out && result.outcome == Outcome::Cancelled { Outcome::TimedOut } else { result.outcome };
        self.tracker.report(&Progress::Ended {
            task: t.task.id.clone(),
            attempt: result.attempt,
            worker: status.worker.as_ref().map(|w| w.name.clone()).unwrap_or_default(),
            outcome,
            exit_code: t.exited.get().copied(),
            message: message_of(result, t.timed_out),
            took: now.saturating_sub(t.started_at),
            until: result.until.as_ref().map(|u| u.0),
            spent,
            files: t.task.files(result.attempt).filter(|_| self.options.keep),
        });
    }

    fn done(&mut self, done: Done) -> Result<(), Error> {
        match done {
            Done::Printed(printed) => {
                self.printing -= 1;
                printed.map_err(|e| Error::write("cannot print the output of a task", e))
            }
            Done::Final(name) => self.finish_if_over(&name),
            Done::Attempt { name, number, end } => {
                let Some(t) = self.in_flight.get_mut(&name).filter(|t| t.started == number) else { return Ok(()) };
                t.running = None;
                match end {
                    AttemptEnd::Reported { recorded } => t.recorded = recorded,
                    AttemptEnd::Stale | AttemptEnd::Lost => {}
                    AttemptEnd::NoCommand { code, message } => {
                        // It may be rebuilt just now. One that was never there will not come.
                        if !self.runner.command_seen.load(Relaxed) {
                            let command = self.runner.command.first().cloned().unwrap_or_default();
                            return Err(Error::NoCommand { command, message, found: code == 126 });
                        }
                    }
                    AttemptEnd::Broken(error) => return Err(error),
                }
                self.finish_if_over(&name)
            }
        }
    }
}

/// The next task of a source that is being written.
async fn coming(source: &mut Option<TaskSource>) -> Result<Next, Error> {
    match source {
        Some(source) => source.next().await,
        None => Ok(Next::End),
    }
}
