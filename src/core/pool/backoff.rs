//! Failing starts make a pool wait.

use crate::api::{Worker, names};
use crate::core::agenda::Attempted;
use crate::core::{Core, EventType, Now, ObjectKey};

impl Core {
    /// Counts a failed start of a pool, and warns of it.
    pub(in crate::core) fn count_start_failure(&mut self, pool: &ObjectKey, w: &Worker, why: &str, now: Now) {
        // The failure of a template that is no longer wanted has no consequence.
        let wanted = self.pools.get_mut(pool).filter(|p| p.templates.matches(w));
        if let Some(p) = wanted {
            p.learned.backoff.fail(why, now.wall);
            if let Some(obj) = p.obj().cloned() {
                self.record(
                    "ContainerPool",
                    &*obj,
                    EventType::Warning,
                    Attempted::Start.reason(),
                    format!("{}: {why}", ObjectKey::of(w).name),
                    now,
                );
            }
            self.replacement_failed(pool, names::ordinal(&pool.name, &ObjectKey::of(w).name));
        }
        self.agenda.mark_pool(pool);
    }

    /// A worker lives for some time after it became Ready. That speaks for its own template only.
    pub(in crate::core) fn started_well(&mut self, worker: &ObjectKey, pool: &ObjectKey) {
        let Some(obj) = self.workers.get(worker).map(|e| e.obj().clone()) else { return };
        let its = self.pools.get_mut(pool).filter(|p| p.templates.matches(&obj));
        if let Some(p) = its.filter(|p| p.learned.backoff.is_failing()) {
            p.learned.backoff.forget();
            self.agenda.mark_pool(pool);
        }
    }
}
