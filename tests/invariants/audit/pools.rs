//! Rests of credentials, counts and lists of a pool.

use std::sync::Arc;

use jiff::Timestamp;
use poolkeeper::api::ContainerPool;
use poolkeeper::api::dispatch::Outcome;
use poolkeeper::api::pool::CredentialRest;
use poolkeeper::local::Change;

use super::Audit;

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
        let name = new.metadata.name.clone().unwrap();
        let parts = after.ready + after.busy + after.resting + after.starting + after.unhealthy;
        let counts =
            [after.workers, after.ready, after.busy, after.resting, after.starting, after.unhealthy, after.queued];
        self.check(
            parts == after.workers && counts.iter().all(|n| *n >= 0),
            "the counts partition the workers",
            || format!("{name}: {counts:?}"),
        );
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

    /// The state of a credential over all pools, before this write.
    fn over_all_pools(&self, key: &str) -> (Option<Timestamp>, i32) {
        let mut all = (None, 0);
        for p in self.pools.values().filter(|p| p.gone.is_none()) {
            // This write is the last version of its pool already.
            let newest = p.versions.iter().rev().find(|v| v.rv < self.rv);
            let rests =
                newest.and_then(|v| v.object.status.as_ref()).map(|s| s.rate_limits.clone()).unwrap_or_default();
            for r in rests.iter().filter(|r| r.key == key) {
                all.0 = all.0.max(r.until.as_ref().map(|t| t.0));
                all.1 = all.1.max(r.strikes);
            }
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
        self.check(is.parked || !was.parked, "a refused credential rests until it is cleared", all);
        if is.parked && !was.parked {
            self.count("credential refused");
        }
        if is.strikes > was.strikes {
            self.count("strike of a credential");
            let (until, strikes) = self.over_all_pools(&is.key);
            self.check(is.strikes <= strikes + 1, "one strike a rest", all);
            if is.strikes > strikes {
                // It counts only if an attempt was limited that began after the rest before.
                let counted = self.limited_since(&is.key, until);
                self.check(counted, "a strike is of an attempt that began after the rest before", all);
            }
        }
    }

    /// An attempt on this credential was rate limited that was assigned at or after `until`.
    fn limited_since(&self, key: &str, until: Option<Timestamp>) -> bool {
        self.dispatches.iter().any(|(uid, d)| {
            let attempts = self.attempts.get(uid).into_iter().flatten();
            let limited =
                attempts.filter(|(_, a)| a.result.as_ref().is_some_and(|r| r.outcome == Outcome::RateLimited));
            limited.into_iter().any(|(n, a)| {
                let on = self.workers.get(&a.worker).map(|w| w.last().clone());
                let pool = self.pool_named(&d.last().spec.pool).map(|p| p.last().spec.clone()).unwrap_or_default();
                let credential = on.and_then(|w| w.spec.credential);
                let same = pool.credentials.iter().any(|c| Some(&c.name) == credential.as_ref() && c.identity() == key);
                let assigned = d.versions.iter().find_map(|v| {
                    v.object.status.as_ref().filter(|s| s.attempt == *n).and_then(|s| s.assigned_at.clone())
                });
                same && assigned.is_some_and(|t| until.is_none_or(|u| t.0 >= u))
            })
        })
    }
}
