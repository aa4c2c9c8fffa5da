//! A Worker: what comes next for it, and its end.
//!
//! One stop rule: an instance is stopped only when its Worker has a deletionTimestamp and names no dispatch in the same
//! object version. A finalizer is removed only from such a Worker, once the runtime confirmed that the instance is gone.

use crate::api::Worker;
use crate::api::dispatch::Target;
use crate::api::worker::{WorkerPhase, WorkerStatus};
use crate::core::agenda::Wake;
use crate::core::object::worker_status;
use crate::core::state::instances::{InstanceView, host_of, instance_key};
use crate::core::{Core, Now, Object, ObjectKey, Subject, Verb, WorkerEnd};
use crate::runtime::Instance;

impl Core {
    /// Decides about a Worker. The order matters: a dispatch that it names comes before everything else.
    pub(in crate::core) fn decide_worker(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        self.reindex_worker(key, now);
        let Some(e) = self.workers.get(key) else { return };
        let (w, pool, failed) = (e.obj().clone(), e.pool().clone(), e.life().failure().map(str::to_owned));
        let status = worker_status(&w);
        let until = status.cooldown.as_ref().and_then(|c| c.until.as_ref());
        if let Some(until) = until.filter(|u| self.rest_ends.lasts(u.0, now)) {
            self.wake_at_rest_end(until.0, wake);
        }
        if let Some(named) = &status.dispatch {
            self.decide_named(key, &w, named, now, wake);
        } else if w.is_deleting() {
            self.stop_instance(key, &w, now);
        } else if let Some(why) = failed {
            self.count_start_failure(&pool, &w, &why, now);
            self.delete_worker(key, WorkerEnd::StartFailed(why), now);
        } else if self.pool_obj(&pool).is_some_and(|p| p.is_deleting()) {
            self.delete_worker(key, WorkerEnd::PoolDeleted, now);
        } else if self.pool_obj(&pool).is_none() {
            // Absence from the cache is not a fact: a live GET is.
            if self.workers[key].is_pool_gone() {
                self.delete_worker(key, WorkerEnd::PoolDeleted, now);
            } else {
                self.write(Subject::Worker(key.clone()), Verb::GetPool(pool));
            }
        } else if status.phase == WorkerPhase::Starting {
            self.bring_up(key, &w, &pool, now, wake);
        } else {
            self.keep_healthy(key, &w, status, now, wake);
        }
    }

    /// Deletes a Worker, unless a write about it is under way.
    pub(in crate::core) fn delete_worker(&mut self, key: &ObjectKey, why: WorkerEnd, now: Now) {
        let Some(base) = self.workers.get(key).map(|e| e.obj().clone()) else { return };
        if self.agenda.is_locked(&Subject::Worker(key.clone())) {
            return;
        }
        self.write(Subject::Worker(key.clone()), Verb::DeleteWorker(base, why));
        self.reindex_worker(key, now);
    }

    pub(in crate::core) fn write_worker(&mut self, key: &ObjectKey, status: WorkerStatus, now: Now) {
        let base = self.workers[key].obj().clone();
        self.write(Subject::Worker(key.clone()), Verb::WorkerStatus(base, Box::new(status)));
        self.reindex_worker(key, now);
    }

    /// True if nothing but rest keeps a started worker from taking work.
    pub(in crate::core) fn can_work(&self, key: &ObjectKey) -> bool {
        self.workers.get(key).is_some_and(|e| !e.obj().is_deleting() && self.is_usable(e))
    }

    /// How a task reaches a worker, if its instance was seen.
    pub(in crate::core) fn target_of(&self, w: &Worker) -> Option<Target> {
        let Some(InstanceView::There { handle, state }) = self.instances.view_of(w) else { return None };
        let (key, host) = (instance_key(w), host_of(w));
        let instance =
            Instance { key, host: host.host.clone(), own: true, handle: handle.clone(), state: state.clone() };
        Some((self.cfg.target)(&host, &instance))
    }
}
