//! The view that follows from the steps of a run.

mod worker;

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use self::worker::Worker;
use super::step::{Step, StepKind};
use super::view::{Attempt, Output, SCHEMA, Stall, State, Tasks, View, Why};
use crate::api::dispatch::Outcome;
use crate::api::pool::Scope;
use crate::api::{RuntimeKind, names};
use crate::supervisor::spent::Spent;

/// Most attempts that a view has. The oldest are left out.
pub const MAX_ATTEMPTS: usize = 50_000;
/// Most notes. The oldest are left out.
const MAX_NOTES: usize = 500;

/// An attempt whose output may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Printed<'a> {
    /// Its position among all attempts.
    pub attempt: usize,
    /// Where its output is, below the directory of the run.
    pub files: &'a str,
    /// True if it succeeded.
    pub succeeded: bool,
}

/// The state of a run after the steps so far.
#[derive(Debug, Default)]
pub struct Timeline {
    first: Option<Timestamp>,
    /// The time of the last step, in milliseconds after the first.
    now: i64,
    pool: String,
    run_id: String,
    runtime: Option<RuntimeKind>,
    scope: Option<Scope>,
    state: Option<State>,
    runs: Vec<[i64; 2]>,
    /// Tasks of this run, and those that it skips.
    total: u64,
    skipped: u64,
    /// Those of them whose end is in no record.
    unknown: u64,
    ids: Vec<String>,
    positions: HashMap<String, usize>,
    /// How tasks ended, by position.
    ended: HashMap<usize, Outcome>,
    /// Tasks that are over in this run.
    over: HashSet<usize>,
    /// Since when tasks wait that came, or whose attempt ended.
    since: HashMap<usize, i64>,
    /// Attempts that run, by task.
    running: HashMap<usize, usize>,
    attempts: Vec<Attempt>,
    files: Vec<Option<String>>,
    workers: Vec<Worker>,
    known: HashMap<String, usize>,
    /// Rests of credentials: their begin, their end, the attempt they follow.
    credentials: HashMap<String, (i64, i64, usize)>,
    waiting: Vec<(i64, u64)>,
    stalls: Vec<Stall>,
    notes: Vec<(i64, String)>,
    spent: Spent,
}

impl Timeline {
    /// Takes in one step. Steps come in the order of their times; one that seems earlier counts as now.
    pub fn add(&mut self, step: &Step) {
        let first = *self.first.get_or_insert(step.time);
        let now = (step.time.as_millisecond() - first.as_millisecond()).max(self.now);
        if matches!(step.event, StepKind::Run { .. }) {
            // Before time passes: between two runs nothing waits.
            self.cut();
            self.total = 0;
        }
        self.pass(now);
        self.state = None;
        match &step.event {
            StepKind::Run { run_id, pool, runtime, scope, tasks, skipped } => {
                (self.run_id, self.pool) = (run_id.clone(), pool.clone());
                (self.runtime, self.scope) = (Some(*runtime), *scope);
                (self.total, self.skipped) = (tasks.unwrap_or_default(), *skipped);
                let is_final = |end: &&Outcome| matches!(end, Outcome::Succeeded | Outcome::Failed | Outcome::TimedOut);
                self.unknown = skipped.saturating_sub(number(self.ended.values().filter(is_final).count()));
                self.runs.push([now, now]);
            }
            StepKind::Came { task } => {
                let task = self.task(task);
                self.total += 1;
                self.since.insert(task, now);
            }
            StepKind::Started { task, attempt, worker, files } => self.start(task, *attempt, worker, files.as_deref()),
            StepKind::Ended { task, outcome, exit_code, message, rests_until, spent, .. } => {
                let task = self.task(task);
                let until = rests_until.map(|until| until.as_millisecond() - first.as_millisecond());
                self.spent = self.spent.plus(spent.unwrap_or_default());
                if let Some(position) = self.end(task, Some(*outcome)) {
                    let attempt = &mut self.attempts[position];
                    (attempt.exit, attempt.message, attempt.spent) = (*exit_code, message.clone(), *spent);
                    self.rest(position, until.filter(|until| *until > now));
                }
                if *outcome == Outcome::Succeeded {
                    self.over.insert(task);
                    self.ended.insert(task, *outcome);
                }
            }
            StepKind::Task { task, outcome } => {
                let task = self.task(task);
                self.end(task, None);
                self.over.insert(task);
                self.ended.insert(task, *outcome);
            }
            StepKind::WorkerReady { worker, credential } => {
                let rest = credential.as_ref().and_then(|name| self.credentials.get(name)).copied();
                let at = self.worker(worker);
                self.workers[at].ready(now, credential.clone());
                if let Some((_, until, after)) = rest.filter(|(_, until, _)| *until > now) {
                    self.workers[at].rest(now, until, after);
                }
            }
            StepKind::WorkerGone { worker } => {
                let at = self.worker(worker);
                self.workers[at].gone(now);
            }
            StepKind::StartFailed { message } | StepKind::Note { message } => self.notes.push((now, message.clone())),
            StepKind::Summary { not_run } => {
                self.state = Some(if *not_run == 0 { State::Complete } else { State::Stopped });
            }
            StepKind::Other => {}
        }
        if let Some(run) = self.runs.last_mut() {
            run[1] = now;
        }
        self.count();
    }

    /// The attempts whose output may be there, the ones first that are looked at first: those that did not succeed, newest
    /// first.
    pub fn printed(&self) -> Vec<Printed<'_>> {
        let mut printed: Vec<Printed<'_>> = self
            .files
            .iter()
            .enumerate()
            .filter_map(|(attempt, files)| {
                let succeeded = self.attempts[attempt].outcome == Some(Outcome::Succeeded);
                files.as_deref().map(|files| Printed { attempt, files, succeeded })
            })
            .collect();
        printed.reverse();
        printed.sort_by_key(|printed| printed.succeeded);
        printed
    }

    /// The view, with these outputs of attempts by their positions.
    pub fn view(mut self, outputs: Vec<Output>) -> View {
        self.cut();
        let left_out = self.attempts.len().saturating_sub(MAX_ATTEMPTS);
        let mut order: Vec<usize> = (0..self.workers.len()).collect();
        order.sort_by_key(|at| self.workers[*at].order());
        let mut row_of = vec![0; order.len()];
        order.iter().enumerate().for_each(|(row, worker)| row_of[*worker] = row);
        let rows = order.iter().map(|worker| self.workers[*worker].row(self.now, left_out)).collect();
        let attempts = self.attempts.into_iter().skip(left_out);
        let attempts = attempts.map(|attempt| Attempt { row: row_of[attempt.row], ..attempt }).collect();
        let moved = |output: Output| output.attempt.checked_sub(left_out).map(|attempt| Output { attempt, ..output });
        let of = |outcome| number(self.ended.values().filter(|ended| **ended == outcome).count());
        let (succeeded, rate_limited) = (of(Outcome::Succeeded), of(Outcome::RateLimited));
        let known = number(self.ended.len());
        let begun = number(self.ids.len());
        let surplus = self.notes.len().saturating_sub(MAX_NOTES);
        View {
            schema: SCHEMA,
            pool: self.pool,
            run_id: self.run_id,
            runtime: self.runtime,
            scope: self.scope,
            from: self.first.map_or(0, Timestamp::as_millisecond),
            to: self.now,
            state: self.state.unwrap_or(State::Open),
            runs: self.runs,
            tasks: Tasks {
                // A single command is a task too.
                total: (self.total + self.skipped).max(begun),
                succeeded,
                failed: known - succeeded - rate_limited,
                rate_limited,
                skipped: self.unknown,
            },
            ids: self.ids,
            rows,
            attempts,
            left_out,
            waiting: self.waiting,
            stalls: self.stalls,
            notes: self.notes.into_iter().skip(surplus).collect(),
            spent: Some(self.spent).filter(|spent| !spent.is_nothing()),
            outputs: outputs.into_iter().filter_map(moved).collect(),
            no_outputs: None,
        }
    }

    fn task(&mut self, id: &str) -> usize {
        if let Some(position) = self.positions.get(id) {
            return *position;
        }
        let position = self.ids.len();
        self.ids.push(id.to_owned());
        self.positions.insert(id.to_owned(), position);
        position
    }

    fn worker(&mut self, name: &str) -> usize {
        if let Some(at) = self.known.get(name) {
            return *at;
        }
        let at = self.workers.len();
        self.workers.push(Worker::new(name, names::ordinal(&self.pool, name)));
        self.known.insert(name.to_owned(), at);
        at
    }

    fn start(&mut self, id: &str, n: i32, worker: &str, files: Option<&str>) {
        let (task, row, now) = (self.task(id), self.worker(worker), self.now);
        // One whose end was not seen.
        self.end(task, None);
        let begin = self.runs.last().map_or(0, |run| run[0]);
        let waited = now - self.since.remove(&task).unwrap_or(begin);
        self.workers[row].start(now);
        self.running.insert(task, self.attempts.len());
        let to = now;
        let (outcome, exit, message, until, spent, running) = (None, None, None, None, None, false);
        self.attempts.push(Attempt {
            task,
            n,
            row,
            from: now,
            to,
            outcome,
            waited,
            exit,
            message,
            until,
            spent,
            running,
        });
        self.files.push(files.map(str::to_owned));
    }

    /// The attempt of a task that runs has ended. Answers its position.
    fn end(&mut self, task: usize, outcome: Option<Outcome>) -> Option<usize> {
        let position = self.running.remove(&task)?;
        let attempt = &mut self.attempts[position];
        (attempt.to, attempt.outcome) = (self.now, outcome);
        self.workers[attempt.row].end(self.now);
        self.since.insert(task, self.now);
        Some(position)
    }

    /// The rest that follows an attempt: of its worker, or of every worker with the same credential.
    fn rest(&mut self, position: usize, until: Option<i64>) {
        let Some(until) = until else { return };
        let now = self.now;
        let attempt = &mut self.attempts[position];
        attempt.until = Some(until);
        let row = attempt.row;
        let shared = self.scope == Some(Scope::Credential) || attempt.outcome == Some(Outcome::Unauthorized);
        match self.workers[row].credential().filter(|_| shared).map(str::to_owned) {
            None => self.workers[row].rest(now, until, position),
            Some(name) => {
                let same =
                    self.workers.iter_mut().filter(|worker| worker.is_up() && worker.credential() == Some(&name));
                same.for_each(|worker| worker.rest(now, until, position));
                self.credentials.insert(name, (now, until, position));
            }
        }
    }

    /// A run has ended, whatever it recorded: nothing of it runs, waits or is up any more.
    fn cut(&mut self) {
        for position in std::mem::take(&mut self.running).into_values() {
            let attempt = &mut self.attempts[position];
            attempt.to = self.now;
            self.workers[attempt.row].end(self.now);
        }
        self.workers.iter_mut().for_each(|worker| worker.close(self.now));
        self.over.clear();
        self.since.clear();
        self.credentials.clear();
    }

    fn waiting_now(&self) -> u64 {
        let busy = number(self.over.len() + self.running.len());
        if self.state.is_some() { 0 } else { self.total.saturating_sub(busy) }
    }

    /// Records how many tasks wait.
    fn count(&mut self) {
        let (now, waiting) = (self.now, self.waiting_now());
        match self.waiting.last_mut() {
            Some((at, n)) if *at == now => *n = waiting,
            Some((_, n)) if *n == waiting => {}
            _ => self.waiting.push((now, waiting)),
        }
    }

    /// Time passes up to the next step: nothing changes but that rests end.
    fn pass(&mut self, next: i64) {
        let now = std::mem::replace(&mut self.now, next);
        if next == now || !self.running.is_empty() || self.waiting_now() == 0 {
            return;
        }
        let mut free = now;
        let why = match self.workers.iter().filter(|worker| worker.is_up()).map(|worker| worker.rests_until(now)).min()
        {
            None => Why::NoWorker,
            Some(until) => {
                free = until.clamp(now, next);
                Why::Rest
            }
        };
        let free = if why == Why::NoWorker { next } else { free };
        self.stall(now, free, why);
        self.stall(free, next, Why::Retry);
    }

    fn stall(&mut self, from: i64, to: i64, why: Why) {
        match self.stalls.last_mut() {
            _ if from == to => {}
            Some(last) if last.to == from && last.why == why => last.to = to,
            _ => self.stalls.push(Stall { from, to, why }),
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
