//! Which dispatches a pool's queue accepts, and which stand in it.

use crate::core::state::dispatches::DispatchEntry;
use crate::core::{Core, ObjectKey};

impl Core {
    /// True if a dispatch that had no attempt yet may wait: it was accepted, or there is room for it.
    pub(in crate::core) fn accept(&mut self, key: &ObjectKey, limit: i32) -> bool {
        let Some(e) = self.dispatches.get(key) else { return false };
        if e.is_accepted() {
            return true;
        }
        let own = (e.place().created, key.name.clone());
        let Some(p) = self.pools.get_mut(e.pool()) else { return false };
        p.queue.admission.judge(own, limit, |name| {
            self.visits.0 += 1;
            let other = self.dispatches.get_mut(&key.sibling(name));
            other.map(DispatchEntry::accept).is_some()
        })
    }

    /// A dispatch can be assigned.
    pub(in crate::core) fn enqueue(&mut self, key: &ObjectKey) {
        let Some(e) = self.dispatches.get_mut(key) else { return };
        if let Some(p) = self.pools.get_mut(e.pool())
            && e.enqueue(&mut p.queue)
        {
            self.agenda.mark_pool(e.pool());
        }
    }

    /// A dispatch can no longer be assigned.
    pub(in crate::core) fn unqueue(&mut self, key: &ObjectKey) {
        let Some(e) = self.dispatches.get_mut(key) else { return };
        if let Some(p) = self.pools.get_mut(e.pool()) {
            e.unqueue(&mut p.queue);
        }
    }
}
