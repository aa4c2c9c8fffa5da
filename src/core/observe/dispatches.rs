//! Dispatches as they are seen.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::api::Dispatch;
use crate::api::dispatch::DispatchPhase;
use crate::core::object::dispatch_status;
use crate::core::state::dispatches::DispatchEntry;
use crate::core::state::queue::Place;
use crate::core::{Core, Now, Object, ObjectKey, Subject};

impl Core {
    pub(in crate::core) fn saw_dispatch(&mut self, d: Arc<Dispatch>, now: Now) {
        let key = ObjectKey::of(&*d);
        if let Some(e) = self.dispatches.get(&key) {
            if e.obj.covers(&d) {
                return;
            }
            if e.obj.uid_str() != d.uid_str() {
                self.lost_dispatch(&key, None);
            }
        }
        let pool = key.sibling(d.spec.pool.clone());
        let created = d.metadata.creation_timestamp.as_ref().map_or(jiff::Timestamp::MIN, |t| t.0);
        if let Some(e) = self.dispatches.get_mut(&key) {
            e.obj = d;
        } else {
            let place = Place { priority: Reverse(d.spec.priority), created, name: key.name.clone() };
            let entry = DispatchEntry {
                obj: d,
                pool: pool.clone(),
                place,
                queued: false,
                waiting: false,
                accepted: false,
                since: now.mono,
                finished: None,
                open_on: None,
                released: 0,
                worker_gone: None,
            };
            self.dispatches.insert(key.clone(), entry);
        }
        self.reindex_dispatch(&key, now);
        self.agenda.mark_dispatch(&key);
        self.mark_namers(&key);
    }

    /// Marks the workers that name a dispatch: it changed.
    pub(in crate::core) fn mark_namers(&mut self, key: &ObjectKey) {
        let Some(e) = self.dispatches.get(key) else { return };
        for w in self.claims.namers(e.obj.uid_str()) {
            self.agenda.mark_worker(w);
        }
    }

    pub(in crate::core) fn lost_dispatch(&mut self, key: &ObjectKey, version: Option<u64>) {
        let Some(e) = self.dispatches.get(key) else { return };
        if version.is_some_and(|v| e.obj.version() > v) {
            return;
        }
        self.mark_namers(key);
        let Some(e) = self.dispatches.remove(key) else { return };
        self.agenda.forget_failures(&Subject::Dispatch(key.clone()));
        for w in self.claims.namers(e.obj.uid_str()) {
            if let Some(w) = self.workers.get_mut(w) {
                w.left_by = Some(e.obj.clone());
            }
        }
        self.unlease(&e.obj);
        self.move_open(key, e.open_on.clone(), None);
        if let Some(p) = self.pools.get_mut(&e.pool) {
            p.queue.unqueue(&e.place);
            p.queue.set_waiting(&e.place, false);
            p.queue.admission.goes(e.place.created, &key.name, e.accepted);
            p.queue.set_finished(&key.name, e.finished, None);
        }
        self.agenda.mark_dispatch(key);
        self.agenda.mark_pool(&e.pool);
    }

    /// Puts a dispatch into the sets of its pool where it belongs. [`Core::decide_dispatch`] puts it into the queue, since that
    /// may need a live GET first.
    pub(in crate::core) fn reindex_dispatch(&mut self, key: &ObjectKey, now: Now) {
        let Some(e) = self.dispatches.get_mut(key) else { return };
        let obj = e.obj.clone();
        let status = dispatch_status(&obj);
        let p = self.pools.entry(&e.pool);
        let waiting = status.phase == DispatchPhase::Pending;
        if waiting != e.waiting {
            p.queue.set_waiting(&e.place, waiting);
            (e.waiting, e.since) = (waiting, now.mono);
            if waiting && status.attempt == 0 {
                e.accepted = p.queue.admission.comes(e.place.created, &key.name);
            }
        }
        if !waiting || status.attempt > 0 {
            p.queue.admission.goes(e.place.created, &key.name, std::mem::take(&mut e.accepted));
        }
        if !waiting && e.queued {
            p.queue.unqueue(&e.place);
            e.queued = false;
        }
        let finished = status.finished_at.as_ref().map(|t| t.0).filter(|_| status.phase.is_final());
        if finished != e.finished {
            p.queue.set_finished(&key.name, e.finished, finished);
            e.finished = finished;
        }
        let open_on =
            status.worker.as_ref().filter(|_| status.is_open() && !status.phase.is_final()).map(|w| w.uid.clone());
        let before = std::mem::replace(&mut e.open_on, open_on.clone());
        let pool = e.pool.clone();
        if before != open_on {
            self.move_open(key, before, open_on);
        }
        self.lease_of(&obj);
        self.agenda.mark_pool(&pool);
    }

    /// A dispatch opened an attempt on a worker, or closed one: by the worker's uid.
    pub(in crate::core) fn move_open(&mut self, key: &ObjectKey, from: Option<String>, to: Option<String>) {
        if let Some(uid) = from {
            self.claims.close(&uid, key);
            // An orphan may wait for this.
            for orphan in self.instances.orphans_of(&uid) {
                self.agenda.mark(Subject::Orphan(Box::new(orphan.clone())));
            }
        }
        if let Some(uid) = to {
            self.claims.open(&uid, key);
        }
    }
}
