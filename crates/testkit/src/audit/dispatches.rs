//! Every transition of a Dispatch is a publish, a close, or an end in the queue, with its precondition.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use poolkeeper::api::dispatch::{DispatchPhase, LastResult, Outcome, ReportedOutcome, Retries};
use poolkeeper::api::pool::ContainerPoolSpec;
use poolkeeper::api::{Condition, Dispatch, DispatchStatus};
use poolkeeper::local::Change;

use super::evidence::{GHOST, LEASE_SECONDS};
use super::{Attempt, Audit, Version, is_final, is_open, is_reported, status_of};

/// Why the queue of a pool waits.
const POOL_WAITS: [&str; 14] = [
    "Paused",
    "Refused",
    "StartsFail",
    "HostUnreachable",
    "Starting",
    "StartsWait",
    "Resting",
    "CredentialsRefused",
    "Probing",
    "ServiceOverloaded",
    "Busy",
    "Replacing",
    "WriteRefused",
    "WorkersUnavailable",
];
/// Why the next attempt after a Lost one waits.
const LOST_WAITS: [&str; 2] = ["LostWorkerRemains", "LeaseNotRenewed"];
/// The holder of a Lost attempt is given up after this time.
const GIVE_UP: Duration = Duration::from_secs(600);
const FORCE: &str = "poolkeeper.dev/force-delete";

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

fn span(p: poolkeeper::api::Period) -> SignedDuration {
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

    /// It waits as before, and says why.
    fn waits(&mut self, old: &Dispatch, new: &Dispatch, before: &DispatchStatus, after: &DispatchStatus) {
        let both = || format!("{} {:?} -> {} {:?}", text(old), before.conditions, text(new), after.conditions);
        let mut same = after.clone();
        same.conditions.clone_from(&before.conditions);
        (same.reason, same.message) = (before.reason.clone(), before.message.clone());
        same.waits_until.clone_from(&before.waits_until);
        self.check(same == *before, "a status changes by publish, close, an end, or to say why it waits", both);
        let find = |s: &DispatchStatus, type_: &str| s.conditions.iter().find(|c| c.type_ == type_).cloned();
        let [(lost, missing), (told, waits)] =
            ["Accepted", "Assigned"].map(|type_| (find(before, type_), find(after, type_)));
        let said = if missing != lost && missing.as_ref().is_some_and(|c| !c.is_true()) {
            self.check(waits == told, "one reason is said at a time", both);
            missing
        } else {
            self.count("wait explained");
            self.check(waits != told, "what is said changes with a write", both);
            let pool = |c: &Condition| POOL_WAITS.iter().any(|reason| *reason == c.reason);
            let lost =
                |c: &Condition| before.lost_on().is_some() && LOST_WAITS.iter().any(|reason| *reason == c.reason);
            let known = waits.as_ref().is_some_and(|c| pool(c) || lost(c));
            self.check(known, "a wait has a reason that the pool has", both);
            let waits_since = self.waits_since(new.metadata.uid.as_deref().unwrap_or_default());
            let long = waits_since.is_some_and(|since| since + Duration::from_secs(10) <= self.when(self.rv));
            self.check(long, "a wait is explained once it has lasted", both);
            self.few_explain(new);
            waits
        };
        let Some(said) = said else { return };
        self.check(!said.is_true() && !said.message.is_empty(), "a wait has a reason and a sentence", both);
        let fields = (after.reason.as_ref(), after.message.as_ref());
        self.check(
            fields == (Some(&said.reason), Some(&said.message)),
            "the columns say what the condition says",
            both,
        );
    }

    /// When the dispatch began to wait as it waits now: it was made, or its last attempt was closed.
    fn waits_since(&self, uid: &str) -> Option<Duration> {
        let versions = &self.dispatches.get(uid)?.versions;
        let status = |v: &Version<Dispatch>| status_of(&v.object);
        let ended = |s: &DispatchStatus| s.last_result.as_ref().map(|r| r.attempt);
        let mut since = versions.len().checked_sub(1)?;
        while let Some(earlier) = since.checked_sub(1) {
            let (before, after) = (status(&versions[earlier]), status(&versions[since]));
            // An attempt that never started continues the wait.
            let never_started = after.last_result.as_ref().is_some_and(|r| r.outcome == Outcome::NotStarted);
            if super::is_open(&before) || (ended(&before) != ended(&after) && !never_started) {
                break;
            }
            since = earlier;
        }
        Some(self.when(versions[since].rv))
    }

    /// The first 21 of a queue say why they wait, each once the reason has lasted for 10 s. So one controller writes no more than 21 in a
    /// pool in that time, except for writes that arrive late.
    fn few_explain(&mut self, new: &Dispatch) {
        let (now, writer) = (self.when(self.rv), self.writer(self.rv).to_owned());
        let told = self.explained.entry((writer, new.spec.pool.clone())).or_default();
        told.retain(|at| *at + Duration::from_secs(10) > now);
        told.push(now);
        let n = told.len();
        self.check(n <= 2 * 21, "few say why they wait", || format!("{}: {n} in 10 s", text(new)));
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

    /// A Lease was not renewed for its duration, at some time in the last minutes.
    fn was_silent(&self, lease: &str) -> bool {
        let now = self.when(self.rv);
        let hold = Duration::from_secs(u64::try_from(LEASE_SECONDS).unwrap());
        let beats = self.evidence.records.iter().filter(|r| r.resource.plural == "leases" && r.name == lease);
        let beats: Vec<Duration> =
            beats.map(|r| self.when(r.resource_version)).take_while(|t| *t <= now).chain([now]).collect();
        // The end may have been decided a while ago: a write is late by 40 s at most.
        let recent = Duration::from_secs(120);
        beats.windows(2).any(|pair| pair[1] + recent > now && pair[1].checked_sub(pair[0]).unwrap() >= hold)
    }

    /// The Worker with this uid is gone, and nothing of it runs.
    pub(super) fn is_over(&self, worker: &str) -> bool {
        let gone = self.workers.get(worker).is_some_and(|w| w.gone.is_some());
        gone && !self.bodies.get(worker).is_some_and(|b| b.runs)
    }

    /// When the Lease of a dispatch was renewed since its last attempt was closed.
    pub(super) fn renewed_since_close(&self, uid: &str, lease: &str) -> Option<Duration> {
        let d = self.dispatches.get(uid)?;
        let last = |v: &Version<Dispatch>| Some(v.object.status.as_ref()?.last_result.as_ref()?.attempt);
        let newest = last(d.versions.last()?);
        let closed = d.versions.iter().find(|v| last(v) == newest)?.rv;
        let beats = self.evidence.records.iter().filter(|r| r.resource.plural == "leases" && r.name == lease);
        let versions = beats.map(|r| r.resource_version).filter(|rv| *rv > closed && *rv <= self.rv);
        versions.max().map(|rv| self.when(rv))
    }

    /// The holder of a Lost attempt did not renew its Lease for so long, at the end.
    fn stayed_away(&self, d: &Dispatch, before: &DispatchStatus) -> bool {
        let Some(lease) = &d.spec.lease_name else { return false };
        let closed = before.last_result.as_ref().map(|r| r.attempt);
        let Some(life) = d.metadata.uid.as_ref().and_then(|uid| self.dispatches.get(uid)) else { return false };
        let attempt = |v: &Version<Dispatch>| v.object.status.as_ref()?.last_result.as_ref().map(|r| r.attempt);
        let Some(since) = life.versions.iter().find(|v| attempt(v) == closed).map(|v| self.when(v.rv)) else {
            return false;
        };
        let beats = self.evidence.records.iter().filter(|r| r.resource.plural == "leases" && r.name == *lease);
        let beats = beats.map(|r| self.when(r.resource_version)).take_while(|t| *t <= self.when(self.rv));
        // A renewal counts once a look showed what was before it: so one at about the time of the close may not be seen. And the
        // end may have been decided a while before it was written.
        let since =
            beats.filter(|t| *t + Duration::from_secs(120) < self.when(self.rv)).last().unwrap_or(since).max(since);
        since + GIVE_UP <= self.when(self.rv) + Duration::from_secs(30)
    }

    fn was_forced(&self, worker: &str, pool: &str) -> bool {
        let flag =
            |a: &Option<std::collections::BTreeMap<String, String>>| a.as_ref().and_then(|a| a.get(FORCE)).is_some();
        self.workers.get(worker).is_some_and(|w| w.versions.iter().any(|v| flag(&v.object.metadata.annotations)))
            || self
                .pools
                .values()
                .filter(|p| p.name == pool)
                .any(|p| p.versions.iter().any(|v| flag(&v.object.metadata.annotations)))
    }

    /// The rest is named by the report, or doubles the pool's cooldown up to its bound.
    fn check_rest(&mut self, old: &Dispatch, pool: &ContainerPoolSpec, before: &DispatchStatus, result: &LastResult) {
        let named = old.spec.result.as_ref().and_then(|r| r.retry_after);
        let used_up = result.outcome == Outcome::Succeeded && named.is_some_and(|n| !n.is_zero());
        let limited = result.outcome == Outcome::RateLimited || used_up;
        let tells = match result.outcome {
            Outcome::Unauthorized => true,
            Outcome::Failed | Outcome::Overloaded => before.probe,
            _ => false,
        };
        if tells {
            return self.check_next_probe(old, before, result);
        }
        self.check(limited == result.until.is_some(), "a rest follows a limit and nothing else", || text(old));
        let Some(until) = result.until.as_ref().map(|t| t.0) else { return };
        if used_up {
            self.count("a success is followed by a rest");
        }
        let from: Timestamp = result.closed_at.0.max(before.assigned_at.as_ref().unwrap().0);
        let least = named.map_or_else(|| span(pool.cooldown), span);
        self.check(until >= from + least, "the rest is as long as the server said, or the pool's cooldown", || {
            format!("{}: {from} + {least} > {until}", text(old))
        });
        // What is longer comes from an earlier rest, which no longer is later than any that was stored.
        let most =
            named.map_or_else(|| span(pool.rate_limit.max_cooldown) + span(pool.rate_limit.max_cooldown) / 10, span);
        let older = self.longest_rest();
        let cap = (from + most).max(older.unwrap_or(Timestamp::MIN));
        self.check(until <= cap, "a rest stays within its bound", || format!("{}: {until} > {cap}", text(old)));
    }

    /// The next probe follows after the longest time of the pools that share the credential: from the end of an attempt that was
    /// refused, and from the beginning of a probe that showed nothing.
    fn check_next_probe(&mut self, old: &Dispatch, before: &DispatchStatus, result: &LastResult) {
        let versions = self.pools.values().flat_map(|p| p.versions.iter());
        let periods: BTreeSet<_> = versions.map(|v| v.object.spec.rate_limit.park_probe.get()).collect();
        let assigned = before.assigned_at.as_ref().unwrap().0;
        let refused = result.outcome == Outcome::Unauthorized;
        let from = if refused { result.closed_at.0.max(assigned) } else { assigned };
        let right = result.until.as_ref().is_none_or(|u| {
            let wait = u.0.duration_since(from).unsigned_abs();
            u.0 > from && periods.contains(&wait)
        });
        self.check(right, "the next probe follows after parkProbe", || format!("{}: {:?}", text(old), result.until));
    }

    /// The latest end of any rest stored so far: of workers, of credentials, and as reported with a result from which one of
    /// these is yet to follow.
    fn longest_rest(&self) -> Option<Timestamp> {
        let workers = self.workers.values().flat_map(|w| w.versions.iter());
        let workers = workers.filter_map(|v| Some(v.object.status.as_ref()?.cooldown.as_ref()?.until.as_ref()?.0));
        let pools = self.pools.values().flat_map(|p| p.versions.iter()).filter_map(|v| v.object.status.as_ref());
        let pools = pools.flat_map(|s| s.rate_limits.iter()).filter_map(|r| Some(r.until.as_ref()?.0));
        let told = self.dispatches.values().flat_map(|d| d.versions.iter()).filter_map(|v| v.object.status.as_ref());
        let told = told.filter_map(|s| Some(s.last_result.as_ref()?.until.as_ref()?.0));
        workers.chain(pools).chain(told).max()
    }

    fn check_phase(&mut self, old: &Dispatch, before: &DispatchStatus, after: &DispatchStatus, outcome: Outcome) {
        let used = before.retries.unwrap_or_default();
        let spec = old.spec.retry;
        let left = |limit: i32, used: i32| limit < 0 || used < limit;
        let (may, then) = match outcome {
            Outcome::RateLimited | Outcome::Unauthorized => {
                (left(spec.rate_limited, used.rate_limited), Retries { rate_limited: used.rate_limited + 1, ..used })
            }
            Outcome::WorkerLost => {
                (left(spec.worker_lost, used.worker_lost), Retries { worker_lost: used.worker_lost + 1, ..used })
            }
            Outcome::Lost => (left(spec.lost, used.lost), Retries { lost: used.lost + 1, ..used }),
            Outcome::Overloaded => {
                (left(spec.overloaded, used.overloaded), Retries { overloaded: used.overloaded + 1, ..used })
            }
            Outcome::Failed => (left(spec.failed, used.failed), Retries { failed: used.failed + 1, ..used }),
            _ => (false, used),
        };
        let end = match outcome {
            Outcome::Succeeded => DispatchPhase::Succeeded,
            Outcome::Cancelled => DispatchPhase::Cancelled,
            _ if old.spec.cancel => DispatchPhase::Cancelled,
            _ => DispatchPhase::Failed,
        };
        let again = after.phase == DispatchPhase::Pending && after.retries == Some(then);
        self.check_not_before(old, after, outcome, then);
        let over = after.phase == end && after.retries.unwrap_or_default() == used;
        let right = match (may && !old.spec.cancel, outcome) {
            // No dispatch loses a retry for finding out whether a credential is still refused.
            (_, Outcome::Unauthorized) if before.probe && !old.spec.cancel => {
                self.count("probe refused");
                after.phase == DispatchPhase::Pending && after.retries.unwrap_or_default() == used
            }
            // Only on another credential, which the store alone does not show.
            (true, Outcome::Unauthorized) => again || over,
            (true, _) => again,
            (false, _) => over,
        };
        self.check(right, "the phase follows from outcome and retries", || {
            format!("{}: {outcome} gives {:?} with {:?}", text(old), after.phase, after.retries)
        });
        if is_final(after.phase) {
            self.count(&format!("phase: {:?}", after.phase));
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
