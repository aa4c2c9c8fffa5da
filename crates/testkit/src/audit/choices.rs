//! Which worker and dispatch were chosen, judged while one healthy controller was active and nothing was wrong. State that
//! was about to change, or had just changed, is left out, so nothing in flight is judged.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::worker::{DispatchRef, WorkerPhase};
use poolkeeper::api::{Dispatch, Worker};

use super::{Audit, Life, is_final, is_open, state_of, status_of};
use crate::fake::What;

/// Changes older than this were seen by every controller, and changes that far ahead were not yet under way.
pub const MARGIN: Duration = Duration::from_secs(3);

impl Audit<'_> {
    pub(super) fn is_calm(&self, at: Duration) -> bool {
        self.evidence.calm.iter().any(|(from, to)| *from <= at && at < *to)
    }

    /// The host was cut off, for long enough that the controller knows, and nothing else was wrong.
    pub(super) fn is_known_to_be_cut_off(&self, host: &str, at: Duration) -> bool {
        let calm = self.evidence.calm_but_for_hosts.iter().any(|(from, to)| *from <= at && at < *to);
        calm && self.evidence.unreachable.iter().any(|(h, from, to)| h == host && *from + MARGIN <= at && at < *to)
    }

    /// The version of an object that held from `MARGIN` before a moment until `MARGIN` after it.
    fn steady<'b, K>(&self, life: &'b Life<K>, at: Duration) -> Option<&'b K> {
        let k = life.versions.partition_point(|v| self.when(v.rv) + MARGIN <= at).checked_sub(1)?;
        let next = life.versions.get(k + 1).map(|v| v.rv).into_iter().chain(life.gone).min();
        let stays = next.is_none_or(|rv| self.when(rv) >= at + MARGIN);
        stays.then(|| &*life.versions[k].object)
    }

    pub(super) fn choices(&mut self) {
        let index = Index::new(self);
        let mut found = Vec::new();
        let mut judged = 0;
        for (uid, life) in &self.workers {
            for pair in life.versions.windows(2) {
                let (before, after) = (&*pair[0].object, &*pair[1].object);
                let (rv, at) = (pair[1].rv, self.when(pair[1].rv));
                let named = state_of(after).dispatch.filter(|n| state_of(before).dispatch.as_ref() != Some(n));
                let Some(named) = named.filter(|_| self.is_calm(at)) else { continue };
                judged += 1;
                let chained = state_of(before).dispatch.is_some();
                if let Some(better) = self.better_worker(&index, uid, before, named.assigned_at.0, at, chained) {
                    found.push((
                        rv,
                        "the worker that rested longest is chosen",
                        format!("{} for {}, not {better}", life.name, named.name),
                    ));
                }
                if let Some(why) = self.credential_rested(before, named.assigned_at.0, at) {
                    found.push((
                        rv,
                        "no assignment to a credential that rests",
                        format!("{} for {}: {why}", life.name, named.name),
                    ));
                }
                if let Some((rule, why)) = self.wrong_by_parking(before, &named, at) {
                    found.push((rv, rule, why));
                }
                if let Some(why) = self.has_old_value(before, life, at) {
                    found.push((rv, "a worker with an old value of its credential takes no work", why));
                }
                if let Some(better) = self.better_dispatch(&index, &named, before, at) {
                    found.push((
                        rv,
                        "priority, then creation decides",
                        format!("{} got {} at {:.3}, not {better}", life.name, named.name, at.as_secs_f64()),
                    ));
                }
            }
        }
        *self.tally.entry("choice judged".to_owned()).or_default() += judged;
        for (rv, rule, text) in found {
            self.rv = rv;
            self.complain(rule, text);
        }
    }

    /// The reason why a worker's credential should have prevented work: a rest known for `MARGIN`, or as many attempts as
    /// allowed.
    fn credential_rested(&self, worker: &Worker, assigned: Timestamp, at: Duration) -> Option<String> {
        let own = self.pool_named(&worker.spec.pool)?.last().spec.credentials.clone();
        let credential = own.iter().find(|c| Some(&c.name) == worker.spec.credential.as_ref())?;
        let key = credential.identity();
        for pool in self.pools.values() {
            let seen = pool.versions.partition_point(|v| self.when(v.rv) + MARGIN <= at);
            let now = pool.versions.partition_point(|v| self.when(v.rv) <= at);
            let entry = |k: usize| {
                let status = pool.versions.get(k)?.object.status.as_ref()?;
                status.rate_limits.iter().find(|r| r.key == key).cloned()
            };
            let there = pool.gone.is_none_or(|rv| self.when(rv) > at);
            if let Some(rest) = seen
                .checked_sub(1)
                .and_then(entry)
                .filter(|r| there && now.checked_sub(1).and_then(entry).as_ref() == Some(r))
                && rest.until.as_ref().is_some_and(|u| u.0 > assigned)
            {
                return Some(format!("{} says {rest:?}", pool.name));
            }
        }
        let max = usize::try_from(credential.max_concurrent?).unwrap();
        let busy = self.workers.values().filter(|life| {
            let Some(w) = self.steady(life, at) else { return false };
            let pool = self.pool_named(&w.spec.pool).map(|p| p.last().spec.clone()).unwrap_or_default();
            let same =
                pool.credentials.iter().any(|c| Some(&c.name) == w.spec.credential.as_ref() && c.identity() == key);
            same && state_of(w).dispatch.is_some()
        });
        let busy = busy.count();
        (busy >= max).then(|| format!("{busy} attempts are open, {max} may be"))
    }

    /// A worker that should have been chosen instead.
    fn better_worker(
        &self,
        index: &Index,
        uid: &str,
        chosen: &Worker,
        now: Timestamp,
        at: Duration,
        chained: bool,
    ) -> Option<String> {
        let rank = |w: &Worker, life: &Life<Worker>| {
            let ordinal: i32 = life.name.rsplit_once('-').and_then(|(_, n)| n.parse().ok()).unwrap_or(i32::MAX);
            (state_of(w).last_dispatch_time.map(|t| t.0), ordinal)
        };
        let own = rank(chosen, &self.workers[uid]);
        let mut others = self.workers.iter().filter(|(k, _)| *k != uid);
        let better = others.find(|(k, life)| {
            let Some(w) = self.steady(life, at) else { return false };
            let s = state_of(w);
            let rested = s.cooldown.as_ref().and_then(|c| c.until.as_ref()).is_none_or(|u| u.0 <= now);
            w.spec.pool == chosen.spec.pool
                && w.spec.credential == chosen.spec.credential
                && !w.spec.cordoned
                && w.metadata.deletion_timestamp.is_none()
                && s.phase == WorkerPhase::Ready
                && s.dispatch.is_none()
                && rested
                && index.lives_at(k, at)
                // A worker that is being freed takes the next only if no idle one can.
                && (chained || rank(w, life) < own)
                && !self.may_be_stale(w, at)
        });
        better.map(|(_, life)| life.name.clone())
    }

    /// A dispatch that should have been served instead.
    fn better_dispatch(&self, index: &Index, named: &DispatchRef, worker: &Worker, at: Duration) -> Option<String> {
        let pool = &*worker.spec.pool;
        // Then the clock of the controller is set back, and the time of the assignment is not what that clock said.
        let is_stored_end = self.is_stored_end(worker, named);
        let uid = &*named.uid;
        let rank = |d: &Dispatch| {
            let created = d.metadata.creation_timestamp.as_ref().map(|t| t.0);
            (Reverse(d.spec.priority), created, d.metadata.name.clone())
        };
        let chosen = self.dispatches.get(uid)?;
        let own = rank(chosen.last());
        let seen = chosen.versions.partition_point(|v| self.when(v.rv) <= at).checked_sub(1);
        let returns = |d: &Dispatch| status_of(d).follows_overloaded();
        let returned = seen.is_some_and(|k| returns(&chosen.versions[k].object));
        let waited = index.waited.get(pool).into_iter().flatten().filter(|(_, end)| *end > at);
        let mut others = waited.filter(|(k, _)| k != uid).map(|(k, _)| (k, &self.dispatches[k]));
        let better = others.find(|(k, life)| {
            let Some(d) = self.steady(life, at) else { return false };
            let s = status_of(d);
            !d.spec.cancel
                && s.phase == DispatchPhase::Pending
                && !is_open(&s)
                && s.worker.as_ref().is_none_or(|w| self.released_before(&w.uid, life, s.attempt, at))
                && self.may_follow_before(d, at)
                && s.waits_before().is_none_or(|t| !is_stored_end && t + MARGIN <= named.assigned_at.0)
                // One that comes back after Overloaded passes those for which no worker is left meanwhile.
                && (!returned || returns(d))
                && !index.is_named_around(k, at)
                && rank(d) < own
        });
        better.map(|(_, life)| life.name.clone())
    }

    /// An attempt was assigned at the stored end of a rest.
    fn is_stored_end(&self, worker: &Worker, named: &DispatchRef) -> bool {
        let own = state_of(worker).cooldown.and_then(|c| c.until);
        let shared = self.credential_of(worker);
        let mut ends = shared.iter().flat_map(|key| self.entries(key)).filter_map(|rest| rest.until.as_ref());
        own.as_ref() == Some(&named.assigned_at) || ends.any(|end| *end == named.assigned_at)
    }

    /// If its last attempt was Lost: nothing had held the next one back for some time. With a Lease, when the controller learnt
    /// that its holder is there is not known.
    fn may_follow_before(&self, d: &Dispatch, at: Duration) -> bool {
        let status = status_of(d);
        let Some(lost) = status.lost_on() else { return true };
        let gone = self.workers.get(&lost.uid).and_then(|w| w.gone);
        d.spec.lease_name.is_none() && gone.is_some_and(|rv| self.when(rv) + MARGIN <= at)
    }

    /// The worker of its last attempt had released it for some time.
    fn released_before(&self, worker: &str, dispatch: &Life<Dispatch>, attempt: i32, at: Duration) -> bool {
        let uid = dispatch.last().metadata.uid.clone().unwrap_or_default();
        let Some(w) = self.workers.get(worker) else { return false };
        let last = w.versions.iter().rposition(|v| {
            v.object
                .status
                .as_ref()
                .and_then(|s| s.dispatch.as_ref())
                .is_some_and(|n| n.uid == uid && n.attempt == attempt)
        });
        let freed = last.and_then(|k| w.versions.get(k + 1)).map(|v| v.rv).or(w.gone);
        freed.is_some_and(|rv| self.when(rv) + MARGIN <= at)
    }
}

/// What each choice needs from the whole history, by dispatch and by worker.
struct Index {
    /// Of a dispatch: from when until when some worker named it.
    named: BTreeMap<String, Vec<(Duration, Duration)>>,
    /// Of an instance: when it started (true) or ended.
    bodies: BTreeMap<String, Vec<(Duration, bool)>>,
    /// Of a pool: its dispatches, and until when each could wait.
    waited: BTreeMap<String, Vec<(String, Duration)>>,
}

impl Index {
    fn new(audit: &Audit<'_>) -> Self {
        let mut this = Self { named: BTreeMap::new(), bodies: BTreeMap::new(), waited: BTreeMap::new() };
        for w in audit.workers.values() {
            for (k, v) in w.versions.iter().enumerate() {
                let Some(named) = v.object.status.as_ref().and_then(|s| s.dispatch.as_ref()) else { continue };
                let next = w.versions.get(k + 1).map(|n| n.rv).or(w.gone);
                let until = next.map_or(Duration::MAX, |rv| audit.when(rv));
                this.named.entry(named.uid.clone()).or_default().push((audit.when(v.rv), until));
            }
        }
        for e in &audit.evidence.events {
            if let What::Started { key, .. } | What::Ended { key, .. } | What::Stopped { key, .. } = &e.what {
                let starts = matches!(e.what, What::Started { .. });
                this.bodies.entry(key.uid.clone()).or_default().push((e.mono, starts));
            }
        }
        for (uid, life) in &audit.dispatches {
            let end = life.versions.iter().find(|v| is_final(status_of(&v.object).phase)).map(|v| v.rv).or(life.gone);
            let end = end.map_or(Duration::MAX, |rv| audit.when(rv));
            this.waited.entry(life.last().spec.pool.clone()).or_default().push((uid.clone(), end));
        }
        this
    }

    /// Some worker names it at about this moment.
    fn is_named_around(&self, dispatch: &str, at: Duration) -> bool {
        let named = self.named.get(dispatch).into_iter().flatten();
        named.into_iter().any(|(from, until)| *from < at + MARGIN && until.saturating_add(MARGIN) > at)
    }

    /// The instance ran all the time around a moment.
    fn lives_at(&self, uid: &str, at: Duration) -> bool {
        let mut runs = false;
        for (time, starts) in self.bodies.get(uid).into_iter().flatten() {
            if *time >= at + MARGIN {
                break;
            }
            if *time + MARGIN > at {
                return false;
            }
            runs = *starts;
        }
        runs
    }
}
