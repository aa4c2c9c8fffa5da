//! The tasks and attempts of one pool.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::present::{Present, Wait};
use super::worker::WorkerHistory;
use crate::api::dispatch::{Dispatch, DispatchPhase, DispatchStatus, LastResult, Outcome};
use crate::api::pool::Scope;
use crate::api::{ContainerPool, RuntimeKind, Time, Worker, names};
use crate::core::questions::is_fine;
use crate::dashboard::view::{Attempt, SCHEMA, Stall, State, Tasks, View, Why};

/// Most attempts of a pool. The oldest are left out.
pub(super) const MAX_ATTEMPTS: usize = 10_000;
/// Most points of the waiting row, and most stalls.
const MAX_POINTS: usize = 10_000;
/// Two points of the waiting row that are nearer are one.
const STEP: i64 = 200;
/// Workers that are gone and did nothing for so long are not shown.
const FORGET: i64 = 3_600_000;

/// A pool over time.
#[derive(Debug)]
pub(super) struct Pool {
    name: String,
    /// What ended before is left out.
    floor: i64,
    object: Option<Object>,
    workers: BTreeMap<String, WorkerHistory>,
    /// The dispatches that are there, by name.
    tasks: HashMap<String, Task>,
    /// How many of them wait.
    queued: u64,
    /// How many of them run.
    running: u64,
    /// The number of the first of `attempts`.
    left_out: u64,
    attempts: VecDeque<Past>,
    /// How dispatches ended that are gone.
    before: Tasks,
    waiting: VecDeque<(i64, u64)>,
    stalls: VecDeque<Stall>,
    /// Why nothing runs, since when.
    stall: Option<(i64, Why)>,
}

/// The pool's object, as far as it is shown.
#[derive(Debug)]
struct Object {
    runtime: Option<RuntimeKind>,
    scope: Scope,
    paused: bool,
    problems: Vec<[String; 3]>,
}

/// A dispatch that is there.
#[derive(Debug)]
struct Task {
    name: String,
    uid: String,
    phase: DispatchPhase,
    /// The outcome of its last attempt.
    outcome: Option<Outcome>,
    reason: Option<(String, Option<String>)>,
    /// The highest attempt that is known.
    attempt: i32,
    /// The number of its open attempt.
    open: Option<u64>,
    /// Since when it waits.
    since: i64,
}

/// An attempt.
#[derive(Debug)]
struct Past {
    task: String,
    n: i32,
    worker: String,
    from: i64,
    /// None: it is open.
    to: Option<i64>,
    outcome: Option<Outcome>,
    /// None: that is not known.
    waited: Option<i64>,
    message: Option<String>,
    until: Option<i64>,
}

fn ms(time: &Time) -> i64 {
    time.0.as_millisecond()
}

impl Pool {
    pub(super) fn new(name: &str, floor: i64) -> Self {
        Self {
            name: name.to_owned(),
            floor,
            object: None,
            workers: BTreeMap::new(),
            tasks: HashMap::new(),
            queued: 0,
            running: 0,
            left_out: 0,
            attempts: VecDeque::new(),
            before: Tasks::default(),
            waiting: VecDeque::new(),
            stalls: VecDeque::new(),
            stall: None,
        }
    }

    /// True if there is such a pool, and not only objects that name it.
    pub(super) const fn is_seen(&self) -> bool {
        self.object.is_some()
    }

    pub(super) fn seen(&mut self, object: &ContainerPool) {
        let status = object.status.clone().unwrap_or_default();
        let problems = status.conditions.into_iter().filter(|one| !is_fine(one));
        self.object = Some(Object {
            runtime: object.spec.runtime,
            scope: object.spec.rate_limit.scope,
            paused: object.spec.paused,
            problems: problems.map(|one| [one.type_, one.reason, one.message]).collect(),
        });
    }

    pub(super) fn worker(&mut self, now: i64, object: &Worker, known: bool) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let worker = worker_of(&mut self.workers, &self.name, &name);
        let newest = worker.newest.and_then(|n| Some((n, self.attempts.get(index(n, self.left_out)?)?)));
        let after = newest.and_then(|(n, past)| past.until.and(past.to).map(|end| (end, n)));
        worker.seen(now, object, known, after);
    }

    pub(super) fn worker_gone(&mut self, now: i64, name: &str) {
        if let Some(worker) = self.workers.get_mut(name) {
            worker.gone(now);
        }
    }

    pub(super) fn dispatch(&mut self, now: i64, object: &Dispatch) {
        let (meta, status) = (&object.metadata, object.status.clone().unwrap_or_default());
        let uid = meta.uid.clone().unwrap_or_default();
        let name = meta.name.clone().unwrap_or_default();
        let created = meta.creation_timestamp.as_ref().map_or(now, |t| t.0.as_millisecond());
        if self.tasks.get(&name).is_some_and(|task| task.uid != uid) {
            // One of that name before it.
            self.dispatch_gone(now, &name);
        }
        let mut task = self.take(&name).unwrap_or_else(|| Task {
            name: name.clone(),
            uid,
            phase: DispatchPhase::Pending,
            outcome: None,
            reason: None,
            attempt: 0,
            open: None,
            since: created.min(now),
        });
        if let Some(last) = &status.last_result {
            self.last(now, &mut task, &status, last);
        }
        if status.is_open() && status.attempt > task.attempt {
            self.end_unseen(now, &mut task);
            let from = status.assigned_at.as_ref().map_or(now, ms).min(now);
            task.open = self.begin(&task, &status, from);
            task.attempt = status.attempt;
        }
        if status.phase == DispatchPhase::Pending
            && let Some(since) = status.waits_since()
        {
            task.since = since.as_millisecond();
        }
        task.phase = status.phase;
        task.reason = status.reason.map(|reason| (reason, status.message));
        if let Some(number) = self.number(task.phase) {
            *number += 1;
        }
        self.tasks.insert(name, task);
    }

    fn take(&mut self, name: &str) -> Option<Task> {
        let task = self.tasks.remove(name)?;
        if let Some(number) = self.number(task.phase) {
            *number -= 1;
        }
        Some(task)
    }

    /// How many tasks are in a phase that is not final.
    const fn number(&mut self, phase: DispatchPhase) -> Option<&mut u64> {
        match phase {
            DispatchPhase::Pending => Some(&mut self.queued),
            DispatchPhase::Assigned => Some(&mut self.running),
            _ => None,
        }
    }

    /// What a dispatch says of its last closed attempt.
    fn last(&mut self, now: i64, task: &mut Task, status: &DispatchStatus, last: &LastResult) {
        task.outcome = Some(last.outcome);
        let closed = ms(&last.closed_at).min(now);
        if last.attempt > task.attempt {
            // One that was not seen while it ran. Where it ran is known of the newest one only.
            self.end_unseen(closed, task);
            if status.attempt == last.attempt && closed >= self.floor {
                let from = status.assigned_at.as_ref().map_or(closed, ms).min(closed);
                task.open = self.begin(task, status, from);
            }
            task.attempt = last.attempt;
        } else if last.attempt < task.attempt {
            return;
        }
        task.since = closed;
        let Some(past) = self.end(closed, task) else { return };
        (past.outcome, past.message) = (Some(last.outcome), last.message.clone());
        past.until = last.until.as_ref().map(ms).filter(|until| *until > closed);
    }

    /// The newest attempt of a dispatch begins. Answers its number.
    fn begin(&mut self, task: &Task, status: &DispatchStatus, from: i64) -> Option<u64> {
        let worker = status.worker.as_ref()?.name.clone();
        let number = self.left_out + self.attempts.len() as u64;
        worker_of(&mut self.workers, &self.name, &worker).newest = Some(number);
        // Of a later attempt only what was seen says since when it waited.
        let waited = (status.attempt == 1 || task.attempt > 0).then(|| (from - task.since).max(0));
        let (to, outcome, message, until) = (None, None, None, None);
        self.attempts.push_back(Past {
            task: task.name.clone(),
            n: status.attempt,
            worker,
            from,
            to,
            outcome,
            waited,
            message,
            until,
        });
        if self.attempts.len() > MAX_ATTEMPTS {
            self.attempts.pop_front();
            self.left_out += 1;
        }
        Some(number)
    }

    /// The end of an attempt was not seen.
    fn end_unseen(&mut self, now: i64, task: &mut Task) {
        if self.end(now, task).is_some() {
            task.since = now;
        }
    }

    /// The open attempt of a dispatch ends. Answers it, unless it is left out.
    fn end(&mut self, at: i64, task: &mut Task) -> Option<&mut Past> {
        let past = self.attempts.get_mut(index(task.open.take()?, self.left_out)?)?;
        let to = at.max(past.from);
        past.to = Some(to);
        worker_of(&mut self.workers, &self.name, &past.worker).worked += to - past.from;
        Some(past)
    }

    pub(super) fn dispatch_gone(&mut self, now: i64, name: &str) {
        let Some(mut task) = self.take(name) else { return };
        self.end_unseen(now, &mut task);
        count(&mut self.before, &task);
    }

    /// Workers that are not there are gone.
    pub(super) fn keep_workers(&mut self, now: i64, there: &BTreeSet<String>) {
        self.workers.values_mut().filter(|worker| !there.contains(&worker.name)).for_each(|worker| worker.gone(now));
    }

    /// Dispatches that are not there are gone.
    pub(super) fn keep_dispatches(&mut self, now: i64, there: &BTreeSet<String>) {
        let gone: Vec<String> = self.tasks.keys().filter(|name| !there.contains(*name)).cloned().collect();
        for name in &gone {
            self.dispatch_gone(now, name);
        }
    }

    /// Records how many tasks wait, and whether nothing runs.
    pub(super) fn settle(&mut self, now: i64) {
        let (waiting, running) = (self.queued, self.running);
        match self.waiting.back_mut() {
            Some((_, n)) if *n == waiting => {}
            Some((at, n)) if now - *at < STEP => *n = waiting,
            _ => push(&mut self.waiting, (now, waiting)),
        }
        let free = self.workers.values().filter_map(|worker| worker.free_from(now)).min();
        let why = (waiting > 0 && running == 0).then_some(match free {
            None => Why::NoWorker,
            Some(free) if free > now => Why::Rest,
            Some(_) => Why::Retry,
        });
        if self.stall.map(|(_, why)| why) != why {
            self.pause(now);
            self.stall = why.map(|why| (now, why));
        }
        // A row stays as long as there is an attempt in it.
        let left_out = self.left_out;
        let has_attempts = |worker: &WorkerHistory| worker.newest.is_some_and(|newest| newest >= left_out);
        self.workers.retain(|_, worker| has_attempts(worker) || !worker.is_before(now - FORGET));
    }

    /// What is not seen does not go on.
    pub(super) fn pause(&mut self, now: i64) {
        if let Some((from, why)) = self.stall.take().filter(|(from, _)| *from < now) {
            push(&mut self.stalls, Stall { from, to: now, why });
        }
    }

    /// What is shown. `watched`: the times in which all was seen.
    pub(super) fn view(&self, started: i64, now: i64, watched: &[[i64; 2]]) -> View {
        let mut order: Vec<usize> = (0..self.attempts.len()).collect();
        order.sort_by_key(|at| self.attempts[*at].from);
        let mut position = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, at)| position[*at] = place);
        let first = order.first().map_or(i64::MAX, |at| self.attempts[*at].from);
        let from = first.max(self.floor).min(watched.first().map_or(started, |watched| watched[0]));
        let place = |number| index(number, self.left_out).and_then(|at| position.get(at)).copied();

        let workers = self.ordered();
        let row_of: HashMap<&str, usize> = workers.iter().enumerate().map(|(at, worker)| (&*worker.name, at)).collect();
        let mut works: HashMap<&str, i64> = HashMap::new();
        for past in self.attempts.iter().filter(|past| past.to.is_none()) {
            works.insert(&past.worker, past.from);
        }
        let rows =
            workers.iter().map(|worker| worker.row(from, now, works.get(&*worker.name).copied(), place)).collect();
        let (mut ids, mut known) = (Vec::new(), HashMap::new());
        let attempts = order.iter().filter_map(|at| {
            let past = &self.attempts[*at];
            let task = *known.entry(&past.task).or_insert_with(|| {
                ids.push(past.task.clone());
                ids.len() - 1
            });
            Some(Attempt {
                task,
                n: past.n,
                row: *row_of.get(&*past.worker)?,
                from: past.from - from,
                to: past.to.unwrap_or(now).max(past.from) - from,
                outcome: past.outcome,
                waited: past.waited.unwrap_or(-1),
                exit: None,
                message: past.message.clone(),
                until: past.until.map(|until| until - from),
                spent: None,
                running: past.to.is_none(),
            })
        });
        let attempts = attempts.collect();
        let stall = self.stall.map(|(from, why)| Stall { from, to: now, why });
        let mut tasks = self.before;
        self.tasks.values().for_each(|task| count(&mut tasks, task));
        View {
            schema: SCHEMA,
            pool: self.name.clone(),
            run_id: String::new(),
            runtime: self.object.as_ref().and_then(|object| object.runtime),
            scope: self.object.as_ref().map(|object| object.scope),
            from,
            to: now - from,
            state: State::Open,
            runs: watched.iter().map(|[a, b]| [a - from, b - from]).collect(),
            tasks,
            ids,
            rows,
            attempts,
            left_out: usize::try_from(self.left_out).unwrap_or(usize::MAX),
            waiting: self.waiting.iter().map(|(at, n)| (at - from, *n)).collect(),
            stalls: self
                .stalls
                .iter()
                .copied()
                .chain(stall)
                .map(|one| Stall { from: one.from - from, to: one.to - from, why: one.why })
                .collect(),
            notes: Vec::new(),
            spent: None,
            outputs: Vec::new(),
            no_outputs: Some("The output of a task is where its supervisor keeps it; `poolkeeper run` writes it to the directory of --out.".to_owned()),
        }
    }

    /// How it stands. Times are those of the view of the same moment, whose begin is `from`.
    pub(super) fn present(&self, from: i64, now: i64) -> Present {
        let mut waits: BTreeMap<&str, Wait> = BTreeMap::new();
        for task in self.tasks.values().filter(|task| task.phase == DispatchPhase::Pending) {
            let Some((reason, message)) = &task.reason else { continue };
            let wait = waits.entry(reason).or_insert_with(|| Wait {
                reason: reason.clone(),
                message: message.clone(),
                count: 0,
            });
            wait.count += 1;
            // Of several messages the same one each time.
            wait.message = wait.message.take().min(message.clone()).or_else(|| message.clone());
        }
        let mut waits: Vec<Wait> = waits.into_values().collect();
        waits.sort_by_key(|wait| std::cmp::Reverse(wait.count));
        let object = self.object.as_ref();
        Present {
            waiting: self.queued,
            running: self.running,
            paused: object.is_some_and(|object| object.paused),
            waits,
            problems: object.map(|object| object.problems.clone()).unwrap_or_default(),
            workers: self.ordered().iter().map(|worker| worker.present(from, now)).collect(),
        }
    }

    /// By ordinal, so pool-10 comes after pool-9.
    fn ordered(&self) -> Vec<&WorkerHistory> {
        let mut workers: Vec<&WorkerHistory> = self.workers.values().collect();
        workers.sort_by_key(|worker| (worker.ordinal, &worker.name));
        workers
    }
}

/// The row of a worker. One that is named by an attempt alone is made: it is gone.
fn worker_of<'a>(workers: &'a mut BTreeMap<String, WorkerHistory>, pool: &str, name: &str) -> &'a mut WorkerHistory {
    if !workers.contains_key(name) {
        workers.insert(name.to_owned(), WorkerHistory::new(name, names::ordinal(pool, name)));
    }
    workers.entry(name.to_owned()).or_insert_with(|| WorkerHistory::new(name, None))
}

fn count(tasks: &mut Tasks, task: &Task) {
    tasks.total += 1;
    match (task.phase, task.outcome) {
        (DispatchPhase::Succeeded, _) => tasks.succeeded += 1,
        (phase, Some(Outcome::RateLimited)) if phase.is_final() => tasks.rate_limited += 1,
        (phase, _) if phase.is_final() => tasks.failed += 1,
        _ => {}
    }
}

fn index(number: u64, left_out: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(left_out)?).ok()
}

fn push<T>(list: &mut VecDeque<T>, one: T) {
    list.push_back(one);
    if list.len() > MAX_POINTS {
        list.pop_front();
    }
}
