//! Credentials that were refused: what parks and unparks one, and which attempt probes it on which worker.

use std::time::Duration;

use jiff::Timestamp;
use poolkeeper::api::Worker;
use poolkeeper::api::dispatch::{LastResult, Outcome};
use poolkeeper::api::pool::{Credential, CredentialRest};
use poolkeeper::api::worker::DispatchRef;

use super::choices::MARGIN;
use super::{Attempt, Audit};

/// An attempt that probes a credential.
#[derive(Clone, Debug)]
pub struct Probe {
    pub key: String,
    pub assigned_at: Timestamp,
    /// The controller that reserved its worker.
    writer: String,
    dispatch: String,
    attempt: i32,
}

impl Audit<'_> {
    /// The identity of a worker's credential, as its pool names it.
    pub(super) fn credential_of(&self, worker: &Worker) -> Option<String> {
        let spec = &self.pool_named(&worker.spec.pool)?.last().spec;
        let credential = spec.credentials.iter().find(|c| Some(&c.name) == worker.spec.credential.as_ref());
        credential.map(Credential::identity)
    }

    /// Closed attempts on a credential.
    fn closed_on<'b>(&'b self, key: &'b str) -> impl Iterator<Item = (&'b Attempt, &'b LastResult, Timestamp)> {
        let attempts = self.attempts.values().flat_map(|a| a.values());
        attempts.filter_map(move |a| {
            let (result, assigned) = (a.result.as_ref()?, a.assigned_at.as_ref()?.0);
            let on = self.workers.get(&a.worker)?.last();
            (self.credential_of(on).as_deref() == Some(key)).then_some((a, result, assigned))
        })
    }

    /// Every stored version of the entries of a credential so far.
    pub(super) fn entries<'b>(&'b self, key: &'b str) -> impl Iterator<Item = &'b CredentialRest> {
        let versions = self.pools.values().flat_map(|p| p.versions.iter());
        let rests = versions.filter_map(|v| v.object.status.as_ref()).flat_map(|s| s.rate_limits.iter());
        rests.filter(move |r| r.key == key)
    }

    /// A credential is parked by an attempt that met the refusal and began after what was known, and let in by one that began for
    /// its probe or later.
    pub(super) fn check_parking(&mut self, pool: &str, was: &CredentialRest, is: &CredentialRest) {
        let all = || format!("{pool}: {was:?} -> {is:?}");
        if was.parked && !is.parked {
            // A pool that does not probe stores no time, and profits from the probes of others.
            let since = was.until.as_ref().or(was.stale_before.as_ref()).map(|t| t.0);
            let let_in = self.closed_on(&is.key).any(|(_, r, assigned)| {
                matches!(r.outcome, Outcome::Succeeded | Outcome::RateLimited) && since.is_some_and(|u| assigned >= u)
            });
            self.check(let_in, "a refused credential rests until a probe succeeds or it is cleared", all);
            self.check(is.stale_before >= was.until, "workers from before a probe are replaced", all);
            self.count("credential let in by a probe");
        }
        if is.parked && (!was.parked || is.stale_before != was.stale_before) {
            let met = self.closed_on(&is.key).any(|(_, r, assigned)| {
                r.outcome == Outcome::Unauthorized
                    && is.stale_before.as_ref() >= Some(&r.closed_at)
                    && is.until >= r.until
                    && was.until.as_ref().is_none_or(|u| assigned >= u.0)
            });
            self.check(met, "a credential is parked by an attempt that began after its until", all);
            self.count(if was.parked { "credential refused again" } else { "credential refused" });
        }
        self.check(is.stale_before >= was.stale_before, "staleBefore never moves earlier", all);
    }

    /// A refusal is stored before the worker is freed, unless the attempt began before what is known of the credential.
    pub(super) fn check_refusal_is_stored(&mut self, old: &Worker, named: &DispatchRef, result: &LastResult) {
        let Some(key) = self.credential_of(old).filter(|_| result.outcome == Outcome::Unauthorized) else { return };
        let own = self.pool_named(&old.spec.pool).is_some_and(|p| p.gone.is_none());
        let began = self.attempts.get(&named.uid).and_then(|a| a.get(&named.attempt)?.assigned_at.clone());
        let forgotten = old.metadata.deletion_timestamp.is_some()
            && self.dispatches.get(&named.uid).is_some_and(|d| d.gone.is_some());
        let shown = self.entries(&key).any(|r| {
            let refused = r.parked && r.stale_before.as_ref() >= Some(&result.closed_at);
            refused || r.until > began || r.cleared_at > began || r.stale_before > began
        });
        self.check(shown || forgotten || !own, "a refusal is stored before its worker is freed", || {
            format!("{key}: {named:?} {result:?}")
        });
    }

    /// A probe is assigned at or after the time that a pool stores.
    pub(super) fn check_probe(&mut self, worker: &Worker, named: &DispatchRef) {
        if !named.probe {
            return;
        }
        let Some(key) = self.credential_of(worker) else { return };
        let due = self.entries(&key).any(|r| r.parked && r.until.as_ref().is_some_and(|u| *u <= named.assigned_at));
        self.check(due, "a probe is assigned when its time has come", || format!("{key}: {named:?}"));
        self.count("probe");
        let writer = self.writer(self.rv).to_owned();
        let (assigned_at, dispatch, attempt) = (named.assigned_at.0, named.uid.clone(), named.attempt);
        self.probes.push(Probe { key, assigned_at, writer, dispatch, attempt });
    }

    /// What is known of a credential for [`MARGIN`], and did not change meanwhile: `None` if it did. The longest over its pools.
    fn steady_rest(&self, key: &str, at: Duration) -> Option<CredentialRest> {
        let mut all = CredentialRest { key: key.to_owned(), ..CredentialRest::default() };
        for pool in self.pools.values().filter(|p| p.gone.is_none_or(|rv| self.when(rv) > at)) {
            let entry = |k: Option<usize>| {
                let status = pool.versions.get(k?)?.object.status.as_ref()?;
                status.rate_limits.iter().find(|r| r.key == key).cloned()
            };
            let version = |at: Duration| pool.versions.partition_point(|v| self.when(v.rv) <= at).checked_sub(1);
            let now = entry(version(at));
            if at.checked_sub(MARGIN).and_then(|t| entry(version(t))) != now || entry(version(at + MARGIN)) != now {
                return None;
            }
            let Some(r) = now else { continue };
            all.parked |= r.parked;
            all.until = all.until.max(r.until);
            all.stale_before = all.stale_before.max(r.stale_before);
        }
        Some(all)
    }

    /// Why a worker with a refused or changed credential should not have been chosen, while nothing was wrong.
    pub(super) fn wrong_by_parking(
        &self,
        worker: &Worker,
        named: &DispatchRef,
        at: Duration,
    ) -> Option<(&'static str, String)> {
        let key = self.credential_of(worker)?;
        let rest = self.steady_rest(&key, at)?;
        let text = |what: &str| format!("{named:?} on {:?}: {rest:?}{what}", worker.metadata.name);
        let made = worker.metadata.creation_timestamp.as_ref().map(|t| t.0);
        let until = rest.until.as_ref().map(|t| t.0);
        let stale = stale_since(&rest);
        if made <= stale && stale.is_some() {
            return Some(("a worker from before its credential was refused takes no work", text("")));
        }
        if rest.parked != named.probe {
            return Some(("a parked credential gets no attempt but the probe", text("")));
        }
        let until = until.filter(|_| rest.parked)?;
        if named.assigned_at.0 < until {
            return Some(("a probe is assigned when its time has come", text("")));
        }
        // Those that ran were seen to run, and a probe of which this controller knows counts however it ended.
        let by = self.reserver_of(named);
        let pools = || self.pools.values().filter(|p| p.gone.is_none()).map(|p| &p.last().spec);
        let naming = || pools().filter(|s| s.credentials.iter().any(|c| c.identity() == key));
        let period = naming().map(|s| s.rate_limit.park_probe.get()).filter(|p| !p.is_zero()).max()?;
        let probe_after = naming().map(|s| s.rate_limit.probe_after.get()).min()?;
        let earlier = self.probes.iter().filter(|p| p.key == key && p.assigned_at >= until);
        let earlier = earlier.filter(|p| (&*p.dispatch, p.attempt) != (&*named.uid, named.attempt));
        let passed = |p: &Probe| named.assigned_at.0.duration_since(p.assigned_at).unsigned_abs();
        // One of two that were chosen in one round is not open yet.
        let (ended, open): (Vec<&Probe>, Vec<&Probe>) = earlier
            .filter(|p| p.assigned_at <= named.assigned_at.0 && by.as_ref() == Some(&p.writer))
            .partition(|p| self.was_open(&p.dispatch, p.attempt, at) == Some(false));
        // As after a rest, one that runs for long enough lets others follow.
        if open.iter().any(|p| passed(p) >= probe_after) {
            return None;
        }
        let too_early = open.first().or_else(|| ended.iter().find(|p| passed(p) < period));
        too_early.map(|p| ("one attempt at a time probes a credential", text(&format!(", after {p:?}"))))
    }

    /// True unless a worker surely has the value of its credential that is in use: it takes no work.
    pub(super) fn may_be_stale(&self, worker: &Worker, at: Duration) -> bool {
        let Some(key) = self.credential_of(worker) else { return false };
        let Some(rest) = self.steady_rest(&key, at) else { return true };
        let made = worker.metadata.creation_timestamp.as_ref().map(|t| t.0);
        made <= stale_since(&rest) && stale_since(&rest).is_some()
    }

    fn reserver_of(&self, named: &DispatchRef) -> Option<String> {
        let same = |p: &&Probe| p.dispatch == named.uid && p.attempt == named.attempt;
        self.probes.iter().find(same).map(|p| p.writer.clone())
    }

    /// Whether an attempt was open at a moment. `None`: it changed around it, or never began.
    fn was_open(&self, dispatch: &str, attempt: i32, at: Duration) -> Option<bool> {
        let life = self.dispatches.get(dispatch)?;
        let is_open = |v: &super::Version<poolkeeper::api::Dispatch>| {
            v.object.status.as_ref().is_some_and(|s| s.attempt == attempt && super::is_open(s))
        };
        let version = |at: Duration| life.versions.iter().rev().find(|v| self.when(v.rv) <= at);
        let (before, after) = (at.checked_sub(MARGIN).and_then(version)?, version(at + MARGIN)?);
        let began = before.object.status.as_ref().is_some_and(|s| s.attempt >= attempt);
        (began && is_open(before) == is_open(after)).then(|| is_open(before))
    }
}

/// Workers that were created until then may have an old value of a credential.
fn stale_since(rest: &CredentialRest) -> Option<Timestamp> {
    let until = rest.until.as_ref().filter(|_| rest.parked).map(|t| t.0);
    rest.stale_before.as_ref().map(|t| t.0).max(until)
}
