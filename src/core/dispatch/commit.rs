//! The commit: reserve, publish, close, free; and the statuses that these write.
//!
//! `model/` checks this protocol over all interleavings. Change neither without the other.

use jiff::Timestamp;

use crate::api::dispatch::{DispatchPhase, DispatchStatus, LastResult, Outcome, Retries, Target, WorkerRef};
use crate::api::pool::Scope;
use crate::api::vocabulary::{DispatchAccepted, DispatchAssigned, DispatchFinished, EventReason, Reason};
use crate::api::worker::{DispatchRef, WorkerPhase, WorkerStatus};
use crate::api::{self, Condition, Dispatch, Time, Worker};
use crate::core::agenda::Wake;
use crate::core::limits::MISSED_CHECKS;
use crate::core::object::dispatch_status;
use crate::core::rests::{self, Limited};
use crate::core::{Core, Now, Object, ObjectKey, Subject, Verb, WorkerEnd, conditions};

use super::fate::{Fate, fate};
use super::outcome::{self, End, final_phase, retry};

/// Status of a Worker that is reserved for an attempt. `probe`: its credential is parked.
pub fn reserved(worker: &Worker, dispatch: &Dispatch, probe: bool, now: Now) -> WorkerStatus {
    let mut status = worker.status.clone().unwrap_or_default();
    let attempt = dispatch.status.as_ref().map_or(0, |s| s.attempt) + 1;
    status.phase = WorkerPhase::Busy;
    status.dispatch = Some(DispatchRef {
        name: ObjectKey::of(dispatch).name.to_string(),
        uid: dispatch.uid_str().to_owned(),
        attempt,
        assigned_at: Time::from(now.wall),
        probe,
    });
    status.last_dispatch_time = Some(Time::from(now.wall));
    (status.idle_since, status.rests_until) = (None, None);
    status.dispatches += 1;
    status
}

/// Status of a Worker that is free again.
pub fn freed(worker: &Worker, now: Now) -> WorkerStatus {
    let mut status = worker.status.clone().unwrap_or_default();
    status.dispatch = None;
    status.idle_since = Some(Time::from(now.wall));
    if worker.is_deleting() {
        (status.phase, status.message) = (WorkerPhase::Draining, None);
    } else {
        status.phase = WorkerPhase::Ready;
    }
    status
}

/// Status of a Dispatch whose attempt is published.
pub fn published(
    dispatch: &Dispatch,
    worker: &Worker,
    named: &DispatchRef,
    target: Target,
    now: Now,
) -> DispatchStatus {
    let mut status = dispatch.status.clone().unwrap_or_default();
    status.phase = DispatchPhase::Assigned;
    status.attempt = named.attempt;
    status.worker = Some(WorkerRef { name: ObjectKey::of(worker).name.to_string(), uid: worker.uid_str().to_owned() });
    status.target = Some(target);
    status.assigned_at = Some(named.assigned_at.clone());
    status.probe = named.probe;
    has_pool(&mut status, now);
    say(&mut status, DispatchAssigned::Assigned, "", now);
    (status.not_before, status.waiting_since) = (None, None);
    (status.reason, status.message) = (None, None); // the phase and the worker say it all
    status
}

/// Status of a Dispatch whose reserved attempt never started, because its worker died or is being deleted.
pub fn not_started(dispatch: &Dispatch, worker: &Worker, named: &DispatchRef, now: Now) -> DispatchStatus {
    let mut status = dispatch.status.clone().unwrap_or_default();
    // It waits as before: this attempt is none of its own making.
    status.waiting_since = outcome::queued_since(dispatch).map(Time::from);
    status.attempt = named.attempt;
    status.worker = Some(WorkerRef { name: ObjectKey::of(worker).name.to_string(), uid: worker.uid_str().to_owned() });
    status.target = None;
    status.assigned_at = Some(named.assigned_at.clone());
    status.probe = named.probe;
    let result = LastResult {
        attempt: named.attempt,
        outcome: Outcome::NotStarted,
        closed_at: Time::from(now.wall),
        until: None,
        message: None,
    };
    let text = outcome::text(&result, &ObjectKey::of(worker).name);
    status.last_result = Some(result);
    say(&mut status, DispatchAssigned::Ended(Outcome::NotStarted), &text, now);
    status
}

/// Status of a Dispatch that waits, with the reason for it. Nothing else of it changes: the protocol does not read it.
pub fn waits(
    dispatch: &Dispatch,
    reason: DispatchAssigned,
    message: &str,
    until: Option<Timestamp>,
    now: Now,
) -> DispatchStatus {
    let mut status = dispatch.status.clone().unwrap_or_default();
    has_pool(&mut status, now);
    say(&mut status, reason, message, now);
    status.waits_until = until.map(api::seconds);
    status
}

/// The pool is there. Says so if it was missing before.
fn has_pool(status: &mut DispatchStatus, now: Now) {
    if Condition::find::<DispatchAccepted>(&status.conditions).is_some() {
        conditions::set(&mut status.conditions, DispatchAccepted::Accepted, "", now);
    }
}

/// Status after the open attempt ended: target cleared, and either Pending again or final, in one write.
pub fn closed(dispatch: &Dispatch, end: End, other_credential: bool, now: Now) -> DispatchStatus {
    let mut status = dispatch.status.clone().unwrap_or_default();
    let used = status.retries.unwrap_or_default();
    status.target = None;
    let outcome = end.outcome;
    // A cancel ends the dispatch, even if a retry were allowed after this outcome.
    let next =
        if dispatch.spec.cancel { None } else { retry(&dispatch.spec, used, outcome, other_credential, status.probe) };
    let result = LastResult {
        attempt: status.attempt,
        outcome,
        closed_at: Time::from(now.wall),
        until: end.until,
        message: end.message,
    };
    let mut text = outcome::text(&result, status.worker.as_ref().map_or("", |w| &w.name));
    // Nothing waits for a credential that another one can take the place of.
    let waits = outcome != Outcome::Unauthorized || !other_credential;
    let mut until = result.until.as_ref().filter(|_| waits).map(|t| t.0);
    status.last_result = Some(result);
    (status.not_before, status.waiting_since) = (None, None);
    match next {
        Some(used) => {
            if let Some(time) = outcome::not_before(dispatch, used, outcome, end.retry_after, now) {
                status.not_before = Some(Time::from(time));
                until = Some(time);
                text = format!("{text}; the next attempt begins after {}", api::seconds(time).0);
            }
            status.phase = DispatchPhase::Pending;
            status.retries = (used != Retries::default()).then_some(used);
            say(&mut status, DispatchAssigned::Ended(outcome), &text, now);
            status.waits_until = until.map(api::seconds);
        }
        None => {
            let phase = final_phase(outcome);
            let phase =
                if dispatch.spec.cancel && phase == DispatchPhase::Failed { DispatchPhase::Cancelled } else { phase };
            finish(&mut status, phase, DispatchFinished::Ended(outcome), &text, now);
        }
    }
    status
}

/// Makes a status final.
pub(super) fn finish(
    status: &mut DispatchStatus,
    phase: DispatchPhase,
    reason: DispatchFinished,
    message: &str,
    now: Now,
) {
    status.phase = phase;
    status.finished_at = Some(Time::from(now.wall));
    (status.not_before, status.waiting_since) = (None, None);
    say(status, reason, message, now);
    if phase == DispatchPhase::Succeeded {
        status.reason = None;
    }
}

/// Says why a dispatch is in its phase: in a condition, and in the fields that `kubectl get` shows.
pub(super) fn say<R: Reason>(status: &mut DispatchStatus, reason: R, message: &str, now: Now) {
    conditions::set(&mut status.conditions, reason, message, now);
    status.reason = Some(reason.as_str().to_owned());
    status.message = (!message.is_empty()).then(|| message.to_owned());
    status.waits_until = None;
}

impl Core {
    /// Decides about a worker that names a dispatch.
    pub(in crate::core) fn decide_named(
        &mut self,
        key: &ObjectKey,
        worker: &Worker,
        named: &DispatchRef,
        now: Now,
        wake: &mut Wake,
    ) {
        let dispatch = key.sibling(named.name.clone());
        let gone = self.workers.get(key).is_some_and(|e| e.is_dispatch_gone(&named.uid));
        let present = self.dispatches.get(&dispatch).map(|e| e.obj().clone()).filter(|d| d.uid_str() == named.uid);
        let left = self.workers.get(key).and_then(|e| e.left_by(&named.uid)).cloned();
        let began = present.as_ref().or(left.as_ref()).and_then(|d| d.status.as_ref()?.assigned_at.clone());
        // What the last version said of its end holds although the dispatch is deleted: the worker can stay, and the rest is
        // not forgotten.
        let left = left.map(|d| fate(worker.uid_str(), named, &d)).filter(Fate::is_final);
        let fate = match (present, left) {
            (Some(d), _) => fate(worker.uid_str(), named, &d),
            (None, Some(fate)) => fate,
            (None, None) if gone => Fate::Unreported,
            (None, None) => {
                // Absence from the cache is not a fact: a live GET is.
                self.write(Subject::Worker(key.clone()), Verb::GetDispatch(dispatch));
                return;
            }
        };
        match fate {
            // The dispatch's own decision publishes, closes or ends it.
            fate @ (Fate::RollForward | Fate::Running | Fate::Wait) => {
                self.agenda.mark_dispatch(&dispatch);
                if fate == Fate::Running && self.show_draining(key, worker, Some(&named.name), now) {
                    return;
                }
                let paused = self.may_be_paused(key, worker);
                let missed = self.workers.get(key).map_or(0, |e| e.life().missed());
                if paused && fate == Fate::RollForward && missed >= MISSED_CHECKS && !worker.is_deleting() {
                    // It cannot go on: the attempt is closed as NotStarted.
                    self.delete_worker(key, WorkerEnd::Unhealthy(missed), now);
                    return;
                }
                self.go_on(key, worker, now, wake);
                self.check_if_due(key, now, wake);
            }
            Fate::NeverRan => self.free(key, worker, None, now),
            Fate::Reported(result) => {
                let assigned_at = began.unwrap_or(named.assigned_at.clone()).0;
                self.free(key, worker, Some(&Limited { assigned_at, result: &result }), now);
            }
            Fate::Unreported if worker.is_deleting() => self.free(key, worker, None, now),
            Fate::Unreported => {
                let base = self.workers[key].obj().clone();
                let why = WorkerEnd::Unreported { dispatch: named.name.clone(), attempt: named.attempt };
                self.write(Subject::Worker(key.clone()), Verb::DeleteWorker(base, why));
            }
        }
    }

    /// Frees a worker, with the rest that follows from the result. Reserves it again in the same write if that is allowed.
    fn free(&mut self, key: &ObjectKey, worker: &Worker, closed: Option<&Limited<'_>>, now: Now) {
        let pool_key = self.workers[key].pool().clone();
        let mut status = freed(worker, now);
        if let Some(closed) = closed {
            // The rest of a credential is written to its pools first: after this write nothing would lead to it.
            if !self.rest_is_written(&pool_key, worker, closed) {
                return;
            }
            if self.scope_of(&pool_key) == Scope::Worker {
                let old = status.cooldown.clone().unwrap_or_default();
                status.cooldown = rests::worker_rest(old, closed);
            }
        }
        let limited = closed.is_some_and(|c| c.result.until.is_some());
        self.show_rest(&pool_key, worker, &mut status, limited, now);
        let base = self.workers[key].obj().clone();
        // After a limit the next decision reserves, also where a person has cleared the rest since.
        let reusable = closed.is_none_or(|c| {
            !limited && matches!(c.result.outcome, Outcome::Succeeded | Outcome::Failed | Outcome::Overloaded)
        });
        let next = if reusable && !worker.is_deleting() { self.next_for(key, &status, now) } else { None };
        if let Some(dispatch) = next {
            let d = self.dispatches[&dispatch].obj().clone();
            let idle = Worker { status: Some(status), ..(*base).clone() };
            let at = self.assignment(&idle, now);
            let again = reserved(&idle, &d, false, at);
            self.claim(key, &dispatch, &again);
            self.write(Subject::Worker(key.clone()), Verb::WorkerStatus(base, Box::new(again)));
        } else {
            self.write(Subject::Worker(key.clone()), Verb::WorkerStatus(base, Box::new(status)));
        }
    }

    /// Takes a dispatch off the queue for a worker whose reservation is being written.
    pub(in crate::core) fn claim(&mut self, worker: &ObjectKey, dispatch: &ObjectKey, status: &WorkerStatus) {
        if let (Some(e), Some(named)) = (self.workers.get_mut(worker), &status.dispatch) {
            e.reserve(named.clone(), &mut self.claims);
        }
        self.unqueue(dispatch);
    }

    /// Publishes the attempt that a worker is reserved for, or closes it as never started: not while an attempt before it may
    /// still run. Either replaces the record of that attempt's worker.
    pub(in crate::core) fn roll_forward(&mut self, key: &ObjectKey, dispatch: &Dispatch, worker: &ObjectKey, now: Now) {
        if self.holds_back(key, dispatch_status(dispatch)).is_some() {
            return; // what it waits for marks it again
        }
        let Some(e) = self.workers.get(worker) else { return };
        let (w, base) = (e.obj().clone(), self.dispatches[key].obj().clone());
        let Some(named) = w.status.as_ref().and_then(|s| s.dispatch.clone()) else { return };
        let status = if w.is_deleting() || self.instances.is_dead(&w) {
            not_started(dispatch, &w, &named, now)
        } else {
            if self.may_be_paused(worker, &w) {
                return; // the order that lets it go on marks it again
            }
            let Some(target) = self.target_of(&w) else {
                return; // not seen yet: an observation of its host marks it again
            };
            published(dispatch, &w, &named, target, now)
        };
        self.write(Subject::Dispatch(key.clone()), Verb::DispatchStatus(base, Box::new(status)));
    }

    /// Closes the open attempt of a dispatch.
    pub(in crate::core) fn close(&mut self, key: &ObjectKey, status: DispatchStatus, now: Now) {
        let base = self.dispatches[key].obj().clone();
        let known = base.status.as_ref().and_then(|s| s.last_result.as_ref()).map_or(0, |r| r.attempt);
        let closed = status.last_result.as_ref().filter(|r| r.attempt > known);
        let reason = closed.and_then(|r| match r.outcome {
            Outcome::RateLimited | Outcome::Unauthorized => Some(EventReason::AttemptLimited),
            Outcome::Cancelled => None,
            outcome => (!outcome.is_reported()).then_some(EventReason::AttemptLost),
        });
        if let (Some(reason), Some(r)) = (reason, closed) {
            let text = outcome::text(r, status.worker.as_ref().map_or("", |w| &w.name));
            self.record_when_done(&*base, reason, text, now);
        }
        self.write(Subject::Dispatch(key.clone()), Verb::DispatchStatus(base, Box::new(status)));
    }
}
