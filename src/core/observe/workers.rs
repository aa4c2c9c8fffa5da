//! Workers as they are seen.

use std::sync::Arc;

use crate::api::worker::WorkerPhase;
use crate::api::{Worker, names};
use crate::core::state::instances::{InstanceView, instance_key};
use crate::core::state::workers::WorkerEntry;
use crate::core::{Core, Now, Object, ObjectKey, Subject};

impl Core {
    pub(in crate::core) fn saw_worker(&mut self, worker: Arc<Worker>, now: Now) {
        let key = ObjectKey::of(&*worker);
        // A key is stored in several places, which share the strings of the entry.
        let key = self.workers.shared_key(key);
        let old = self.workers.get(&key).map(|e| e.obj.clone());
        if old.as_ref().is_some_and(|old| old.covers(&worker)) {
            return;
        }
        if old.as_ref().is_some_and(|old| old.uid_str() != worker.uid_str()) {
            self.lost_worker(&key, None);
        }
        let pool = key.sibling(worker.spec.pool.as_str());
        let pool = self.pools.shared_key(pool);
        let phase = |w: &Worker| w.status.as_ref().map(|s| s.phase).unwrap_or_default();
        let named = |w: &Worker| w.status.as_ref().and_then(|s| s.dispatch.clone());
        let before = self.workers.get(&key).and_then(|e| named(&e.obj));
        let mut became_ready = false;
        if let Some(e) = self.workers.get_mut(&key) {
            if (phase(&e.obj) == WorkerPhase::Starting) != (phase(&worker) == WorkerPhase::Starting) {
                e.life.changed_phase(now.mono);
                became_ready = phase(&worker) == WorkerPhase::Ready;
            }
            if named(&worker) != before {
                (e.dispatch_gone, e.left_by) = (None, None);
            }
            self.pools.entry(&pool).members.changed(&e.obj.spec, &worker.spec);
            e.obj = worker.clone();
        } else {
            let ordinal = names::ordinal(&pool.name, &key.name);
            self.pools.entry(&pool).members.appeared(ordinal, &worker.spec);
            let entry = WorkerEntry::new(worker.clone(), pool.clone(), ordinal, now);
            self.workers.insert(key.clone(), entry);
        }
        let after = named(&worker);
        if before != after {
            if let Some(b) = &before {
                self.unname(&key, b);
            }
            if let Some(a) = &after {
                self.claims.name(&a.uid, &key);
                self.agenda.mark_dispatch(&key.sibling(a.name.clone()));
            }
        } else if let Some(a) = &after {
            // Its deletion or an annotation may end the attempt.
            self.agenda.mark_dispatch(&key.sibling(a.name.clone()));
        }
        if worker.is_deleting() {
            self.start_no_longer_waits(&key);
            if let (Some(p), Some(o)) = (self.pools.get_mut(&pool), names::ordinal(&pool.name, &key.name)) {
                p.members.leaves(o);
                self.replacement_leaves(&pool, o);
            }
        }
        if became_ready {
            self.became_ready(&key, now);
        }
        self.reindex_worker(&key, now);
        self.agenda.mark_worker(&key);
        self.agenda.mark_pool(&pool);
    }

    /// A worker no longer names this attempt.
    pub(in crate::core) fn unname(&mut self, worker: &ObjectKey, was: &crate::api::worker::DispatchRef) {
        self.claims.unname(&was.uid, worker);
        let key = worker.sibling(was.name.clone());
        if let Some(d) = self.dispatches.get_mut(&key) {
            let status = d.obj.status.as_ref();
            let uid = self.workers.get(worker).map(|w| w.obj.uid_str());
            let its = status.and_then(|s| s.worker.as_ref()).map(|w| w.uid.as_str());
            if d.obj.uid_str() == was.uid
                && status.is_some_and(|s| s.attempt == was.attempt)
                && uid.is_some()
                && its == uid
            {
                d.released = d.released.max(was.attempt);
            }
        }
        self.agenda.mark_dispatch(&key);
    }

    pub(in crate::core) fn lost_worker(&mut self, key: &ObjectKey, version: Option<u64>) {
        let Some(e) = self.workers.get(key) else { return };
        if version.is_some_and(|v| e.obj.version() > v) {
            return;
        }
        let (obj, pool, ordinal) = (e.obj.clone(), e.pool.clone(), e.ordinal);
        self.start_no_longer_waits(key);
        if let Some(d) = obj.status.as_ref().and_then(|s| s.dispatch.clone()) {
            self.unname(key, &d);
        }
        if let Some(e) = self.workers.remove(key) {
            if let Some(d) = &e.reserving {
                self.claims.reserved(&d.uid);
                self.agenda.mark_dispatch(&key.sibling(d.name.clone()));
            }
            if let Some(slot) = &e.slot {
                self.leave_slot(key, &pool, ordinal.unwrap_or(-1), slot);
            }
            self.replacement_gone(&e);
        }
        if let Some(p) = self.pools.get_mut(&pool) {
            p.members.gone(ordinal, &obj.spec);
        }
        let instance = instance_key(&obj);
        match self.instances.get(&instance).map(|e| &e.view) {
            Some(InstanceView::Gone) => {
                self.instances.forget(&instance);
            }
            Some(_) => {
                self.agenda.mark(Subject::Orphan(Box::new(instance)));
            }
            None => {}
        }
        self.agenda.mark_worker(key);
        self.agenda.mark_pool(&pool);
    }
}
