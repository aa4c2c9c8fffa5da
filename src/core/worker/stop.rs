//! The end of an instance: of a Worker that is being deleted, and of an orphan.

use crate::api::worker::WorkerPhase;
use crate::api::{Worker, names};
use crate::core::agenda::Wake;
use crate::core::state::instances::{InstanceView, host_of, instance_key};
use crate::core::state::life::Order;
use crate::core::{Action, Core, Now, Object, ObjectKey, RuntimeOrder, Subject, Verb, worker_status};
use crate::runtime::InstanceKey;

impl Core {
    /// A Worker that is being deleted and names no dispatch: stops its instance, then removes the finalizer, which frees the name.
    pub(super) fn stop_instance(&mut self, key: &ObjectKey, w: &Worker, now: Now) {
        let host = host_of(w);
        let instance = instance_key(w);
        let Some(e) = self.workers.get_mut(key) else { return };
        let under_way = matches!(e.life().order_under_way(), Some(Order::Start | Order::Stop | Order::SetPaused));
        let base = e.obj().clone();
        if under_way {
            // The answer marks this worker again.
        } else if self.instances.get(&instance).is_some_and(|i| i.view == InstanceView::Gone) {
            if w.metadata.finalizers.iter().flatten().any(|f| f == names::WORKER_FINALIZER) {
                self.write(Subject::Worker(key.clone()), Verb::RemoveWorkerFinalizer(base));
            }
            return;
        } else if self.instances.is_listed(&host) {
            if let Some(e) = self.workers.get_mut(key) {
                e.life_mut().order(Order::Stop, now.mono);
            }
            self.actions.push(Action::Runtime(RuntimeOrder::Stop(host, instance)));
        }
        self.show_draining(key, w, None, now);
    }

    /// Shows that a Worker is being deleted, once, and the dispatch that it waits for. Returns true if that is written now.
    /// Nothing depends on it: deletionTimestamp is what counts.
    pub(in crate::core) fn show_draining(
        &mut self,
        key: &ObjectKey,
        w: &Worker,
        waits_for: Option<&str>,
        now: Now,
    ) -> bool {
        let status = worker_status(w);
        if !w.is_deleting() || status.phase == WorkerPhase::Draining {
            return false;
        }
        let mut next = status.clone();
        next.phase = WorkerPhase::Draining;
        next.message = waits_for.map(|dispatch| format!("deleted; waits for {dispatch} to end"));
        next.rests_until = None;
        self.write_worker(key, next, now);
        true
    }

    /// An instance whose Worker is not in the cache. It is removed only if this installation made it, only after a live GET
    /// showed that there is no Worker, and not while an attempt on it is open.
    pub(in crate::core) fn decide_orphan(&mut self, key: &InstanceKey, _now: Now, _wake: &mut Wake) {
        let worker = ObjectKey::of_instance(key);
        if self.workers.of_instance(key).is_some() {
            self.agenda.mark_worker(&worker);
            return;
        }
        let Some(host) = self.instances.get(key).filter(|e| e.own).map(|e| e.host.clone()) else { return };
        match self.instances.is_orphan(key) {
            None => self.write(Subject::Orphan(Box::new(key.clone())), Verb::GetWorker(worker)),
            Some(false) => {
                self.instances.uncheck_orphan(key);
            }
            Some(true) => {
                let mut open = self.claims.open_on(&key.uid).peekable();
                if open.peek().is_some() {
                    for d in open {
                        self.agenda.mark_dispatch(d);
                    }
                } else if self.instances.is_listed(&host) && self.instances.begin_stop(key) {
                    self.actions.push(Action::Runtime(RuntimeOrder::Stop(host, key.clone())));
                }
            }
        }
    }
}
