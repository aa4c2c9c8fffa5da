//! The end of an instance: of a Worker that is being deleted, and of an orphan.

use crate::api::{Worker, names};
use crate::core::agenda::Wake;
use crate::core::state::instances::{InstanceView, host_of, instance_key};
use crate::core::state::life::Order;
use crate::core::{Action, Core, Now, ObjectKey, RuntimeOrder, Subject, Verb};
use crate::runtime::InstanceKey;

impl Core {
    /// A Worker that is being deleted and names no dispatch: stops its instance, then removes the finalizer, which frees the name.
    pub(super) fn stop_instance(&mut self, key: &ObjectKey, w: &Worker, now: Now) {
        let host = host_of(w);
        let instance = instance_key(w);
        let Some(e) = self.workers.get_mut(key) else { return };
        if matches!(e.life().order_under_way(), Some(Order::Start | Order::Stop)) {
            return; // the answer marks this worker again
        }
        let base = e.obj().clone();
        if self.instances.get(&instance).is_some_and(|i| i.view == InstanceView::Gone) {
            if w.metadata.finalizers.iter().flatten().any(|f| f == names::WORKER_FINALIZER) {
                self.write(Subject::Worker(key.clone()), Verb::RemoveWorkerFinalizer(base));
            }
        } else if self.instances.is_listed(&host) {
            if let Some(e) = self.workers.get_mut(key) {
                e.life_mut().order(Order::Stop, now.mono);
            }
            self.actions.push(Action::Runtime(RuntimeOrder::Stop(host, instance)));
        }
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
