//! Dispatches as they are seen.

use std::sync::Arc;

use crate::api::Dispatch;
use crate::api::dispatch::DispatchPhase;
use crate::core::object::dispatch_status;
use crate::core::state::dispatches::DispatchEntry;
use crate::core::{Core, Now, Object, ObjectKey, Subject};

impl Core {
    pub(in crate::core) fn saw_dispatch(&mut self, d: Arc<Dispatch>, now: Now) {
        let key = ObjectKey::of(&*d);
        if let Some(e) = self.dispatches.get(&key) {
            if e.obj().covers(&d) {
                return;
            }
            if e.obj().uid_str() != d.uid_str() {
                self.lost_dispatch(&key, None);
            }
        }
        let pool = key.sibling(d.spec.pool.clone());
        if let Some(e) = self.dispatches.get_mut(&key) {
            e.saw(d);
        } else {
            let entry = DispatchEntry::new(&key, d, pool, now);
            self.dispatches.insert(key.clone(), entry);
        }
        self.reindex_dispatch(&key, now);
        self.agenda.mark_dispatch(&key);
        self.mark_namers(&key);
    }

    /// Marks the workers that name a dispatch: it changed.
    pub(in crate::core) fn mark_namers(&mut self, key: &ObjectKey) {
        let Some(e) = self.dispatches.get(key) else { return };
        for w in self.claims.namers(e.obj().uid_str()) {
            self.agenda.mark_worker(w);
        }
    }

    pub(in crate::core) fn lost_dispatch(&mut self, key: &ObjectKey, version: Option<u64>) {
        let Some(e) = self.dispatches.get(key) else { return };
        if version.is_some_and(|v| e.obj().version() > v) {
            return;
        }
        self.mark_namers(key);
        let Some(mut e) = self.dispatches.remove(key) else { return };
        self.agenda.forget_failures(&Subject::Dispatch(key.clone()));
        for w in self.claims.namers(e.obj().uid_str()) {
            if let Some(w) = self.workers.get_mut(w) {
                w.dispatch_deleted(e.obj().clone());
            }
        }
        self.unlease(e.obj());
        if let Some(worker) = e.set_open_on(key, None, &mut self.claims) {
            self.attempt_closed(&worker);
        }
        e.set_lost_on(key, None, &mut self.claims);
        if let Some(p) = self.pools.get_mut(e.pool()) {
            e.leave_queue(&mut p.queue);
        }
        self.agenda.mark_dispatch(key);
        self.agenda.mark_pool(e.pool());
    }

    /// Puts a dispatch into the sets of its pool where it belongs. [`Core::decide_dispatch`] puts it into the queue, since that
    /// may need a live GET first.
    pub(in crate::core) fn reindex_dispatch(&mut self, key: &ObjectKey, now: Now) {
        let Some(e) = self.dispatches.get_mut(key) else { return };
        let (obj, pool) = (e.obj().clone(), e.pool().clone());
        let status = dispatch_status(&obj);
        let queue = &mut self.pools.entry(&pool).queue;
        let waiting = status.phase == DispatchPhase::Pending;
        if e.set_waiting(waiting, queue, now) && waiting && status.attempt == 0 {
            e.ask_for_place(queue);
        }
        if !waiting || status.attempt > 0 {
            e.give_up_place(queue);
        }
        if !waiting {
            e.unqueue(queue);
            e.set_delay(None, queue);
        }
        let lost = status.lost_on().map(|w| w.uid.clone());
        e.set_lost_on(key, lost, &mut self.claims);
        e.set_finished(status.finished_at.as_ref().map(|t| t.0).filter(|_| status.phase.is_final()), queue);
        let open_on =
            status.worker.as_ref().filter(|_| status.is_open() && !status.phase.is_final()).map(|w| w.uid.clone());
        if let Some(worker) = e.set_open_on(key, open_on, &mut self.claims) {
            self.attempt_closed(&worker);
        }
        self.lease_of(&obj, now);
        self.agenda.mark_pool(&pool);
    }

    /// An attempt on the worker with this uid is no longer open. An orphan may wait for that.
    fn attempt_closed(&mut self, worker_uid: &str) {
        for orphan in self.instances.orphans_of(worker_uid) {
            self.agenda.mark(Subject::Orphan(Box::new(orphan.clone())));
        }
    }
}
