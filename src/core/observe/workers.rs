//! Workers as they are seen.

use std::sync::Arc;

use crate::api::worker::{DispatchRef, WorkerSpec};
use crate::api::{Worker, names};
use crate::core::state::instances::{InstanceView, instance_key};
use crate::core::state::workers::{WorkerChange, WorkerEntry};
use crate::core::{Core, Now, Object, ObjectKey, Subject};

impl Core {
    pub(in crate::core) fn saw_worker(&mut self, worker: Arc<Worker>, now: Now) {
        let key = ObjectKey::of(&*worker);
        // A key is stored in several places, which share the strings of the entry.
        let key = self.workers.shared_key(key);
        let old = self.workers.get(&key).map(|e| e.obj().clone());
        if old.as_ref().is_some_and(|old| old.covers(&worker)) {
            return;
        }
        if old.as_ref().is_some_and(|old| old.uid_str() != worker.uid_str()) {
            self.lost_worker(&key, None);
        }
        let pool = key.sibling(worker.spec.pool.as_str());
        let pool = self.pools.shared_key(pool);
        let mut change = WorkerChange::default();
        if let Some(e) = self.workers.get_mut(&key) {
            self.pools.entry(&pool).members.changed(&e.obj().spec, &worker.spec);
            change = e.saw(&key, worker.clone(), &mut self.claims, now);
        } else {
            let entry = WorkerEntry::new(&key, worker.clone(), pool.clone(), &mut self.claims, now);
            let p = self.pools.entry(&pool);
            p.members.appeared(entry.ordinal(), &worker.spec);
            if let Some(ordinal) = entry.ordinal() {
                p.learned.replacements.created(ordinal);
            }
            self.directories.add(&key, &worker.spec);
            self.workers.insert(key.clone(), entry);
        }
        if let Some(was) = &change.unnamed {
            self.attempt_released(&key, worker.uid_str(), was);
        }
        // Also if it named it before: its deletion or an annotation may end the attempt.
        if let Some(named) = self.workers.get(&key).and_then(WorkerEntry::named) {
            self.agenda.mark_dispatch(&key.sibling(named.name.clone()));
        }
        if worker.is_deleting() {
            if old.is_some_and(|old| !old.is_deleting()) {
                // What failed before, as its deletion may have, is no reason to wait now.
                self.agenda.forget_failures(&Subject::Worker(key.clone()));
            }
            self.start_no_longer_waits(&key);
            if let (Some(p), Some(o)) = (self.pools.get_mut(&pool), names::ordinal(&pool.name, &key.name)) {
                p.members.leaves(o);
                self.replacement_leaves(&pool, o);
            }
        }
        if change.became_ready {
            self.became_ready(&key, now);
        }
        self.saw_probe(&key, now);
        self.reindex_worker(&key, now);
        self.agenda.mark_worker(&key);
        self.agenda.mark_pool(&pool);
    }

    /// A worker that has or had a directory is gone, or was not created: other pools may want it.
    pub(in crate::core) fn directory_left(&mut self, worker: &ObjectKey, spec: &WorkerSpec) {
        for pool in self.directories.remove(worker, spec) {
            self.agenda.mark_pool(&pool);
        }
    }

    /// The worker with this uid no longer names an attempt, or is gone.
    fn attempt_released(&mut self, worker: &ObjectKey, uid: &str, was: &DispatchRef) {
        let key = worker.sibling(was.name.clone());
        if let Some(d) = self.dispatches.get_mut(&key) {
            let status = d.obj().status.as_ref();
            let its = status.and_then(|s| s.worker.as_ref()).map(|w| w.uid.as_str());
            if d.obj().uid_str() == was.uid && status.is_some_and(|s| s.attempt == was.attempt) && its == Some(uid) {
                d.release(was.attempt);
            }
        }
        self.agenda.mark_dispatch(&key);
    }

    pub(in crate::core) fn lost_worker(&mut self, key: &ObjectKey, version: Option<u64>) {
        let Some(e) = self.workers.get(key) else { return };
        if version.is_some_and(|v| e.obj().version() > v) {
            return;
        }
        // The next worker of its name does not wait for what failed about this one.
        self.agenda.forget_failures(&Subject::Worker(key.clone()));
        let Some(mut e) = self.workers.remove(key) else { return };
        let (obj, pool) = (e.obj().clone(), e.pool().clone());
        let (reserved, named) = e.leave_claims(key, &mut self.claims);
        if let Some(was) = named {
            self.attempt_released(key, obj.uid_str(), &was);
        }
        if let Some(d) = reserved {
            self.agenda.mark_dispatch(&key.sibling(d.name));
        }
        if let Some(slot) = e.leave_slots(&mut self.pools.entry(&pool).slots) {
            self.left_slot(key, &slot);
        }
        self.replacement_gone(&e);
        if let Some(p) = self.pools.get_mut(&pool) {
            p.members.gone(e.ordinal(), &obj.spec);
        }
        self.directory_left(key, &obj.spec);
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
        for dispatch in self.claims.lost_on(obj.uid_str()) {
            self.agenda.mark_dispatch(dispatch);
        }
        self.agenda.mark_worker(key);
        self.agenda.mark_pool(&pool);
    }
}
