//! A Dispatch: what lets it wait, and what ends its open attempt.

use super::commit::{closed, finish, say};
use super::lost::instance_of;
use super::outcome::{End, attempt_deadline, queue_deadline};
use crate::api::dispatch::{DispatchPhase, DispatchStatus, Outcome, ReportedOutcome, WorkerRef};
use crate::api::pool::{DispatchPolicy, Scope};
use crate::api::vocabulary::{DispatchAccepted, DispatchFinished};
use crate::api::worker::Cooldown;
use crate::api::{Condition, Dispatch, Period, Time, names};
use crate::core::agenda::Wake;
use crate::core::object::dispatch_status;
use crate::core::rests::{self};
use crate::core::state::workers::WorkerEntry;
use crate::core::{Core, Now, Object, ObjectKey, Subject, Verb};

impl Core {
    /// Decides about a dispatch: nothing if it is finished, else whether its attempt ends, or what it waits for.
    pub(in crate::core) fn decide_dispatch(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(d) = self.dispatches.get(key).map(|e| e.obj().clone()) else { return };
        let status = dispatch_status(&d);
        if status.phase.is_final() {
            self.unqueue(key);
            return;
        }
        if status.is_open() {
            self.decide_open(key, &d, status, now, wake);
        } else {
            self.decide_waiting(key, &d, status, now, wake);
        }
    }

    fn policy_of(&self, key: &ObjectKey) -> DispatchPolicy {
        let pool = self.dispatches.get(key).map(|e| e.pool().clone());
        pool.and_then(|p| self.pool_obj(&p)).map(|p| p.spec.dispatch.clone()).unwrap_or_default()
    }

    fn decide_open(&mut self, key: &ObjectKey, d: &Dispatch, status: &DispatchStatus, now: Now, wake: &mut Wake) {
        let Some(worker) = status.worker.clone() else { return };
        let reported = d.spec.result.as_ref().filter(|r| r.attempt == status.attempt).cloned();
        let end = if let Some(r) = reported {
            // A death that the runtime confirmed says more than that the holder does not know.
            let death = (r.outcome == ReportedOutcome::Lost).then(|| self.death_of(key, &worker)).flatten();
            let named = r.retry_after.filter(|period| !period.is_zero());
            let rests = match r.outcome {
                ReportedOutcome::RateLimited => true,
                // It used up what the service allows: a rest, and no strike.
                ReportedOutcome::Succeeded => named.is_some(),
                _ => false,
            };
            let outcome = Outcome::from(r.outcome);
            let until = if rests {
                Some(self.rest_after(key, d, r.retry_after, now))
            } else {
                self.next_probe_after(key, status, outcome, now)
            };
            let retry_after = r.retry_after.filter(|_| r.outcome == ReportedOutcome::Overloaded);
            Some(death.unwrap_or(End { outcome, message: r.message, until, retry_after }))
        } else {
            self.unreported_end(key, d, status, &worker, now, wake)
        };
        let Some(end) = end else { return };
        let other = self.has_other_credential(key, &worker.name);
        self.close(key, closed(d, end, other, now), now);
    }

    /// The end of an attempt whose instance the runtime confirmed dead.
    fn death_of(&self, key: &ObjectKey, worker: &WorkerRef) -> Option<End> {
        let seen = self.workers.get(&key.sibling(worker.name.clone())).filter(|e| e.obj().uid_str() == worker.uid);
        if let Some(e) = seen {
            let w = e.obj();
            return self.instances.is_dead(w).then(|| End::of(Outcome::WorkerLost, self.describe_end(w)));
        }
        let is_dead = match self.instances.get(&instance_of(key, worker)) {
            Some(e) => e.view.is_dead(),
            None => {
                let gone = self.dispatches.get(key).is_some_and(|e| e.is_worker_gone(&worker.uid));
                gone && self.instances.all_listed()
            }
        };
        is_dead.then(|| End::of(Outcome::WorkerLost, "its Worker is gone"))
    }

    /// Why an open attempt ends without a report, if it does.
    fn unreported_end(
        &mut self,
        key: &ObjectKey,
        d: &Dispatch,
        status: &DispatchStatus,
        worker: &WorkerRef,
        now: Now,
        wake: &mut Wake,
    ) -> Option<End> {
        if d.spec.cancel {
            return Some(End::of(Outcome::Cancelled, "spec.cancel was set"));
        }
        let worker_key = key.sibling(worker.name.clone());
        let seen = self.workers.get(&worker_key).filter(|e| e.obj().uid_str() == worker.uid).map(|e| e.obj().clone());
        if let Some(w) = &seen {
            let pool_forced = self
                .pool_obj(&key.sibling(w.spec.pool.clone()))
                .is_some_and(|p| p.is_deleting() && p.is_flagged(names::FORCE_DELETE));
            if w.is_flagged(names::FORCE_DELETE) || pool_forced {
                return Some(End::of(Outcome::Forced, format!("annotation {} is set", names::FORCE_DELETE)));
            }
        } else if !self.dispatches.get(key).is_some_and(|e| e.is_worker_gone(&worker.uid)) {
            self.write(Subject::Dispatch(key.clone()), Verb::GetWorker(worker_key));
            return None;
        } else if self.instances.get(&instance_of(key, worker)).is_some_and(|e| !e.view.is_dead()) {
            // A person removed its finalizer, and so declared that it is gone for good.
            return Some(End::of(Outcome::Forced, "its Worker was removed by hand"));
        }
        if let Some(death) = self.death_of(key, worker) {
            return Some(death);
        }
        if let Some(deadline) = attempt_deadline(d, &self.policy_of(key)) {
            if now.wall >= deadline {
                return Some(End::of(Outcome::TimedOut, "the attempt's time ran out"));
            }
            wake.at(deadline);
        }
        if let Some(lease) = &d.spec.lease_name {
            let _ = status;
            if self.leases.ran_out(&key.sibling(lease.clone())) {
                // A dispatch gets the word that older controllers and clients do not know only if it asks for attempts after Lost.
                let outcome = if d.spec.retry.lost == 0 { Outcome::HolderLost } else { Outcome::Lost };
                return Some(End::of(outcome, format!("Lease {lease} was not renewed")));
            }
        }
        None
    }

    /// When the rest ends that follows from the end of the open attempt.
    fn rest_after(&mut self, key: &ObjectKey, d: &Dispatch, retry_after: Option<Period>, now: Now) -> Time {
        let status = d.status.clone().unwrap_or_default();
        let worker = status.worker.as_ref().map(|w| key.sibling(w.name.clone()));
        let pool = key.sibling(d.spec.pool.clone());
        let spec = self.pool_obj(&pool).map(|p| p.spec.clone()).unwrap_or_default();
        let w = worker.as_ref().and_then(|k| self.workers.get(k)).map(|e| e.obj().clone());
        let identity = w.as_deref().and_then(|w| self.identity_of(w).ok().flatten());
        let old = match (spec.rate_limit.scope, identity) {
            (Scope::Credential, Some(id)) => {
                let rest = self.credential_rest(&key.namespace, &id);
                Cooldown { until: rest.until, strikes: rest.strikes, ..Cooldown::default() }
            }
            _ => w.and_then(|w| w.status.clone()?.cooldown).unwrap_or_default(),
        };
        let assigned_at = status.assigned_at.map_or(now.wall, |t| t.0);
        let seed = format!("{}/{}", d.uid_str(), status.attempt);
        let until = old.until.map(|t| t.0);
        let end = rests::deadline(&spec, old.strikes, until, assigned_at, retry_after, &seed, now);
        if until != Some(end) {
            self.rest_ends.begin(end, crate::core::time::between(now.wall.max(assigned_at), end), now);
        }
        Time::from(end)
    }

    fn has_other_credential(&self, key: &ObjectKey, worker: &str) -> bool {
        let Some(e) = self.workers.get(&key.sibling(worker)) else { return false };
        let own = self.identity_of(e.obj());
        self.pool_obj(e.pool()).is_some_and(|p| match own {
            Ok(own) => p.spec.credentials.iter().any(|c| own.as_ref().is_some_and(|own| c.identity() != *own)),
            // The pool no longer has the credential that was used.
            Err(()) => !p.spec.credentials.is_empty(),
        })
    }

    fn decide_waiting(&mut self, key: &ObjectKey, d: &Dispatch, status: &DispatchStatus, now: Now, wake: &mut Wake) {
        let pool_key = self.dispatches[key].pool().clone();
        let pool = self.pool_obj(&pool_key);
        if d.spec.cancel || pool.as_ref().is_some_and(|p| p.is_deleting()) {
            let (reason, text) = if d.spec.cancel {
                (
                    DispatchFinished::Ended(Outcome::Cancelled),
                    "spec.cancel was set while the dispatch waited".to_owned(),
                )
            } else {
                let text = format!("ContainerPool {:?} was deleted while the dispatch waited", pool_key.name);
                (DispatchFinished::PoolDeleted, text)
            };
            let mut next = status.clone();
            finish(&mut next, DispatchPhase::Cancelled, reason, &text, now);
            self.unqueue(key);
            self.close(key, next, now);
            return;
        }
        // A reservation that is not published yet is rolled forward before anything else.
        let is_next = |w: &&ObjectKey| {
            let named = self.workers.get(w).and_then(WorkerEntry::named);
            named.is_some_and(|n| n.attempt == status.attempt + 1)
        };
        let reserved = self.claims.namers(d.uid_str()).find(is_next).cloned();
        if let Some(worker) = reserved {
            self.unqueue(key);
            self.roll_forward(key, d, &worker, now);
            return;
        }
        let policy = self.policy_of(key);
        if let Some(deadline) = queue_deadline(d, &policy) {
            if now.wall >= deadline && !self.is_claimed(d) {
                let mut next = status.clone();
                let text = expired(d, status, &policy);
                finish(&mut next, DispatchPhase::Expired, DispatchFinished::Expired, &text, now);
                self.unqueue(key);
                self.close(key, next, now);
                return;
            }
            // After the deadline a reservation is being written. The end of that write marks this dispatch again.
            if now.wall < deadline {
                wake.at(deadline);
            }
        }
        let Some(pool) = pool else {
            self.unqueue(key);
            let accepted = Condition::find::<DispatchAccepted>(&status.conditions).map(Condition::is_true);
            if accepted != Some(false) {
                let mut next = status.clone();
                let text = format!(
                    "there is no ContainerPool {:?} in namespace {:?}; waiting for it",
                    pool_key.name, key.namespace
                );
                say(&mut next, DispatchAccepted::PoolNotFound, &text, now);
                self.close(key, next, now);
            }
            return;
        };
        if status.attempt == 0 && !self.accept(key, pool.spec.dispatch.queue_limit) {
            let mut next = status.clone();
            let text = format!("{} dispatches wait already (spec.dispatch.queueLimit)", pool.spec.dispatch.queue_limit);
            finish(&mut next, DispatchPhase::Failed, DispatchFinished::QueueFull, &text, now);
            self.close(key, next, now);
            return;
        }
        if self.waits_for_time(key, status, now, wake) {
            return;
        }
        if self.is_claimed(d) || self.waits_after_lost(key, d, status, now, wake) {
            return;
        }
        if !self.dispatches[key].is_released(status.attempt) {
            // Only a live GET shows that the worker of the last attempt no longer names it.
            if let Some(w) = &status.worker {
                let worker = key.sibling(w.name.clone());
                if !self.claims.namers(d.uid_str()).any(|namer| *namer == worker) {
                    self.write(Subject::Dispatch(key.clone()), Verb::GetWorker(worker));
                }
            }
            return;
        }
        self.enqueue(key);
    }

    /// True while a reservation for it is being written.
    fn is_claimed(&self, d: &Dispatch) -> bool {
        let status = d.status.as_ref();
        let next = status.map_or(0, |s| s.attempt) + 1;
        self.claims.is_reserving(d.uid_str(), next)
    }
}

/// Why a waiting dispatch expires, with the reason for its wait if that was found out.
fn expired(d: &Dispatch, status: &DispatchStatus, policy: &DispatchPolicy) -> String {
    let limit = d.spec.queue_timeout.unwrap_or(policy.queue_timeout);
    let text = format!("no worker took the dispatch within {limit} (queueTimeout)");
    match &status.message {
        Some(why) => format!("{text}: {why}"),
        None => text,
    }
}
