//! Dispatches in flight: makes them, acts on `status.target` alone, starts an attempt at most once, and goes on until all
//! are final. One task owns all of this state; what takes long (attempts, printing) runs beside it.

mod endings;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ObjectMeta, PostParams};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use endings::{output_closed, output_failure};

use super::attempt::{Attempt, End, Job, TaskRef};
use super::event::Event;
use super::ids;
use super::progress::Progress;
use super::spec::IN_FLIGHT_PER_WORKER;
use crate::api::dispatch::{Dispatch, DispatchSpec, DispatchStatus, Outcome, Retry};
use crate::api::{ContainerPool, Period, Worker};
use crate::cli::exit::{Exit, Failure};

/// Further attempts after a worker was lost. A task that brings down its worker each time must not do so for ever.
const WORKER_LOST_RETRIES: i32 = 3;
/// Failed starts in a row after which a pool that never ran anything is taken to be unable to.
const HOPELESS_STARTS: i32 = 3;
/// Dispatches made before looking at what else there is to do.
const BURST: usize = 16;

/// Where tasks come from, in order.
pub type Source = Box<dyn Iterator<Item = Result<TaskRef, Failure>> + Send>;

/// How a run is to be.
pub struct Plan {
    /// The pool.
    pub pool: ContainerPool,
    /// Further attempts after Failed.
    pub retry_failed: i32,
    /// Most time for a task, from its first start.
    pub timeout: Option<Period>,
    /// True: a task's directory stays when its output was printed.
    pub keep: bool,
    /// Added where no worker can be started.
    pub start_hint: &'static str,
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
struct InFlight {
    task: Arc<TaskRef>,
    uid: String,
    /// Newest attempt that was started here.
    started: i32,
    started_at: Duration,
    /// Ends the attempt that runs.
    running: Option<CancellationToken>,
    /// Newest attempt that was seen to be closed.
    closed: i32,
    exit_code: Option<i32>,
    recorded: bool,
    failed: i32,
    timed_out: bool,
    /// Set once final.
    last: Option<DispatchStatus>,
}

/// What ended beside the loop.
enum Done {
    Attempt {
        name: String,
        number: i32,
        end: End,
    },
    /// Nothing is left to be waited for.
    Final(String),
    Printed(std::io::Result<()>),
}

/// Runs tasks.
pub struct Engine {
    job: Arc<Job>,
    plan: Plan,
    progress: Arc<Progress>,
    source: Option<Source>,
    room: usize,
    in_flight: BTreeMap<String, InFlight>,
    deadlines: BTreeSet<(Duration, String)>,
    work: JoinSet<Done>,
    printing: usize,
    listed: BTreeSet<String>,
    workers: BTreeSet<String>,
    start_failures: i32,
    start_message: String,
    idle_since: Option<Duration>,
    /// True once a command ran to its end.
    worked: bool,
    /// Names of credentials, once all were refused.
    refused: Option<String>,
    last: Option<Last>,
}

impl Engine {
    /// For the tasks of `source`.
    pub fn new(job: Job, plan: Plan, source: Source) -> Self {
        let room = i64::from(plan.pool.spec.max) * IN_FLIGHT_PER_WORKER;
        Self {
            progress: job.progress.clone(),
            job: Arc::new(job),
            plan,
            source: Some(source),
            room: usize::try_from(room).unwrap_or(1),
            in_flight: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            work: JoinSet::new(),
            printing: 0,
            listed: BTreeSet::new(),
            workers: BTreeSet::new(),
            start_failures: 0,
            start_message: String::new(),
            idle_since: None,
            worked: false,
            refused: None,
            last: None,
        }
    }

    /// Runs all tasks. Answers how the last one ended. When it returns, no attempt runs any more.
    ///
    /// # Errors
    /// The run cannot or must not go on.
    pub async fn run(
        mut self,
        client: &kube::Client,
        interrupted: &CancellationToken,
        broken: impl Future<Output = Failure>,
    ) -> Result<Option<Last>, Failure> {
        let ended = self.all(client, interrupted, broken).await;
        self.work.shutdown().await;
        ended.map(|()| self.last)
    }

    async fn all(
        &mut self,
        client: &kube::Client,
        interrupted: &CancellationToken,
        broken: impl Future<Output = Failure>,
    ) -> Result<(), Failure> {
        let mut dispatches = self.watch::<Dispatch>(client);
        let mut pools = self.watch::<ContainerPool>(client);
        let mut workers = self.watch::<Worker>(client);
        tokio::pin!(broken);
        loop {
            self.fill().await?;
            if self.source.is_none() && self.in_flight.is_empty() && self.printing == 0 {
                return Ok(());
            }
            self.give_up_if_refused()?;
            let more = self.has_room();
            self.note_idleness();
            let due = self.deadlines.first().map(|(at, _)| *at).into_iter().chain(self.idle_until()).min();
            let pause = due.unwrap_or_default().saturating_sub(self.mono());
            tokio::select! {
                biased;
                () = interrupted.cancelled() => {
                    return Err(Failure::new(Exit::Interrupted, "interrupted; stopping what was started (again: leave at once)"));
                }
                failure = &mut broken => return Err(failure),
                Some(done) = self.work.join_next() => {
                    self.done(done.map_err(|e| Failure::poolkeeper("an attempt", e))?)?;
                }
                Some(event) = dispatches.next() => self.on_dispatch_event(event?).await?,
                Some(event) = pools.next() => self.on_pool_event(event?)?,
                Some(event) = workers.next() => self.on_worker_event(event?),
                () = tokio::time::sleep(pause), if due.is_some() => self.time_out().await?,
                () = std::future::ready(()), if more => {}
            }
        }
    }

    /// Monotonic time.
    fn mono(&self) -> Duration {
        self.job.clock.mono()
    }

    fn has_room(&self) -> bool {
        self.source.is_some() && self.in_flight.len() + self.printing < self.room
    }

    /// Makes Dispatches while there is room for them.
    async fn fill(&mut self) -> Result<(), Failure> {
        for _ in 0..BURST {
            if !self.has_room() {
                return Ok(());
            }
            match self.source.as_mut().and_then(Iterator::next) {
                Some(task) => self.create(task?).await?,
                None => self.source = None,
            }
        }
        Ok(())
    }

    async fn create(&mut self, task: TaskRef) -> Result<(), Failure> {
        let name = ids::dispatch_name(task.line, &task.id);
        let dispatch = Dispatch {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            spec: DispatchSpec {
                pool: self.plan.pool.metadata.name.clone().unwrap_or_default(),
                timeout: self.plan.timeout,
                retry: Retry { rate_limited: -1, worker_lost: WORKER_LOST_RETRIES, failed: self.plan.retry_failed },
                note: Some(task.id.clone()),
                ..DispatchSpec::default()
            },
            status: None,
        };
        let made = self.job.dispatches.create(&PostParams::default(), &dispatch).await;
        let made = made.map_err(|e| Failure::poolkeeper(format!("queueing task {}", task.id), e))?;
        self.in_flight.insert(
            name,
            InFlight {
                task: Arc::new(task),
                uid: made.metadata.uid.unwrap_or_default(),
                started: 0,
                started_at: self.mono(),
                running: None,
                closed: 0,
                exit_code: None,
                recorded: false,
                failed: 0,
                timed_out: false,
                last: None,
            },
        );
        Ok(())
    }

    /// Starts the attempt that a Dispatch shows, if it was not started before.
    fn start(&mut self, name: &str, status: &DispatchStatus) {
        let now = self.mono();
        let (Some(worker), Some(target)) = (&status.worker, &status.target) else { return };
        let Some(t) = self.in_flight.get_mut(name).filter(|t| status.attempt > t.started) else { return };
        if let Some(timeout) = self.plan.timeout.filter(|_| t.started == 0) {
            self.deadlines.insert((now + timeout.get(), name.to_owned()));
        }
        (t.started, t.started_at, t.exit_code, t.recorded) = (status.attempt, now, None, false);
        let attempt = Attempt {
            name: name.to_owned(),
            uid: t.uid.clone(),
            number: status.attempt,
            worker: worker.clone(),
            target: target.clone(),
            task: t.task.clone(),
            last_try: t.failed >= self.plan.retry_failed,
        };
        let token = CancellationToken::new();
        t.running = Some(token.clone());
        self.progress.tell(&Event::Started {
            task: t.task.id.clone(),
            attempt: status.attempt,
            worker: worker.name.clone(),
        });
        let job = self.job.clone();
        self.work.spawn(async move {
            let end = tokio::select! {
                biased;
                () = token.cancelled() => End::Stale,
                end = job.attempt(&attempt) => end,
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
        // What was reported was reported by the attempt itself, which is about to say so.
        if !result.outcome.is_reported()
            && let Some(running) = &t.running
        {
            running.cancel();
        }
        if t.started < result.attempt {
            return; // it never ran
        }
        let outcome =
            if t.timed_out && result.outcome == Outcome::Cancelled { Outcome::TimedOut } else { result.outcome };
        self.progress.tell(&Event::Ended {
            task: t.task.id.clone(),
            attempt: result.attempt,
            worker: status.worker.as_ref().map(|w| w.name.clone()).unwrap_or_default(),
            outcome,
            exit_code: t.exit_code,
            message: result.message.clone(),
            took: now.saturating_sub(t.started_at),
            until: result.until.as_ref().map(|u| u.0),
        });
    }

    fn done(&mut self, done: Done) -> Result<(), Failure> {
        match done {
            Done::Printed(printed) => {
                self.printing -= 1;
                printed.map_err(|e| output_failure(&e))
            }
            Done::Final(name) => self.finish_if_over(&name),
            Done::Attempt { name, number, end } => {
                let Some(t) = self.in_flight.get_mut(&name).filter(|t| t.started == number) else { return Ok(()) };
                t.running = None;
                match end {
                    End::Reported { code, recorded } => (t.exit_code, t.recorded) = (Some(code), recorded),
                    End::Stale | End::Lost => {}
                    End::NoCommand { code, message } => {
                        let code = if code == 126 { Exit::CommandNotExecutable } else { Exit::CommandNotFound };
                        let command = self.job.command.first().map(String::as_str).unwrap_or_default();
                        return Err(Failure::new(code, format!("{command} cannot be run in a worker: {message}")));
                    }
                    End::Broken(why) if why.contains("Broken pipe") => return Err(output_closed()),
                    End::Broken(why) => return Err(Failure::new(Exit::Poolkeeper, why)),
                }
                self.finish_if_over(&name)
            }
        }
    }
}
