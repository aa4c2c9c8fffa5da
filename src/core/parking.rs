//! Credentials that were refused: when they are probed, and which workers may have an old value of them.
//!
//! A refused credential is parked. From `until` on one attempt over all pools of the namespace probes it, on a worker that was created
//! after `until`: a worker has its value from its start. Until then, and while no work waits, no worker is replaced, because the value
//! may be put right at any time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::pool::Gate;
use super::state::new_values::NewValue;
use super::state::workers::WorkerEntry;
use super::{Core, Now, Object, ObjectKey, time};
use crate::api::dispatch::{DispatchStatus, Outcome};
use crate::api::pool::{Credential, CredentialRest};
use crate::api::{ContainerPool, Time, names};

impl Core {
    /// Time between two probes of a credential: the longest of its pools that probe. `None`: no pool does.
    pub(super) fn park_probe(&mut self, namespace: &Arc<str>, identity: &str) -> Option<Duration> {
        let pools = self.credentials.get(namespace, identity)?.pools();
        self.visits.0 += pools.len() as u64;
        let each = pools.iter().filter_map(|p| self.pools.obj(p)).map(|p| p.spec.rate_limit.park_probe.get());
        each.filter(|period| !period.is_zero()).max()
    }

    /// When the credential of an attempt is probed next, if the attempt showed that it is refused, or was a probe that showed nothing.
    pub(super) fn next_probe_after(
        &mut self,
        key: &ObjectKey,
        status: &DispatchStatus,
        outcome: Outcome,
        now: Now,
    ) -> Option<Time> {
        let refused = outcome == Outcome::Unauthorized;
        if !(refused || status.probe && matches!(outcome, Outcome::Failed | Outcome::Overloaded)) {
            return None;
        }
        let worker = status.worker.as_ref()?;
        let e = self.workers.get(&key.sibling(worker.name.clone())).filter(|e| e.obj().uid_str() == worker.uid)?;
        let identity = self.identity_of(e.obj()).ok()??;
        let period = self.park_probe(&key.namespace, &identity)?;
        let assigned_at = status.assigned_at.as_ref().map_or(now.wall, |t| t.0);
        let from = if refused { now.wall.max(assigned_at) } else { assigned_at };
        Some(Time::from(self.probed_until(from, period, now)))
    }

    /// The end of a time between two probes, which this controller measures.
    fn probed_until(&mut self, from: Timestamp, period: Duration, now: Now) -> Timestamp {
        let end = time::stored(time::after(from, period));
        self.rest_ends.begin(end, time::between(now.wall, end), now);
        end
    }

    /// A worker names an attempt that probes its credential.
    pub(super) fn saw_probe(&mut self, worker: &ObjectKey, now: Now) {
        let Some(e) = self.workers.get(worker) else { return };
        let Some(named) = e.named().filter(|n| n.probe) else { return };
        let (assigned_at, identity) = (named.assigned_at.0, self.identity_of(e.obj()));
        if let Ok(Some(id)) = identity
            && let Some(period) = self.park_probe(&worker.namespace, &id)
        {
            let next = self.probed_until(assigned_at, period, now);
            self.credentials.probed(&worker.namespace, &id, next);
        }
    }

    /// Gives a time to the parked credentials of a pool that have none: an older controller parked them, or a pool that does not
    /// probe, and another pool does.
    pub(super) fn date_parked(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now) {
        let stored = obj.status.iter().flat_map(|s| &s.rate_limits);
        let undated: Vec<CredentialRest> = stored.filter(|r| r.parked && r.until.is_none()).cloned().collect();
        for rest in undated {
            let due = self.pools.get(key).is_some_and(|p| p.due_rests.get(&rest.key).is_some());
            if let Some(period) = self.park_probe(&key.namespace, &rest.key).filter(|_| !due) {
                let until = Some(Time::from(self.probed_until(now.wall, period, now)));
                if let Some(p) = self.pools.get_mut(key) {
                    p.due_rests.insert(&rest.key.clone(), CredentialRest { until, ..rest });
                }
            }
        }
    }

    /// The value of a credential changed: it is no longer parked. Workers from before take no more work, unless they see the new value.
    pub(super) fn credential_changed(&mut self, namespace: &Arc<str>, identity: &str, in_place: bool, now: Now) {
        let rest = self.credential_rest(namespace, identity);
        if in_place && !rest.parked {
            return;
        }
        // Later than what is stored, whichever way the clock was set since.
        let stored = rest.cleared_at.max(rest.stale_before).map(|t| time::after(t.0, Duration::from_micros(1)));
        let at = Time::from(stored.map_or(now.wall, |t| t.max(now.wall)));
        let value = NewValue { at, in_place, lets_in: rest.parked };
        let pools = self.credentials.pools_of(namespace, identity);
        for pool in &pools {
            if let Some(p) = self.pools.get_mut(pool) {
                p.learned.new_values.found(identity, value.clone());
            }
            self.show_new_values(pool);
            self.agenda.mark_pool(pool);
        }
        for pool in &pools {
            self.note_stale(pool, now); // workers are decided about before pools
        }
    }

    /// Has the pool's status show new values of its credentials. Again as long as it does not: what is due is forgotten when the pool
    /// is seen with another status or spec, and a new value is reported once.
    pub(super) fn show_new_values(&mut self, key: &ObjectKey) {
        let Some(p) = self.pools.get_mut(key).filter(|p| !p.learned.new_values.is_empty()) else { return };
        let Some(obj) = p.obj().cloned() else { return };
        let stored = |id: &str| obj.status.as_ref()?.rate_limits.iter().find(|r| r.key == id).cloned();
        let due = &p.due_rests;
        let next = p.learned.new_values.due(
            |id| obj.spec.credentials.iter().any(|c| c.identity() == id),
            stored,
            |id| due.get(id).cloned().or_else(|| stored(id)),
        );
        for rest in next {
            p.due_rests.insert(&rest.key.clone(), rest);
        }
    }

    /// True if a worker may have an old value of its credential. It takes no work.
    pub(super) fn is_stale(&self, e: &WorkerEntry) -> bool {
        let Some(p) = self.pools.get(e.pool()).filter(|p| !p.stale.is_empty()) else { return false };
        let Ok(Some(identity)) = self.identity_of(e.obj()) else { return false };
        let made = e.obj().metadata.creation_timestamp.as_ref();
        p.stale.get(&identity).is_some_and(|t| made.is_some_and(|made| made.0 <= *t))
    }

    /// Finds out which workers of a pool may have an old value of their credential, and reindexes them if that changed.
    pub(super) fn note_stale(&mut self, key: &ObjectKey, now: Now) {
        let Some(obj) = self.pool_obj(key) else { return };
        let mut stale = std::collections::BTreeMap::new();
        for c in &obj.spec.credentials {
            let id = c.identity();
            let rest = self.credential_rest(&key.namespace, &id);
            let waits = self.pools.get(key).is_some_and(|p| p.queue.head().is_some());
            let before = if !rest.parked {
                rest.stale_before
            } else if waits && self.gate(key, &obj.spec, Some(&id), None, now) == Gate::Probe {
                rest.stale_before.max(rest.until)
            } else {
                None
            };
            stale.extend(before.map(|t| (id, t.0)));
        }
        let Some(p) = self.pools.get_mut(key).filter(|p| p.stale != stale) else { return };
        p.stale = stale;
        self.reindex_pool(key, now);
    }

    /// A credential of a pool that is to be probed, for which it has no worker, and none is coming. Its place in the spec.
    pub(super) fn lacks_prober(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now) -> Option<usize> {
        if self.pools.get(key).is_none_or(|p| p.queue.head().is_none()) {
            return None;
        }
        let host = self.next_host(key, obj)?.host;
        let due = |core: &mut Self, c: &Credential| {
            !core.directory_is_full(c, &host)
                && core.gate(key, &obj.spec, Some(&c.identity()), None, now) == Gate::Probe
                && !core.has_prober(key, c)
        };
        (0..).zip(&obj.spec.credentials).find(|(_, c)| due(self, c)).map(|(place, _)| place)
    }

    /// True if a worker of a pool can probe a credential, or is coming: it starts, or takes the place of one with an old value.
    fn has_prober(&mut self, key: &ObjectKey, credential: &Credential) -> bool {
        let Some(p) = self.pools.get(key) else { return false };
        let identity = Some(credential.identity());
        if p.slots.idle().contains_key(&identity) || p.members.coming_with_credential(&credential.name) > 0 {
            return true;
        }
        let others = p.slots.starting().iter().chain(p.slots.held()).chain(p.slots.unavailable());
        self.visits.0 += (p.slots.starting().len() + p.slots.held().len() + p.slots.unavailable().len()) as u64;
        others.filter_map(|o| self.workers.get(&key.sibling(names::worker(&key.name, *o)))).any(|e| {
            let same = e.obj().spec.credential.as_ref() == Some(&credential.name);
            let comes = e.obj().is_deleting() || !e.obj().spec.cordoned;
            same && comes
        })
    }

    /// When a worker may be created on a credential of a pool, if not now: a creation in the second of the change counts as before it.
    pub(super) fn created_too_early(&self, key: &ObjectKey, identity: &str, now: Now) -> Option<Timestamp> {
        let stale = *self.pools.get(key)?.stale.get(identity)?;
        let second = Timestamp::from_second(now.wall.as_second()).ok()?;
        let next = Timestamp::from_second(stale.as_second().saturating_add(1)).ok()?;
        (second <= stale && next > now.wall).then_some(next)
    }
}
