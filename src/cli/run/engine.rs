//! Dispatches in flight: makes them, acts on `status.target` alone, starts an attempt at most once, and goes on until all
//! are final. One task owns all of this state; what takes long (attempts, printing) runs beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use kube::Api;
use kube::api::{ObjectMeta, Patch, PostParams};
use kube::runtime::watcher::{self, watcher};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, End, Job, TaskRef, params};
use super::event::Event;
use super::failure::{Failure, exit};
use super::ids;
use super::progress::Progress;
use super::result::{self, TaskResult};
use super::spec::IN_FLIGHT_PER_WORKER;
use super::stack;
use crate::api::dispatch::{Dispatch, DispatchPhase, DispatchSpec, DispatchStatus, Outcome, Retry};
use crate::api::worker::WorkerPhase;
use crate::api::{ContainerPool, Period, Worker};

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
                    return Err(Failure::new(exit::INTERRUPTED, "interrupted; stopping what was started (again: leave at once)"));
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

    fn watch<K>(&self, client: &kube::Client) -> BoxStream<'static, Result<watcher::Event<K>, Failure>>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::namespaced(client.clone(), stack::NAMESPACE);
        endless(watcher(api, watcher::Config::default())).boxed()
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

    async fn on_dispatch_event(&mut self, event: watcher::Event<Dispatch>) -> Result<(), Failure> {
        match event {
            watcher::Event::Apply(d) => self.on_dispatch(d),
            watcher::Event::InitApply(d) => {
                self.listed.extend(d.metadata.name.clone());
                self.on_dispatch(d);
            }
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitDone => return self.look_for_unlisted().await,
            // History lets go of final ones alone, whose last version came before.
            watcher::Event::Delete(_) => {}
        }
        Ok(())
    }

    /// A watch that had to start over may have missed an end whose Dispatch is gone by now.
    async fn look_for_unlisted(&mut self) -> Result<(), Failure> {
        let unlisted: Vec<String> = self
            .in_flight
            .iter()
            .filter(|(n, t)| !self.listed.contains(*n) && t.last.is_none())
            .map(|(n, _)| n.clone())
            .collect();
        for name in unlisted {
            match self.job.dispatches.get_opt(&name).await {
                Ok(Some(d)) => self.on_dispatch(d),
                Ok(None) => {
                    let gone = DispatchStatus { phase: DispatchPhase::Failed, ..DispatchStatus::default() };
                    self.end(&name, gone);
                }
                Err(error) => return Err(Failure::poolkeeper("looking for a task", error)),
            }
        }
        Ok(())
    }

    fn on_dispatch(&mut self, d: Dispatch) {
        let Some(name) = d.metadata.name else { return };
        let Some(status) = d.status else { return };
        let Some(t) = self.in_flight.get_mut(&name).filter(|t| Some(&t.uid) == d.metadata.uid.as_ref()) else { return };
        let closed = status.last_result.as_ref().is_some_and(|r| r.attempt > t.closed);
        if closed {
            self.on_closed(&name, &status);
        }
        if status.phase.is_final() {
            self.end(&name, status);
        } else if status.is_open() {
            self.start(&name, &status);
        }
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
                        let code = u8::try_from(code).unwrap_or(exit::POOLKEEPER);
                        let command = self.job.command.first().map(String::as_str).unwrap_or_default();
                        return Err(Failure::new(code, format!("{command} cannot be run in a worker: {message}")));
                    }
                    End::Broken(why) if why.contains("Broken pipe") => return Err(output_closed()),
                    End::Broken(why) => return Err(Failure::new(exit::POOLKEEPER, why)),
                }
                self.finish_if_over(&name)
            }
        }
    }

    /// A Dispatch is final.
    fn end(&mut self, name: &str, status: DispatchStatus) {
        let Some(t) = self.in_flight.get_mut(name).filter(|t| t.last.is_none()) else { return };
        t.last = Some(status);
        // Errors of writing its result come with the next round.
        if t.running.is_none() {
            let name = name.to_owned();
            self.work.spawn(async move { Done::Final(name) });
        }
    }

    fn finish_if_over(&mut self, name: &str) -> Result<(), Failure> {
        let over = self.in_flight.get(name).is_some_and(|t| t.last.is_some() && t.running.is_none());
        let Some(t) = over.then(|| self.in_flight.remove(name)).flatten() else { return Ok(()) };
        let status = t.last.clone().unwrap_or_default();
        let last =
            Last { outcome: final_outcome(&status, t.timed_out), exit_code: t.exit_code, timed_out: t.timed_out };
        if !t.recorded {
            self.record(&t, &status, last)?;
        }
        if last.outcome == Outcome::WorkerLost && !self.worked {
            let message = status.last_result.and_then(|r| r.message).unwrap_or_default();
            return Err(self.hopeless(&message));
        }
        self.progress.tell(&Event::Task { task: t.task.id.clone(), outcome: last.outcome, attempts: status.attempt });
        self.last = Some(last);
        if let Some(dir) = t.task.dir.clone().filter(|_| !self.job.live) {
            self.print(dir);
        }
        Ok(())
    }

    /// Writes the result of a task whose end was not reported by its last attempt.
    fn record(&self, t: &InFlight, status: &DispatchStatus, last: Last) -> Result<(), Failure> {
        let Some(dir) = t.task.dir.as_ref().filter(|_| self.plan.keep) else { return Ok(()) };
        let result = TaskResult {
            id: t.task.id.clone(),
            hash: result::hash(t.task.text.as_deref(), &self.job.command),
            outcome: last.outcome,
            exit_code: last.exit_code,
            message: status.last_result.as_ref().and_then(|r| r.message.clone()),
            attempts: status.attempt,
            worker: status.worker.as_ref().map(|w| w.name.clone()),
            started_at: status.assigned_at.as_ref().map(|at| at.0),
            finished_at: status.finished_at.as_ref().map_or_else(|| self.job.clock.now(), |at| at.0),
        };
        let written = std::fs::create_dir_all(dir).and_then(|()| result.write(dir));
        written.map_err(|e| {
            Failure::poolkeeper(format!("cannot keep the result of {} in {}", result.id, dir.display()), e)
        })
    }

    /// Prints what the last attempt printed, whole.
    fn print(&mut self, dir: PathBuf) {
        self.printing += 1;
        let (progress, keep) = (self.progress.clone(), self.plan.keep);
        let print = move || {
            let printed = progress.print(&dir.join("stdout"), &dir.join("stderr"));
            if !keep {
                // The directory above goes with the run, so nothing is left for long.
                let _ = std::fs::remove_dir_all(&dir);
            }
            printed
        };
        self.work.spawn(async move {
            Done::Printed(tokio::task::spawn_blocking(print).await.unwrap_or_else(|e| Err(std::io::Error::other(e))))
        });
    }

    /// Takes down since when nothing runs.
    fn note_idleness(&mut self) {
        let busy = self.in_flight.values().any(|t| t.running.is_some());
        self.idle_since = if busy { None } else { self.idle_since.or_else(|| Some(self.mono())) };
    }

    /// When to give up on tasks that were never started, since all that could run them has rested for as long as a task
    /// may take. Only where something ran already: to start a worker may take longer than that.
    fn idle_until(&self) -> Option<Duration> {
        let timeout = self.plan.timeout.filter(|_| self.worked && self.printing == 0)?;
        // A task that is just being ended goes first: it is to have its result.
        let all_wait = self.in_flight.values().all(|t| t.running.is_none() && t.last.is_none() && !t.timed_out);
        Some(self.idle_since.filter(|_| all_wait)? + timeout.get())
    }

    /// Ends the tasks whose time is over: those that run as TimedOut, those that wait as what they last were.
    async fn time_out(&mut self) -> Result<(), Failure> {
        let now = self.mono();
        while let Some((_, name)) = self.deadlines.first().filter(|(at, _)| *at <= now).cloned() {
            self.deadlines.pop_first();
            let Some(t) = self.in_flight.get_mut(&name).filter(|t| t.last.is_none()) else { continue };
            t.timed_out = true;
            let patch = json!({"metadata": {"uid": t.uid}, "spec": {"cancel": true}});
            match self.job.dispatches.patch(&name, &params(), &Patch::Merge(&patch)).await {
                Ok(_) => {}
                Err(kube::Error::Api(s)) if matches!(s.code, 404 | 409) => {}
                Err(error) => return Err(Failure::poolkeeper("ending a task", error)),
            }
        }
        match (self.plan.timeout, self.idle_until()) {
            (Some(timeout), Some(at)) if at <= now => {
                let failed = self.progress.summary(|s| s.failed) > 0;
                let message = format!(
                    "no worker could take a task for {timeout} (--timeout): all of them rest; --resume goes on with --out"
                );
                Err(Failure::new(if failed { exit::FAILED } else { exit::RATE_LIMITED }, message))
            }
            _ => Ok(()),
        }
    }

    fn on_pool_event(&mut self, event: watcher::Event<ContainerPool>) -> Result<(), Failure> {
        let (watcher::Event::Apply(pool) | watcher::Event::InitApply(pool)) = event else { return Ok(()) };
        if let Some(why) = stack::refused_runtime(&pool) {
            return Err(Failure::usage(format!("the pool's runtime is refused: {why}")));
        }
        self.refused = stack::all_refused(&pool);
        let backoff = pool.status.and_then(|s| s.start_backoff);
        let failures = backoff.as_ref().map_or(0, |b| b.failures);
        if let Some(backoff) = backoff.filter(|b| b.failures > self.start_failures) {
            if failures >= HOPELESS_STARTS && !self.worked {
                return Err(self.hopeless(&backoff.message));
            }
            // Told at once, and again only if it is something else.
            if self.start_message != backoff.message {
                self.start_message.clone_from(&backoff.message);
                self.progress.tell(&Event::StartFailed { failures, message: backoff.message });
            }
        }
        self.start_failures = failures;
        Ok(())
    }

    fn on_worker_event(&mut self, event: watcher::Event<Worker>) {
        match event {
            watcher::Event::Apply(w) | watcher::Event::InitApply(w) => {
                let up = w.status.is_some_and(|s| s.phase != WorkerPhase::Starting && s.phase != WorkerPhase::Failed);
                let name = w.metadata.name.unwrap_or_default();
                if up && self.workers.insert(name.clone()) {
                    self.progress.tell(&Event::WorkerReady { worker: name });
                }
            }
            watcher::Event::Delete(w) => {
                let name = w.metadata.name.unwrap_or_default();
                if self.workers.remove(&name) {
                    self.progress.tell(&Event::WorkerGone { worker: name });
                }
            }
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    }

    /// Nothing was ever run to its end, and nothing will be.
    fn hopeless(&self, message: &str) -> Failure {
        let hint = self.plan.start_hint;
        Failure::new(
            exit::POOLKEEPER,
            format!("no worker can be started, or lives long enough for a task: {message}{hint}"),
        )
    }

    /// With every credential refused, what waits would wait for ever.
    fn give_up_if_refused(&self) -> Result<(), Failure> {
        let waits =
            !self.in_flight.is_empty() && self.in_flight.values().all(|t| t.running.is_none() && t.last.is_none());
        match &self.refused {
            Some(names) if waits => {
                let message = format!(
                    "every credential was refused as unauthorized ({names}): replace them, and run the rest with --resume"
                );
                Err(Failure::new(exit::FAILED, message))
            }
            _ => Ok(()),
        }
    }
}

/// How a task ended. One that `--timeout` ended while it waited ended as its last attempt did.
fn final_outcome(status: &DispatchStatus, timed_out: bool) -> Outcome {
    match (status.phase, status.last_result.as_ref().map(|r| r.outcome)) {
        (DispatchPhase::Succeeded, _) => Outcome::Succeeded,
        (_, Some(Outcome::Cancelled)) if timed_out => Outcome::TimedOut,
        (_, Some(outcome)) => outcome,
        // Never ran: refused, or gone.
        (_, None) => Outcome::NotStarted,
    }
}

fn output_closed() -> Failure {
    Failure::new(exit::OUTPUT_CLOSED, "nobody reads standard output any more; stopping what was started")
}

fn output_failure(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        output_closed()
    } else {
        Failure::poolkeeper("cannot print the output of a task", error)
    }
}

/// A watch heals itself. Errors that come again and again, faster than anything could heal, end it.
fn endless<K>(
    watch: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
) -> impl Stream<Item = Result<watcher::Event<K>, Failure>> + Send + 'static
where
    K: Send + 'static,
{
    let mut errors = 0;
    watch.filter_map(move |event| {
        errors = if event.is_ok() { 0 } else { errors + 1 };
        let many = errors > 10;
        async move {
            match event {
                Ok(event) => Some(Ok(event)),
                Err(error) if many => Some(Err(Failure::poolkeeper("a watch", error))),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    None
                }
            }
        }
    })
}
