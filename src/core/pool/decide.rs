//! A pool: one round of decisions.

use crate::api::pool::{HistoryPolicy, Scope, defaults};
use crate::api::{ContainerPool, names};
use crate::core::agenda::Wake;
use crate::core::{Core, Now, Object, ObjectKey, Subject, Verb};

impl Core {
    /// One round about a pool. The order matters: a worker that is to be replaced takes no work, work goes to the workers that
    /// exist before others are created, and the status shows the result of all that.
    pub(in crate::core) fn decide_pool(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(obj) = self.pool_obj(key) else {
            self.expire_history(key, &HistoryPolicy::default(), now, wake);
            self.pools.forget_unused(key);
            return;
        };
        if let Some(p) = self.pools.get_mut(key) {
            p.queue.admission.started(); // dispatches are decided about before pools
        }
        self.show_new_values(key);
        self.report_refusals(key, &obj, now, wake);
        if obj.is_deleting() {
            self.finish_deletion(key, &obj);
        } else if !has_finalizer(&obj) {
            self.write(Subject::Pool(key.clone()), Verb::AddPoolFinalizer(obj));
            return;
        } else {
            self.date_parked(key, &obj, now);
            self.note_stale(key, now);
            self.replace_due(key, &obj, now, wake);
            self.assign(key, now, wake);
            self.scale(key, &obj, now, wake);
            self.explain_queue(key, now, wake);
            self.note_rests(key, &obj, now, wake);
            self.note_pauses(key, &obj, now, wake);
            self.expire_history(key, &obj.spec.dispatch.history, now, wake);
        }
        self.handle_requests(key, &obj, now, wake);
        self.write_pool_status(key, &obj, now, wake);
    }

    /// The pool is being deleted. Its dispatches and workers are decided about by themselves: waiting dispatches are cancelled,
    /// idle workers are removed, busy ones finish. When none is left the finalizer is removed.
    fn finish_deletion(&mut self, key: &ObjectKey, obj: &ContainerPool) {
        let Some(p) = self.pools.get(key) else { return };
        if p.queue.waiting().is_empty()
            && p.members.is_empty()
            && has_finalizer(obj)
            && let Some(base) = p.obj().cloned()
        {
            self.write(Subject::Pool(key.clone()), Verb::RemovePoolFinalizer(base));
        }
    }

    /// What rests after a rate limit in this pool.
    pub(in crate::core) fn scope_of(&self, pool: &ObjectKey) -> Scope {
        self.pools.obj(pool).map_or(defaults::scope(), |p| p.spec.rate_limit.scope)
    }
}

fn has_finalizer(pool: &ContainerPool) -> bool {
    pool.metadata.finalizers.iter().flatten().any(|f| f == names::POOL_FINALIZER)
}
