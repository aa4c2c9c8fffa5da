//! Rests of credentials, counts and lists of a pool.

use std::sync::Arc;

use jiff::Timestamp;
use poolkeeper::api::dispatch::Outcome;
use poolkeeper::api::pool::{ContainerPoolStatus, CredentialRest};
use poolkeeper::api::vocabulary::PoolReady;
use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{Condition, ContainerPool, Worker};
use poolkeeper::local::Change;

use super::choices::MARGIN;
use super::{Audit, Life, Version, state_of};

impl Audit<'_> {
    pub(super) fn pool(&mut self, old: Option<Arc<ContainerPool>>, new: &Arc<ContainerPool>, change: Change) {
        let Some(old) = old else { return };
        if change == Change::Deleted {
            let name = &old.metadata.name.clone().unwrap();
            let left = self.workers.values().filter(|w| w.gone.is_none() && w.last().spec.pool == *name).count();
            // Whose cache is behind does not know of them; they go afterwards.
            let known = self.is_calm(self.when(self.rv));
            self.check(left == 0 || !known, "a pool goes when its workers are gone", || {
                format!("{name}: {left} workers")
            });
            return;
        }
        let (Some(before), Some(after)) = (Some(old.status.clone().unwrap_or_default()), new.status.clone()) else {
            return;
        };
        if before == after {
            return;
        }
        self.conditions("ContainerPool", &after.conditions);
        let name = new.metadata.name.clone().unwrap();
        let parts = after.ready + after.busy + after.resting + after.starting + after.unavailable;
        let counts =
            [after.workers, after.ready, after.busy, after.resting, after.starting, after.unavailable, after.queued];
        self.check(
            parts == after.workers && counts.iter().all(|n| *n >= 0),
            "the counts partition the workers",
            || format!("{name}: {counts:?}"),
        );
        self.workers_are_up(new, &after);
        let lists = after.not_ready.len() <= 20 && after.recent.len() <= 20;
        self.check(lists, "lists have at most 20 entries", || name.clone());
        for rest in &after.rate_limits {
            let was = before.rate_limits.iter().find(|r| r.key == rest.key).cloned();
            self.credential(
                &name,
                &was.unwrap_or_else(|| CredentialRest { key: rest.key.clone(), ..Default::default() }),
                rest,
            );
        }
        for was in &before.rate_limits {
            let kept = after.rate_limits.iter().any(|r| r.key == was.key);
            let named = new.spec.credentials.iter().any(|c| c.identity() == was.key);
            self.check(kept || !named, "a credential's rest is not forgotten", || format!("{name}: {was:?}"));
        }
    }

    /// No status counts more workers as up than were up within the last [`MARGIN`], by the store and by the runtime.
    fn workers_are_up(&mut self, pool: &ContainerPool, status: &ContainerPoolStatus) {
        let at = self.when(self.rv);
        if !self.is_calm(at) {
            return; // the controller may not know better
        }
        let name = pool.metadata.name.clone().unwrap();
        let lately = |rv: u64| self.when(rv) + MARGIN > at;
        let was_up = |(uid, w): (&String, &Life<Worker>)| {
            let known = w.versions.iter().rposition(|v| !lately(v.rv)).unwrap_or(0);
            // One that is being deleted works on until its attempt ends.
            let up = |v: &Version<Worker>| {
                let s = state_of(&v.object);
                matches!(s.phase, WorkerPhase::Ready | WorkerPhase::Busy) || s.dispatch.is_some()
            };
            w.gone.is_none_or(lately)
                && w.versions[known..].iter().any(up)
                && self.bodies.get(uid).is_some_and(|b| b.runs || lately(b.changed))
        };
        let up = self.workers.iter().filter(|(_, w)| w.last().spec.pool == name).filter(|w| was_up(*w)).count();
        let said = status.ready + status.busy + status.resting;
        let text =
            || format!("{name}: {} ready, {} busy, {} resting; {up} up", status.ready, status.busy, status.resting);
        self.check(usize::try_from(said).is_ok_and(|said| said <= up), "workers that are counted as up are up", text);
        let ready = Condition::find::<PoolReady>(&status.conditions).is_some_and(Condition::is_true);
        let current = status.observed_generation == pool.metadata.generation;
        self.check(!(ready && current && pool.spec.min > 0 && said == 0), "a pool without a worker is not Ready", text);
        self.count("status judged");
    }

    /// The state of a credential over all pools, as far as the writer must have seen it: in this pool as it was
    /// before, in others as they were a while ago.
    fn over_all_pools(&self, pool: &str, key: &str) -> (Option<Timestamp>, i32) {
        let mut all = (None, 0);
        for p in self.pools.values().filter(|p| p.gone.is_none()) {
            // This write is the last version of its pool already.
            let before = p.versions.iter().rev().filter(|v| v.rv < self.rv);
            let rest = |v: &Version<ContainerPool>| {
                v.object.status.as_ref().and_then(|s| s.rate_limits.iter().find(|r| r.key == key).cloned())
            };
            let newest = before.clone().next().and_then(rest);
            let known = if p.name == pool {
                newest.clone()
            } else {
                before.clone().find(|v| self.when(v.rv) + MARGIN <= self.when(self.rv)).and_then(rest)
            };
            all.0 = all.0.max(known.and_then(|r| r.until).map(|t| t.0));
            all.1 = all.1.max(newest.map_or(0, |r| r.strikes));
        }
        all
    }

    fn credential(&mut self, pool: &str, was: &CredentialRest, is: &CredentialRest) {
        let all = || format!("{pool}: {was:?} -> {is:?}");
        if is.cleared_at != was.cleared_at {
            self.check(is.cleared_at > was.cleared_at, "a clear is not taken back", all);
            self.check(is.until.is_none() && is.strikes == 0 && !is.parked, "a clear clears", all);
            self.count("rest of a credential cleared");
            return;
        }
        self.check(is.until >= was.until, "a deadline never moves earlier", all);
        self.check_parking(pool, was, is);
        if is.strikes > was.strikes {
            self.count("strike of a credential");
            let (until, strikes) = self.over_all_pools(pool, &is.key);
            let most = self.strikes_since(&is.key, until);
            self.check(is.strikes <= strikes.max(was.strikes) + most, "one strike a rest", || {
                format!("{}; at most {most} more than {strikes}", all())
            });
        }
    }

    /// How many rests one after the other there can have been on this credential since then: a strike is of an attempt
    /// that began after the rest before.
    fn strikes_since(&self, key: &str, since: Option<Timestamp>) -> i32 {
        let mut rests = Vec::new();
        for (uid, d) in &self.dispatches {
            for (n, a) in self.attempts.get(uid).into_iter().flatten() {
                let Some(r) = a.result.as_ref().filter(|r| r.outcome == Outcome::RateLimited) else { continue };
                let on = self.workers.get(&a.worker).map(|w| w.last().clone());
                let pool = self.pool_named(&d.last().spec.pool).map(|p| p.last().spec.clone()).unwrap_or_default();
                let credential = on.and_then(|w| w.spec.credential);
                let same = pool.credentials.iter().any(|c| Some(&c.name) == credential.as_ref() && c.identity() == key);
                let assigned = d.versions.iter().find_map(|v| {
                    v.object.status.as_ref().filter(|s| s.attempt == *n).and_then(|s| s.assigned_at.clone())
                });
                if let (true, Some(from), Some(until)) = (same, assigned, r.until.as_ref()) {
                    rests.push((until.0, from.0));
                }
            }
        }
        // The most that do not overlap are those that end first.
        rests.sort();
        let (mut end, mut count) = (since, 0);
        for (until, from) in rests {
            if end.is_none_or(|e| from >= e) {
                (end, count) = (Some(until), count + 1);
            }
        }
        count
    }
}
