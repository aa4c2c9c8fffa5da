//! Every transition of a Dispatch is a publish, a close, or an end in the queue, with its precondition.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use poolkeeper::api::dispatch::{DispatchPhase, Outcome, ReportedOutcome};
use poolkeeper::api::{Dispatch, DispatchStatus};
use poolkeeper::local::Change;

use super::evidence::GHOST;
use super::{Attempt, Audit, is_final, is_open, is_reported, status_of};

pub(super) fn text(d: &Dispatch) -> String {
    let s = status_of(d);
    format!(
        "{} {}: {:?} attempt {} on {:?}, result {:?}, spec.result {:?}, cancel {}",
        d.metadata.name.as_deref().unwrap_or_default(),
        d.metadata.uid.as_deref().unwrap_or_default(),
        s.phase,
        s.attempt,
        s.worker.map(|w| (w.name, w.uid)),
        s.last_result,
        d.spec.result,
        d.spec.cancel
    )
}

pub(super) fn span(p: poolkeeper::api::Period) -> SignedDuration {
    SignedDuration::try_from(p.get()).unwrap()
}

impl Audit<'_> {
    pub(super) fn dispatch(&mut self, old: Option<Arc<Dispatch>>, new: &Arc<Dispatch>, change: Change) {
        let Some(old) = old else {
            let s = status_of(new);
            self.check(s == DispatchStatus::default(), "a new dispatch waits", || text(new));
            return;
        };
        if change == Change::Deleted {
            self.dispatch_deleted(&old);
            return;
        }
        let (before, after) = (status_of(&old), status_of(new));
        self.check(after.target.is_some() == is_open(&after), "a target is there while an attempt is open", || {
            text(new)
        });
        let assigned = after.phase == DispatchPhase::Assigned;
        self.check(assigned == is_open(&after), "Assigned means that an attempt is open", || text(new));
        self.check(
            is_final(after.phase) == after.finished_at.is_some(),
            "finishedAt is there once the phase is final",
            || text(new),
        );
        let silent = after.reason.is_none() && after.message.is_none();
        self.check(!assigned || silent, "what is Assigned does not say why it waits", || text(new));
        let pending = after.phase == DispatchPhase::Pending;
        self.check(pending || after.waits_until.is_none(), "only what waits waits until a time", || text(new));
        if before == after {
            return; // its user changed the spec: the server fences that
        }
        self.conditions("Dispatch", &after.conditions);
        self.check(!is_final(before.phase), "a final phase never changes", || {
            format!("{} -> {}", text(&old), text(new))
        });
        let writer = self.by_controller(self.rv);
        self.check(writer, "only controllers write a status", || text(new));
        if after.attempt != before.attempt {
            self.opened(&old, new, &before, &after);
        } else if is_open(&before) && !is_open(&after) {
            self.closed(&old, new, &before, &after);
        } else if is_final(after.phase) {
            self.ended_waiting(&old, new, &before, &after);
        } else {
            self.waits(&old, new, &before, &after);
        }
    }

    /// Published, or closed as never started, in one write.
    fn opened(&mut self, old: &Dispatch, new: &Dispatch, before: &DispatchStatus, after: &DispatchStatus) {
        let uid = new.metadata.uid.clone().unwrap();
        let n = after.attempt;
        self.check(n == before.attempt + 1, "attempts rise by one", || format!("{} -> {}", text(old), text(new)));
        self.check(!is_open(before), "publish: the attempt before is closed", || {
            format!("{} -> {}", text(old), text(new))
        });
        self.check(!old.spec.cancel, "publish: not cancelled", || text(old));
        // NotStarted as well: it replaces the record of the attempt before.
        if let Some(lost) = before.lost_on() {
            let over = self.is_over(&lost.uid);
            self.check(over, "after Lost: nothing of the attempt before runs", || {
                format!("{} -> {}", text(old), text(new))
            });
            self.count("attempt after Lost");
        }
        let Some(worker) = after.worker.clone() else {
            self.complain("publish: it says which worker", text(new));
            return;
        };
        let named =
            self.workers.get(&worker.uid).filter(|w| w.gone.is_none()).and_then(|w| w.last().status.clone()?.dispatch);
        let mutual = named.as_ref().is_some_and(|m| m.uid == uid && m.attempt == n);
        self.check(mutual, "publish: its worker names this attempt", || {
            format!("{}; the worker names {named:?}", text(new))
        });
        if let Some(named) = named {
            self.check(
                after.assigned_at.as_ref() == Some(&named.assigned_at),
                "assignedAt is the reservation's",
                || text(new),
            );
            self.check(after.probe == named.probe, "a probe is what its reservation says", || text(new));
        }
        let others: Vec<String> = self
            .dispatches
            .iter()
            .filter(|(k, d)| **k != uid && d.gone.is_none())
            .filter(|(_, d)| {
                let open = d.last().status.as_ref().filter(|s| is_open(s));
                open.is_some_and(|s| s.worker.as_ref().is_some_and(|w| w.uid == worker.uid))
            })
            .map(|(k, _)| k.clone())
            .collect();
        self.check(others.is_empty(), "a worker has one dispatch", || format!("{} has {others:?} too", text(new)));
        let reserver = self.reserver.get(&worker.uid).cloned().unwrap_or_default();
        let recovered = reserver != GHOST && reserver != self.writer(self.rv);
        let result = after.last_result.clone().filter(|r| r.attempt == n);
        if let Some(result) = &result {
            self.check(result.outcome == Outcome::NotStarted, "an attempt that is not opened was NotStarted", || {
                text(new)
            });
            let going = self.workers.get(&worker.uid).is_some_and(|w| w.last().metadata.deletion_timestamp.is_some());
            let dead = self.is_dead(&worker.uid);
            self.check(going || dead, "NotStarted: its worker is dead or going", || text(new));
            self.check(after.phase == DispatchPhase::Pending, "NotStarted uses up nothing", || text(new));
            self.check(after.retries == before.retries, "NotStarted uses up no retry", || text(new));
            let since = after.waiting_since.as_ref().map(|t| t.0);
            self.check(since == Some(self.queued_since(new)), "NotStarted does not begin the wait again", || {
                format!("{}: waits since {since:?}", text(new))
            });
            self.row("roll forward, NotStarted", recovered);
            self.count("outcome: NotStarted");
        } else {
            let id = self.bodies.get(&worker.uid).map(|b| b.id.clone());
            let target = after.target.as_ref().map(|t| t.id.clone());
            self.check(id.is_some() && id == target, "the target is the worker's instance", || {
                format!("{}; the instance is {id:?}, the target {target:?}", text(new))
            });
            self.row("roll forward, published", recovered);
        }
        let assigned_at = after.assigned_at.clone();
        let attempt = Attempt { worker: worker.uid, result, assigned_at, writer: self.writer(self.rv).to_owned() };
        self.attempts.entry(uid).or_default().insert(n, attempt);
    }

    fn closed(&mut self, old: &Dispatch, new: &Dispatch, before: &DispatchStatus, after: &DispatchStatus) {
        let (uid, n) = (new.metadata.uid.clone().unwrap(), after.attempt);
        let Some(result) = after.last_result.clone() else { return };
        let both = || format!("{} -> {}", text(old), text(new));
        self.check(result.attempt == n, "a result is applied to its own attempt", both);
        self.check(
            after.worker == before.worker && after.assigned_at == before.assigned_at && after.probe == before.probe,
            "a close changes no assignment",
            both,
        );
        let attempt = self.attempts.get(&uid).and_then(|a| a.get(&n)).cloned();
        let twice = attempt.as_ref().is_none_or(|a| a.result.is_some());
        self.check(!twice, "a result is applied once", both);
        let Some(attempt) = attempt else { return };
        let recovered = attempt.writer != self.writer(self.rv);
        let report = old.spec.result.clone().filter(|r| r.attempt == n);
        if let Some(report) = &report {
            // A death that the runtime confirmed says more than that the holder does not know.
            let dead = report.outcome == ReportedOutcome::Lost && result.outcome == Outcome::WorkerLost;
            let taken = dead || Outcome::from(report.outcome) == result.outcome;
            self.check(taken, "a close takes the result that is there", both);
        } else {
            self.check(!is_reported(result.outcome), "this outcome needs a report", both);
            let asked = result.outcome != Outcome::Lost || new.spec.retry.lost != 0;
            self.check(asked, "a Lease ends an attempt as Lost only if its dispatch asks for retries after that", both);
        }
        let pool = self.pool_named(&new.spec.pool).map(|p| p.last().spec.clone()).unwrap_or_default();
        match result.outcome {
            Outcome::WorkerLost => {
                let dead = self.is_dead(&attempt.worker);
                self.check(dead, "WorkerLost: the instance is gone", both);
                self.row("open attempt, its worker gone", recovered);
            }
            Outcome::TimedOut => {
                let limit = span(new.spec.timeout.unwrap_or(pool.dispatch.timeout));
                let due = before.assigned_at.as_ref().unwrap().0 + limit;
                self.check(result.closed_at.0 >= due, "TimedOut: its time ran out", both);
            }
            Outcome::HolderLost | Outcome::Lost if report.is_none() => {
                let silent = new.spec.lease_name.as_ref().is_some_and(|l| self.was_silent(l));
                self.check(silent, "HolderLost: the holder was silent for so long", both);
                let right = result.outcome == Outcome::Lost || new.spec.retry.lost == 0;
                self.check(right, "HolderLost is the end of a dispatch without retries after Lost", both);
            }
            Outcome::Cancelled => self.check(old.spec.cancel, "Cancelled: a cancel was set", both),
            Outcome::Forced => {
                let forced = self.was_forced(&attempt.worker, &new.spec.pool);
                self.check(forced, "Forced: a force annotation was set", both);
            }
            Outcome::NotStarted => self.complain("NotStarted is never open", both()),
            _ => {}
        }
        self.check_rest(old, &pool, before, &result);
        self.check_phase(old, before, after, result.outcome);
        self.count(&format!("outcome: {}", result.outcome));
        if let Some(a) = self.attempts.get_mut(&uid).and_then(|a| a.get_mut(&n)) {
            a.result = Some(result);
        }
        if recovered {
            self.count("after a restart: an open attempt is closed");
        }
    }

    /// Final without an attempt.
    fn ended_waiting(&mut self, old: &Dispatch, new: &Dispatch, before: &DispatchStatus, after: &DispatchStatus) {
        let both = || format!("{} -> {}", text(old), text(new));
        self.check(
            !is_open(before) && before.last_result == after.last_result,
            "an end in the queue closes nothing",
            both,
        );
        let pool = self.pool_named(&new.spec.pool);
        let spec = pool.map(|p| p.last().spec.clone()).unwrap_or_default();
        let going = pool.is_none_or(|p| p.gone.is_some() || p.last().metadata.deletion_timestamp.is_some());
        let right = match after.phase {
            DispatchPhase::Cancelled => old.spec.cancel || going,
            DispatchPhase::Failed => {
                let given_up = before.lost_on().is_some() && after.reason.as_deref() == Some("Lost");
                self.count(if given_up { "outcome: Lost, the holder is given up" } else { "outcome: QueueFull" });
                (given_up && self.stayed_away(new, before))
                    || (after.reason.as_deref() == Some("QueueFull") && before.attempt == 0)
            }
            DispatchPhase::Expired => {
                self.count("outcome: Expired");
                let limit = span(new.spec.queue_timeout.unwrap_or(spec.dispatch.queue_timeout));
                let since = self.queued_since(new);
                !limit.is_zero() && after.finished_at.as_ref().unwrap().0 >= since + limit
            }
            _ => false,
        };
        self.check(right, "an end in the queue has its reason", both);
        self.check(after.message.is_some() && after.reason.is_some(), "an end in the queue has a sentence", both);
        self.count(&format!("phase: {:?}", after.phase));
    }

    /// From when on the present wait of a dispatch counts: its creation, or the end of the last attempt that could start, or the time
    /// before which none may follow that.
    fn queued_since(&self, d: &Dispatch) -> Timestamp {
        let created = d.metadata.creation_timestamp.as_ref().unwrap().0;
        let life = d.metadata.uid.as_ref().and_then(|uid| self.dispatches.get(uid));
        let closed = life.into_iter().flat_map(|life| life.versions.iter().rev()).find_map(|v| {
            let status = v.object.status.as_ref().filter(|s| s.phase == DispatchPhase::Pending)?;
            let last = status.last_result.as_ref().filter(|r| r.outcome != Outcome::NotStarted)?;
            Some(status.waits_before().unwrap_or(last.closed_at.0))
        });
        closed.unwrap_or(created)
    }

    fn dispatch_deleted(&mut self, old: &Dispatch) {
        if !self.by_controller(self.rv) {
            return;
        }
        let s = status_of(old);
        self.check(is_final(s.phase), "history removes what is final", || text(old));
        let uid = old.metadata.uid.clone().unwrap();
        // A reservation that came late may not have been seen: its worker goes when it is.
        let late = |w: &str| self.reserver.get(w).is_some_and(|r| r == GHOST);
        let held = s.worker.as_ref().is_some_and(|w| self.names(&w.uid, &uid, s.attempt) && !late(&w.uid));
        self.check(!held, "history removes what no worker holds", || text(old));
    }

    /// Counts a row of the recovery table.
    pub(super) fn row(&mut self, row: &str, recovered: bool) {
        self.count(&format!("row: {row}"));
        if recovered {
            self.count(&format!("after a restart: {row}"));
        }
    }
}
