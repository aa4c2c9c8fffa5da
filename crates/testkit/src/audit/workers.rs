//! Every transition of a Worker is a reservation, a release, both, or has to do with its instance.

use std::sync::Arc;

use poolkeeper::api::dispatch::Outcome;
use poolkeeper::api::pool::Scope;
use poolkeeper::api::worker::{Cooldown, DispatchRef, WorkerPhase};
use poolkeeper::api::{Worker, WorkerStatus};
use poolkeeper::local::Change;

use super::evidence::GHOST;
use super::{Audit, is_final, is_reported, state_of, status_of};

/// What makes a release right.
enum Release {
    NeverRan,
    OtherWorker,
    Reported(poolkeeper::api::dispatch::LastResult),
    Unreported,
    Older,
    Gone,
}

fn text(w: &Worker) -> String {
    let s = state_of(w);
    format!(
        "{} {}{}: {:?} names {:?}, cooldown {:?}",
        w.metadata.name.as_deref().unwrap_or_default(),
        w.metadata.uid.as_deref().unwrap_or_default(),
        if w.metadata.deletion_timestamp.is_some() { " (deleting)" } else { "" },
        s.phase,
        s.dispatch,
        s.cooldown
    )
}

impl Audit<'_> {
    pub(super) fn worker(&mut self, old: Option<Arc<Worker>>, new: &Arc<Worker>, change: Change) {
        let Some(old) = old else {
            self.worker_made(new);
            return;
        };
        if change == Change::Deleted {
            self.worker_gone(&old);
            return;
        }
        let (before, after) = (state_of(&old), state_of(new));
        let both = || format!("{} -> {}", text(&old), text(new));
        if old.metadata.deletion_timestamp.is_none() && new.metadata.deletion_timestamp.is_some() {
            self.worker_deleted(new);
        }
        if before == after {
            return;
        }
        self.conditions("Worker", &after.conditions);
        let by_controller = self.by_controller(self.rv);
        self.check(by_controller, "only controllers write a status", both);
        let mut rest_follows = None;
        match (&before.dispatch, &after.dispatch) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => {}
            (was, is) => {
                if let Some(was) = was {
                    rest_follows = self.released(&old, new, was, is.is_some());
                }
                if let Some(is) = is {
                    self.reserved(&old, &before, &after, is);
                }
            }
        }
        self.check_rest_of_worker(&old, &before, &after, rest_follows);
        let handle = before.handle.is_none() || before.handle == after.handle;
        self.check(handle, "a worker keeps its one instance", both);
        let busy = after.dispatch.is_some() == (after.phase == WorkerPhase::Busy);
        self.check(busy || after.phase == WorkerPhase::Draining, "Busy means that a dispatch has it", both);
    }

    fn worker_made(&mut self, new: &Worker) {
        let (name, pool) = (new.metadata.name.clone().unwrap(), new.spec.pool.clone());
        let ordinal = name.strip_prefix(&format!("{pool}-")).and_then(|n| n.parse::<i32>().ok());
        let versions = self.pools.values().filter(|p| p.name == pool).flat_map(|p| p.versions.iter());
        let maxes: Vec<i32> = versions
            .filter(|v| v.object.metadata.generation == Some(new.spec.pool_generation))
            .map(|v| v.object.spec.max)
            .collect();
        let fits = ordinal.is_some_and(|o| maxes.iter().any(|m| o < *m));
        self.check(fits, "a worker's ordinal is below the max of its poolGeneration", || {
            format!("{name}: max {maxes:?}")
        });
        let held = new.metadata.finalizers.iter().flatten().count() == 1;
        self.check(held, "a worker is made with its finalizer", || text(new));
        self.check(new.status.is_none() || state_of(new).dispatch.is_none(), "a new worker is free", || text(new));
        let cut_off = self.is_known_to_be_cut_off(new.spec.host.as_deref().unwrap_or_default(), self.when(self.rv));
        self.check(!cut_off, "nothing is made or removed on a host that cannot be listed", || text(new));
    }

    /// The last version names no dispatch, and the runtime has nothing of it.
    fn worker_gone(&mut self, old: &Worker) {
        let uid = old.metadata.uid.clone().unwrap();
        let named = state_of(old).dispatch;
        self.check(named.is_none(), "a worker goes when it names no dispatch", || text(old));
        let there = self.bodies.get(&uid).is_some_and(|b| b.exists);
        self.check(!there, "a worker goes when its instance is gone", || text(old));
    }

    fn worker_deleted(&mut self, new: &Worker) {
        if !self.by_controller(self.rv) {
            return;
        }
        let uid = new.metadata.uid.clone().unwrap();
        let Some(named) = state_of(new).dispatch else {
            let cut_off = self.is_known_to_be_cut_off(new.spec.host.as_deref().unwrap_or_default(), self.when(self.rv));
            self.check(!cut_off, "nothing is made or removed on a host that cannot be listed", || text(new));
            return;
        };
        let release = self.release(&uid, &named, true);
        // A controller that comes after the end of a dispatch cannot know that it was reported.
        let gone = self.dispatches.get(&named.uid).is_some_and(|d| d.gone.is_some());
        let right =
            matches!(release, Ok(Release::Unreported | Release::Older | Release::Gone)) || gone && release.is_ok();
        self.check(right, "a controller deletes no worker with an open attempt", || text(new));
    }

    /// Why a worker may be freed from an attempt, now. `Err`: it may not.
    fn release(&self, worker: &str, named: &DispatchRef, deleting: bool) -> Result<Release, String> {
        let Some(d) = self.dispatches.get(&named.uid) else { return Err("there never was such a dispatch".to_owned()) };
        let (status, gone) = (status_of(d.last()), d.gone.is_some());
        let known = self.attempts.get(&named.uid).and_then(|a| a.get(&named.attempt));
        let Some(attempt) = known else {
            return if is_final(status.phase) || d.last().spec.cancel {
                Ok(Release::NeverRan)
            } else if gone && deleting {
                Ok(Release::Gone)
            } else {
                Err(format!("the reservation may still be published (dispatch gone: {gone})"))
            };
        };
        if attempt.worker != worker {
            return Ok(if named.attempt < status.attempt && deleting { Release::Older } else { Release::OtherWorker });
        }
        match &attempt.result {
            None if gone && deleting => Ok(Release::Gone),
            None => Err("its attempt is open".to_owned()),
            Some(_) if deleting && named.attempt < status.attempt => Ok(Release::Older),
            Some(r) if is_reported(r.outcome) || r.outcome == Outcome::NotStarted => Ok(Release::Reported(r.clone())),
            Some(_) if deleting => Ok(Release::Unreported),
            Some(r) => Err(format!("attempt ended as {} and its worker is not being deleted", r.outcome)),
        }
    }

    /// Gives the result from which a rest follows, and when its attempt was assigned.
    fn released(
        &mut self,
        old: &Worker,
        new: &Worker,
        was: &DispatchRef,
        again: bool,
    ) -> Option<(poolkeeper::api::dispatch::LastResult, DispatchRef)> {
        let uid = new.metadata.uid.clone().unwrap();
        let deleting = old.metadata.deletion_timestamp.is_some();
        let recovered = self.reserver.get(&uid).is_some_and(|r| r != GHOST && r != self.writer(self.rv));
        let (row, result) = match self.release(&uid, was, deleting) {
            Err(why) => {
                self.complain("a worker is freed on a fact", format!("{}: {why}", text(old)));
                return None;
            }
            Ok(Release::NeverRan) => ("it never ran", None),
            Ok(Release::OtherWorker) => ("it ran on another worker", None),
            Ok(Release::Unreported) => ("closed without a report", None),
            Ok(Release::Older) => ("an attempt that is past", None),
            Ok(Release::Gone) => ("the dispatch is gone", None),
            Ok(Release::Reported(r)) => ("closed by a report", Some(r)),
        };
        self.row(row, recovered);
        if again {
            self.check(!deleting, "a worker that goes takes nothing", || text(new));
            let limited = result.as_ref().is_some_and(|r| r.until.is_some() || r.outcome == Outcome::Unauthorized);
            self.check(!limited, "no new dispatch in the write that ends with a limit", || text(new));
            self.count("freed and reserved in one write");
        }
        if let Some(r) = &result {
            self.check_rest_of_credential(old, was, r);
            self.check_refusal_is_stored(old, was, r);
        }
        // A late reservation may name an attempt that ran long ago: its rest is that of the attempt, not a new one.
        let began = self.attempts.get(&was.uid).and_then(|a| a.get(&was.attempt)?.assigned_at.clone());
        let was = DispatchRef { assigned_at: began.unwrap_or(was.assigned_at.clone()), ..was.clone() };
        result.map(|r| (r, was))
    }

    fn reserved(&mut self, old: &Worker, before: &WorkerStatus, after: &WorkerStatus, named: &DispatchRef) {
        let uid = old.metadata.uid.clone().unwrap();
        let all = || format!("{} for {named:?}", text(old));
        self.check(old.metadata.deletion_timestamp.is_none(), "reserve: the worker stays", all);
        self.check(!old.spec.cordoned, "reserve: the worker is not cordoned", all);
        let ready = matches!(before.phase, WorkerPhase::Ready | WorkerPhase::Busy);
        self.check(ready, "reserve: the worker is ready", all);
        let served = self.pool_named(&old.spec.pool).map_or(0, |p| p.last().spec.recycle.after_dispatches);
        let fresh = served == 0 || before.dispatches < served || self.writer(self.rv) == GHOST;
        self.check(fresh, "reserve: the worker has not served as often as it may", all);
        let until = after.cooldown.as_ref().and_then(|c| c.until.as_ref());
        let rested = until.is_none_or(|u| named.assigned_at >= *u);
        self.check(rested, "no assignment before the worker's until", all);
        self.check(after.last_dispatch_time.as_ref() == Some(&named.assigned_at), "lastDispatchTime is set", all);
        // A reservation that came late may name an attempt that is past.
        let waits = self.dispatches.get(&named.uid).map(|d| status_of(d.last())).filter(|s| s.attempt < named.attempt);
        let early = waits.and_then(|s| s.waits_before());
        let late = early.is_none_or(|t| named.assigned_at.0 >= t) || self.writer(self.rv) == GHOST;
        self.check(late, "no attempt is assigned before notBefore", all);
        let known = self.dispatches.contains_key(&named.uid);
        self.check(known, "reserve: there is, or was, such a dispatch", all);
        if named.attempt > 1 {
            let last = self.attempts.get(&named.uid).and_then(|a| a.get(&(named.attempt - 1))).cloned();
            let closed = last.as_ref().is_some_and(|a| a.result.is_some());
            self.check(closed, "reserve: the attempt before is closed", all);
            if let Some(last) = last {
                let held = self.names(&last.worker, &named.uid, named.attempt - 1);
                self.check(!held, "reserve: the last worker no longer names it", all);
                let lost = last.result.as_ref().is_some_and(|r| r.outcome == Outcome::Lost);
                // What an old controller asked for arrives late. Publish looks again.
                if lost && self.writer(self.rv) != GHOST {
                    let over = self.is_over(&last.worker);
                    self.check(over, "after Lost: nothing of the attempt before runs", all);
                    let lease = self.dispatches.get(&named.uid).and_then(|d| d.last().spec.lease_name.clone());
                    let back = lease.is_none_or(|l| self.renewed_since_close(&named.uid, &l).is_some());
                    self.check(back, "after Lost: the holder has renewed its Lease since", all);
                }
            }
        }
        self.check_probe(old, named);
        let writer = self.writer(self.rv).to_owned();
        self.reserver.insert(uid, writer);
    }

    /// What rests a credential is stored before the worker is freed: afterwards nothing would lead to it.
    fn check_rest_of_credential(
        &mut self,
        old: &Worker,
        named: &DispatchRef,
        result: &poolkeeper::api::dispatch::LastResult,
    ) {
        let Some(pool) = self.pool_named(&old.spec.pool).filter(|p| p.gone.is_none()) else { return };
        let spec = &pool.last().spec;
        let credential = spec.credentials.iter().find(|c| Some(&c.name) == old.spec.credential.as_ref());
        let Some(key) = credential.map(poolkeeper::api::pool::Credential::identity) else { return };
        let rests = matches!(result.outcome, Outcome::RateLimited | Outcome::Succeeded);
        let (Some(until), Scope::Credential, true) = (&result.until, spec.rate_limit.scope, rests) else { return };
        // A controller that started after the end of the dispatch knows nothing of the attempt. The worker goes for it.
        let forgotten = old.metadata.deletion_timestamp.is_some()
            && self.dispatches.get(&named.uid).is_some_and(|d| d.gone.is_some());
        let began = self.attempts.get(&named.uid).and_then(|a| a.get(&named.attempt)?.assigned_at.clone());
        let versions = self.pools.values().filter(|p| p.name == pool.name).flat_map(|p| p.versions.iter());
        let mut rests = versions.filter_map(|v| v.object.status.as_ref()).flat_map(|s| s.rate_limits.iter());
        let stored = rests.any(|r| r.key == key && r.until.as_ref() >= Some(until));
        // A clear in one pool is one of the credential.
        let stored = stored || self.entries(&key).any(|r| r.cleared_at > began);
        self.check(stored || forgotten, "the rest of a credential is stored before its worker is freed", || {
            format!("{}: {key} is to rest until {until:?}", text(old))
        });
    }

    /// A worker's rest changes only as the attempt that is freed says, or by hand.
    fn check_rest_of_worker(
        &mut self,
        old: &Worker,
        before: &WorkerStatus,
        after: &WorkerStatus,
        follows: Option<(poolkeeper::api::dispatch::LastResult, DispatchRef)>,
    ) {
        let (was, is) = (before.cooldown.clone().unwrap_or_default(), after.cooldown.clone().unwrap_or_default());
        let all = || format!("{} -> {is:?}, after {follows:?}", text(old));
        if is.cleared_at != was.cleared_at {
            self.check(is.until.is_none() && is.strikes == 0, "a clear clears", all);
            self.count("rest of a worker cleared");
            return;
        }
        let Some((result, named)) = follows.clone() else {
            let later = is.until >= was.until;
            self.check(later && is.strikes == was.strikes, "a deadline never moves earlier", all);
            return;
        };
        let scope = self.pool_named(&old.spec.pool).map_or(Scope::Worker, |p| p.last().spec.rate_limit.scope);
        let fresh = was.until.as_ref().is_none_or(|u| named.assigned_at >= *u);
        let cleared = was.cleared_at.as_ref().is_some_and(|c| *c > named.assigned_at);
        let expected = match (scope, result.outcome) {
            (Scope::Credential, _) => was.clone(),
            (_, Outcome::RateLimited) if !cleared => {
                let until = was.until.clone().into_iter().chain(result.until.clone()).max();
                Cooldown { until, strikes: was.strikes + i32::from(fresh), ..was.clone() }
            }
            (_, Outcome::Succeeded) if result.until.is_some() && !cleared => {
                let until = was.until.clone().into_iter().chain(result.until.clone()).max();
                Cooldown { until, strikes: if fresh { 0 } else { was.strikes }, ..was.clone() }
            }
            (_, Outcome::Succeeded) if fresh => Cooldown { until: None, strikes: 0, ..was.clone() },
            _ => was.clone(),
        };
        // The dispatch was closed, and deleted before its worker was freed: a controller that started after that knows nothing
        // of its end. The worker goes for it, so no other task meets the limit on this worker.
        let gone = self.dispatches.get(&named.uid).is_some_and(|d| d.gone.is_some());
        let forgotten = gone && old.metadata.deletion_timestamp.is_some() && is == was;
        let right = forgotten || (is.until == expected.until && is.strikes == expected.strikes);
        self.check(right, "a worker's rest is the one of its attempt", all);
        if is.strikes > was.strikes {
            self.count("strike of a worker");
        }
    }
}
