//! How tasks end, and how the run ends before its time.

use std::path::PathBuf;
use std::time::Duration;

use kube::api::Patch;
use serde_json::json;

use super::state::{Done, Engine, InFlight, Last};
use crate::api::dispatch::{DispatchPhase, DispatchStatus, LastResult, Outcome};
use crate::supervisor::Error;
use crate::supervisor::batch::attempts;
use crate::supervisor::batch::result::{self, TaskResult};
use crate::supervisor::batch::source::{Next, TaskSource};
use crate::supervisor::progress::Progress;
use crate::supervisor::report::params;

/// A time that is over for longer than this when the engine sees it: the process was stopped (Ctrl-Z), or had no processor.
const LATE: Duration = Duration::from_millis(200);
/// Then what ended meanwhile is taken in for this long, before anything is ended because its time is over.
const SETTLE: Duration = Duration::from_secs(1);
/// Until the end of a command that has exited is reported, its task's time is not over.
const REPORTING: Duration = Duration::from_millis(50);

impl Engine {
    /// A Dispatch is final.
    pub(super) fn end(&mut self, name: &str, status: DispatchStatus) {
        if self.refused_by_queue.iter().any(|(_, refused)| refused == name) {
            return; // it is made again
        }
        let Some(t) = self.in_flight.get_mut(name).filter(|t| t.last.is_none()) else { return };
        t.last = Some(status);
        // Errors of writing its result come with the next round.
        if t.running.is_none() {
            let name = name.to_owned();
            self.work.spawn(async move { Done::Final(name) });
        }
    }

    pub(super) fn finish_if_over(&mut self, name: &str) -> Result<(), Error> {
        let over = self.in_flight.get(name).is_some_and(|t| t.last.is_some() && t.running.is_none());
        if over && self.is_refused_by_queue(name) {
            return Ok(());
        }
        let Some(t) = over.then(|| self.in_flight.remove(name)).flatten() else { return Ok(()) };
        let status = t.last.clone().unwrap_or_default();
        let last = Last {
            outcome: final_outcome(&status, t.timed_out),
            exit_code: t.exited.get().copied(),
            timed_out: t.timed_out,
        };
        if !t.recorded {
            self.record(&t, &status, last)?;
        }
        if let Some(why) = why_not_run(&status) {
            self.tracker.note(format!("{} never ran: {why}", t.task.id));
        }
        if last.outcome == Outcome::WorkerLost && !self.worked && !self.is_shared() {
            let message = status.last_result.and_then(|r| r.message).unwrap_or_default();
            return Err(self.hopeless(&message));
        }
        self.tracker.report(&Progress::Task {
            task: t.task.id.clone(),
            outcome: last.outcome,
            attempts: status.attempt,
        });
        self.last = Some(last);
        if let Some(dir) = t.task.dir.clone().filter(|_| !self.runner.live) {
            self.print(dir);
        }
        Ok(())
    }

    /// Writes the result of a task whose last attempt did not write it.
    pub(super) fn record(&self, t: &InFlight, status: &DispatchStatus, last: Last) -> Result<(), Error> {
        let Some(dir) = t.task.dir.as_ref().filter(|_| self.options.keep) else { return Ok(()) };
        let result = TaskResult {
            id: t.task.id.clone(),
            hash: result::hash(t.task.text.as_deref(), &self.runner.command),
            outcome: last.outcome,
            exit_code: last.exit_code,
            message: status.last_result.as_ref().map_or_else(|| why_not_run(status), |r| message_of(r, last.timed_out)),
            spent: t.spent.get().copied(),
            attempts: status.attempt,
            worker: status.worker.as_ref().map(|w| w.name.clone()),
            started_at: status.assigned_at.as_ref().map(|at| at.0),
            finished_at: status.finished_at.as_ref().map_or_else(|| self.runner.clock.now(), |at| at.0),
        };
        let written = std::fs::create_dir_all(dir).and_then(|()| result.write(dir));
        written.map_err(|e| Error::write(format!("cannot keep the result of {} in {}", result.id, dir.display()), e))
    }

    /// Writes the result of an attempt that did not end by itself, next to what it printed.
    pub(super) fn record_attempt(&self, name: &str, status: &DispatchStatus, last: &LastResult) {
        let Some(t) = self.in_flight.get(name).filter(|_| self.options.keep) else { return };
        let Some(dir) = &t.task.dir else { return };
        let dir = attempts::dir(dir, t.task.earlier + last.attempt);
        let result = TaskResult {
            id: t.task.id.clone(),
            hash: result::hash(t.task.text.as_deref(), &self.runner.command),
            outcome: final_outcome_of(last.outcome, t.timed_out),
            exit_code: t.exited.get().copied(),
            message: message_of(last, t.timed_out),
            spent: t.spent.get().copied(),
            attempts: last.attempt,
            worker: status.worker.as_ref().map(|w| w.name.clone()),
            started_at: status.assigned_at.as_ref().map(|at| at.0),
            finished_at: self.runner.clock.now(),
        };
        // It may have ended before it had files.
        if let Err(error) = std::fs::create_dir_all(&dir).and_then(|()| result.write(&dir)) {
            self.tracker.note(format!("cannot keep the result of an attempt in {}: {error}", dir.display()));
        }
    }

    /// Shows the whole output of the last attempt.
    pub(super) fn print(&mut self, dir: PathBuf) {
        self.printing += 1;
        let (tracker, keep) = (self.tracker.clone(), self.options.keep);
        let print = move || {
            let printed = tracker.reporter().show_output(&dir.join("stdout"), &dir.join("stderr"));
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

    /// Remembers since when no attempt runs.
    pub(super) fn note_idleness(&mut self) {
        let busy = self.in_flight.values().any(|t| t.running.is_some());
        self.idle_since = if busy { None } else { self.idle_since.or_else(|| Some(self.mono())) };
    }

    /// When to give up on tasks that were never started, because all workers have rested for as long as a task may take.
    /// Only after a task has run: the start of a worker may take longer than that.
    pub(super) fn idle_until(&self) -> Option<Duration> {
        let timeout = self.options.timeout.filter(|_| self.worked && self.printing == 0)?;
        // A task that is just being ended goes first, so its result is written.
        let waits = |t: &InFlight| t.running.is_none() && t.last.is_none() && !t.timed_out;
        let all_wait = !self.in_flight.is_empty() && self.in_flight.values().all(waits);
        Some(self.idle_since.filter(|_| all_wait)? + timeout.get())
    }

    /// When the next time is over.
    pub(super) fn due(&self) -> Option<Duration> {
        let first = self.deadlines.first().map(|(at, _)| *at);
        let shared = self.shared_due();
        Some(first.into_iter().chain(self.idle_until()).chain(shared).min()?.max(self.settle_until))
    }

    /// Ends the tasks whose time is over. One that runs ends as TimedOut, one that waits ends as its last attempt did.
    pub(super) async fn time_out(&mut self) -> Result<(), Error> {
        let now = self.mono();
        if self.due().is_some_and(|due| now.saturating_sub(due) > LATE) {
            self.settle_until = now + SETTLE;
            return Ok(());
        }
        while let Some((_, name)) = self.deadlines.first().filter(|(at, _)| *at <= now).cloned() {
            self.deadlines.pop_first();
            let Some(t) = self.in_flight.get_mut(&name).filter(|t| t.last.is_none()) else { continue };
            // Of an end and a time that is over, the end counts.
            if t.closed < t.started && t.exited.get().is_some() {
                self.deadlines.insert((now + REPORTING, name));
                continue;
            }
            t.timed_out = true;
            let patch = json!({"metadata": {"uid": t.uid}, "spec": {"cancel": true}});
            let (dispatches, patch) = (&self.runner.place.dispatches(), &Patch::Merge(&patch));
            let ending = || async {
                match dispatches.patch(&name, &params(), patch).await {
                    Err(kube::Error::Api(s)) if matches!(s.code, 404 | 409) => Ok(()),
                    patched => patched.map(drop),
                }
            };
            self.runner.patience.repeat("ending a task", ending).await?;
        }
        match (self.options.timeout, self.idle_until()) {
            (Some(timeout), Some(at)) if at <= now => {
                Err(Error::AllRest { timeout, failed: self.tracker.summary().all_failed() > 0 })
            }
            _ => Ok(()),
        }
    }

    /// No task was ever run to its end, and none will be.
    pub(super) fn hopeless(&self, message: &str) -> Error {
        Error::NoWorker { message: message.to_owned(), hint: self.options.start_hint }
    }

    /// True once as much was spent as may be. Then nothing more is started.
    pub(super) fn is_spent(&self) -> bool {
        self.options.max_cost.is_some_and(|most| self.spent >= most)
    }

    /// Ends the run if nothing runs any more, and what is left may not be started.
    pub(super) fn give_up_if_spent(&mut self) -> Result<(), Error> {
        let Some(limit) = self.options.max_cost.filter(|_| self.is_spent() && self.printing == 0) else {
            return Ok(());
        };
        // An attempt that has ended, and whose end is not known yet, may be the last of its task.
        let waits = |t: &InFlight| t.running.is_none() && t.last.is_none() && t.closed >= t.started;
        if !self.in_flight.values().all(waits) {
            return Ok(());
        }
        if self.in_flight.is_empty() {
            // A mistake, and what may still come, are not run either.
            if let Next::End = self.source.as_mut().map_or(Ok(Next::End), TaskSource::now)? {
                self.source = None;
                return Ok(());
            }
        }
        Err(Error::CostReached { limit, spent: self.spent, failed: self.tracker.summary().all_failed() > 0 })
    }

    /// If every credential was refused, the tasks that wait would wait for ever: one that never worked is wrong. But one that worked may
    /// do so again, once a person renewed it. The pool finds that out.
    pub(super) fn give_up_if_refused(&self) -> Result<(), Error> {
        let waits =
            !self.in_flight.is_empty() && self.in_flight.values().all(|t| t.running.is_none() && t.last.is_none());
        match &self.refused {
            Some(names) if waits && !(self.succeeded && self.probes) => {
                Err(Error::Unauthorized { names: names.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// How a task ended. One that `--timeout` ended while it waited ended as its last attempt did.
fn final_outcome(status: &DispatchStatus, timed_out: bool) -> Outcome {
    match (status.phase, status.last_result.as_ref().map(|r| r.outcome)) {
        (DispatchPhase::Succeeded, _) => Outcome::Succeeded,
        (_, Some(outcome)) => final_outcome_of(outcome, timed_out),
        // Never ran: refused, or gone.
        (_, None) => Outcome::NotStarted,
    }
}

const fn final_outcome_of(outcome: Outcome, timed_out: bool) -> Outcome {
    match outcome {
        Outcome::Cancelled if timed_out => Outcome::TimedOut,
        outcome => outcome,
    }
}

/// The message of an attempt's result. One that `--timeout` ended says so.
pub(super) fn message_of(result: &LastResult, timed_out: bool) -> Option<String> {
    if timed_out && result.outcome == Outcome::Cancelled {
        return Some("the task's time ran out (--timeout)".to_owned());
    }
    result.message.clone()
}

/// Why a task ended of which there was no attempt. None: there was one.
fn why_not_run(status: &DispatchStatus) -> Option<String> {
    let phase = || match status.phase {
        DispatchPhase::Failed => "its Dispatch is gone".to_owned(),
        phase => format!("{phase:?}"),
    };
    (status.attempt == 0).then(|| status.reason.clone().unwrap_or_else(phase))
}
