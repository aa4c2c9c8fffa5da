//! The lines at info: what has happened once a write succeeded.

use super::line::Line;
use crate::api::dispatch::{DispatchStatus, Outcome};
use crate::api::vocabulary::{DispatchAccepted, DispatchFinished, Reason};
use crate::api::worker::{WorkerPhase, WorkerStatus};
use crate::api::{Condition, Dispatch, Worker};
use crate::core::{ObjectKey, Verb, dispatch_status, worker_status};

/// The line that follows from a write, if it is worth one.
pub(super) fn of_verb(verb: &Verb) -> Option<Line> {
    match verb {
        Verb::WorkerStatus(base, next) => of_worker(base, next),
        Verb::DeleteWorker(base, why) => {
            let mut line = about_worker("worker deleted", base);
            line.dispatch = named(base);
            line.reason = Some(why.to_string());
            Some(line)
        }
        Verb::DispatchStatus(base, next) => of_dispatch(base, next),
        _ => None,
    }
}

/// The line about a Worker that another client has deleted.
pub(super) fn deleted_by_another(worker: &Worker) -> Line {
    let mut line = about_worker("worker deleted", worker);
    line.dispatch = named(worker);
    let waits = line.dispatch.as_ref().map(|d| format!("; it waits for the end of {d}")).unwrap_or_default();
    line.reason = Some(format!("another client deleted it{waits}"));
    line
}

/// The line about a Worker that another client has removed without its finalizer.
pub(super) fn removed_by_another(worker: &Worker) -> Line {
    let mut line = about_worker("worker deleted", worker);
    line.dispatch = named(worker);
    line.reason = Some("another client deleted it, and removed its finalizer before".to_owned());
    line
}

fn named(worker: &Worker) -> Option<String> {
    worker_status(worker).dispatch.as_ref().map(|d| d.name.clone())
}

pub(super) fn about_worker(what: &'static str, worker: &Worker) -> Line {
    let key = ObjectKey::of(worker);
    let mut line = Line::new(what, &key.namespace);
    (line.pool, line.worker) = (Some(worker.spec.pool.clone()), Some(key.name.to_string()));
    line
}

pub(super) fn about_dispatch(what: &'static str, dispatch: &Dispatch) -> Line {
    let key = ObjectKey::of(dispatch);
    let mut line = Line::new(what, &key.namespace);
    (line.pool, line.dispatch) = (Some(dispatch.spec.pool.clone()), Some(key.name.to_string()));
    line
}

fn of_worker(base: &Worker, next: &WorkerStatus) -> Option<Line> {
    let old = worker_status(base);
    let (what, reason) = match (old.phase, next.phase) {
        (WorkerPhase::Starting, WorkerPhase::Ready) => ("worker started", None),
        (WorkerPhase::Starting, WorkerPhase::Starting) if next.message.is_some() && next.message != old.message => {
            ("worker waits to start", next.message.clone())
        }
        (phase, WorkerPhase::Failed) if phase != WorkerPhase::Failed => {
            ("worker failed; it is replaced after its rest", next.message.clone())
        }
        _ => return None,
    };
    Some(Line { reason, ..about_worker(what, base) })
}

fn of_dispatch(base: &Dispatch, next: &DispatchStatus) -> Option<Line> {
    let old = dispatch_status(base);
    let closed = |s: &DispatchStatus| s.last_result.as_ref().map_or(0, |r| r.attempt);
    if let Some(result) = next.last_result.as_ref().filter(|r| r.attempt > closed(old)) {
        if result.outcome == Outcome::Succeeded {
            return None;
        }
        let mut line = about_dispatch("attempt ended", base);
        line.worker = next.worker.as_ref().map(|w| w.name.clone());
        (line.attempt, line.outcome) = (Some(result.attempt), Some(result.outcome.to_string()));
        line.phase = Some(format!("{:?}", next.phase));
        line.until = result.until.as_ref().map(|t| format!("{:.0}", t.0));
        line.reason.clone_from(&result.message);
        return Some(line);
    }
    let said = |c: &Condition| Some(if c.message.is_empty() { c.reason.clone() } else { c.message.clone() });
    if next.phase.is_final() && !old.phase.is_final() {
        let finished = Condition::find::<DispatchFinished>(&next.conditions)?;
        let refused = finished.reason == DispatchFinished::QueueFull.as_str();
        let mut line = about_dispatch(if refused { "dispatch refused" } else { "waiting dispatch ended" }, base);
        line.phase = Some(format!("{:?}", next.phase));
        line.reason = said(finished);
        return Some(line);
    }
    let refused =
        |s: &DispatchStatus| Condition::find::<DispatchAccepted>(&s.conditions).filter(|c| !c.is_true()).cloned();
    let missing = refused(next).filter(|_| refused(old).is_none())?;
    Some(Line { reason: said(&missing), ..about_dispatch("dispatch has no pool", base) })
}
