//! Which index of its pool a worker stands in.

use jiff::Timestamp;

use crate::api::Worker;
use crate::api::worker::WorkerPhase;
use crate::core::object::worker_status;
use crate::core::state::instances::host_of;
use crate::core::state::slots::Slot;
use crate::core::state::workers::WorkerEntry;
use crate::core::{Core, Now, Object, ObjectKey, Subject};
use crate::runtime::InstanceState;

impl Core {
    fn slot_of(&self, e: &WorkerEntry, now: Now) -> Slot {
        let (w, status) = (e.obj(), worker_status(e.obj()));
        let cred = self.identity_of(w);
        if let Some(d) = e.reserving().or(status.dispatch.as_ref()) {
            return Slot::Busy { cred: cred.unwrap_or_default(), assigned_at: d.assigned_at.0 };
        }
        let until = status.cooldown.as_ref().and_then(|c| c.until.as_ref()).map(|t| t.0);
        if w.is_deleting() {
            return Slot::Unavailable;
        }
        let subject = Subject::Worker(ObjectKey::of(&**w));
        let locked = self.agenda.is_locked(&subject);
        let slot = self.settled_slot(e, until, now);
        let rests = matches!(slot, Slot::Starting | Slot::Resting { .. });
        let held = locked || (!rests && self.agenda.blocked_until(&subject, now).is_some());
        slot.standing().filter(|_| held).map_or(slot, Slot::Held)
    }

    /// The index of a worker that names no dispatch and is not being deleted, whatever is being written about it.
    fn settled_slot(&self, e: &WorkerEntry, until: Option<Timestamp>, now: Now) -> Slot {
        let (w, status) = (e.obj(), worker_status(e.obj()));
        if let Some(until) = until.filter(|u| self.rest_ends.lasts(*u, now) && status.phase != WorkerPhase::Starting) {
            return Slot::Resting { until, up: self.is_running(w) };
        }
        let cred = self.identity_of(w);
        match status.phase {
            WorkerPhase::Starting => Slot::Starting,
            WorkerPhase::Ready | WorkerPhase::Busy if self.is_usable(e) && self.is_spent(e) => Slot::Spent,
            WorkerPhase::Ready | WorkerPhase::Busy if self.is_usable(e) => Slot::Idle {
                cred: cred.unwrap_or_default(),
                last: status.last_dispatch_time.as_ref().map(|t| t.0),
                since: status.idle_since.as_ref().map_or(Timestamp::MIN, |t| t.0),
            },
            _ => Slot::Unavailable,
        }
    }

    /// True if nothing but rest keeps an idle, started worker from taking work.
    pub(in crate::core) fn is_usable(&self, e: &WorkerEntry) -> bool {
        let w = e.obj();
        self.is_running(w)
            && e.ordinal().is_some()
            && e.life().missed() == 0
            && !w.spec.cordoned
            && self.instances.is_listed(&host_of(w))
            && self.identity_of(w).is_ok()
            && !self.is_stale(e)
    }

    /// True if the worker's instance was seen to run. One that is paused goes on before an attempt is published.
    fn is_running(&self, w: &Worker) -> bool {
        self.is_in_state(w, &InstanceState::Running) || self.is_in_state(w, &InstanceState::Paused)
    }

    /// Moves a worker to the index where it belongs now.
    pub(in crate::core) fn reindex_worker(&mut self, key: &ObjectKey, now: Now) {
        let Some(e) = self.workers.get(key) else { return };
        let slot = self.slot_of(e, now);
        if e.slot() == Some(&slot) {
            if slot == Slot::Unavailable {
                self.reindex_due(key); // for another reason, perhaps
            }
            return;
        }
        let pool = e.pool().clone();
        let slots = &mut self.pools.entry(&pool).slots;
        let old = self.workers.get_mut(key).and_then(|e| e.move_to(slot.clone(), slots));
        if let Some(old) = old {
            self.left_slot(key, &old);
        }
        self.visits.0 += 1;
        if let Slot::Busy { cred: Some(c), assigned_at } = &slot {
            self.credentials.begin(key, c, *assigned_at);
        }
        self.reindex_due(key);
        self.agenda.mark_pool(&pool);
    }

    /// A worker left an index of its pool.
    pub(in crate::core) fn left_slot(&mut self, key: &ObjectKey, slot: &Slot) {
        if let Slot::Busy { cred: Some(c), assigned_at } = slot {
            // A place on a shared credential is free: the pool that waits for it may be another one.
            for other in self.credentials.end(key, c, *assigned_at) {
                self.visits.0 += 1;
                self.agenda.mark_pool(&other);
            }
        }
    }
}
