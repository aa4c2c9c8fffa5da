//! A pool: one round of decisions.

use crate::api::pool::{HistoryPolicy, Scope};
use crate::api::{ContainerPool, names};
use crate::core::agenda::Wake;
use crate::core::{Core, Now, Object, ObjectKey, Subject, Verb};

impl Core {
    pub(in crate::core) fn decide_pool(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(obj) = self.pool_obj(key) else {
            self.expire_history(key, &HistoryPolicy::default(), now, wake);
            self.forget_pool(key);
            return;
        };
        if let Some(p) = self.pools.get_mut(key) {
            p.queue.admission.started(); // dispatches are decided before pools
        }
        if obj.is_deleting() {
            self.wind_up(key, &obj);
        } else if !obj.metadata.finalizers.iter().flatten().any(|f| f == names::POOL_FINALIZER) {
            self.write(Subject::Pool(key.clone()), Verb::AddPoolFinalizer(obj));
            return;
        } else {
            self.replace_due(key, &obj, now, wake);
            self.assign(key, now, wake);
            self.scale(key, &obj, now, wake);
            self.expire_history(key, &obj.spec.dispatch.history, now, wake);
        }
        self.open_doors(key, &obj, now, wake);
        self.roll_up(key, &obj, now, wake);
    }

    /// An entry without a pool stays while workers or dispatches refer to it.
    fn forget_pool(&mut self, key: &ObjectKey) {
        self.pools.forget_unused(key);
    }

    /// The pool is being deleted: what waits is cancelled and idle workers go by their own decisions, busy ones finish.
    fn wind_up(&mut self, key: &ObjectKey, obj: &ContainerPool) {
        let Some(p) = self.pools.get(key) else { return };
        let finalizer = obj.metadata.finalizers.iter().flatten().any(|f| f == names::POOL_FINALIZER);
        if p.queue.waiting().is_empty()
            && p.members.existing().is_empty()
            && (p.members.creating() == 0)
            && finalizer
            && let Some(base) = p.obj().cloned()
        {
            self.write(Subject::Pool(key.clone()), Verb::RemovePoolFinalizer(base));
        }
    }

    pub(in crate::core) fn scope_of(&self, pool: &ObjectKey) -> Scope {
        self.pool_obj(pool).map_or(crate::api::pool::defaults::scope(), |p| p.spec.rate_limit.scope)
    }
}
