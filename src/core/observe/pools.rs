//! Pools as they are seen.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::{ContainerPool, names};
use crate::core::state::workers::WorkerEntry;
use crate::core::{Core, Now, Object, ObjectKey, Subject};

impl Core {
    pub(in crate::core) fn saw_pool(&mut self, pool: Arc<ContainerPool>, now: Now) {
        let key = ObjectKey::of(&*pool);
        let entry = self.pools.entry(&key);
        if entry.obj().is_some_and(|old| old.covers(&pool)) {
            return;
        }
        let old = entry.saw(&pool);
        if old.is_none() {
            entry.queue.admission.inherit(pool.status.as_ref().map_or(0, |s| s.queued));
        }
        for w in entry.due_rests.take_waiting() {
            self.agenda.mark(Subject::Worker(w));
        }
        entry.learned.backoff.adopt(pool.status.as_ref().and_then(|s| s.start_backoff.as_ref()));
        let changed = old.as_ref().is_none_or(|old| old.spec != pool.spec || old.uid_str() != pool.uid_str());
        if changed {
            let before: BTreeSet<String> = old
                .iter()
                .flat_map(|p| p.spec.credentials.iter().map(crate::api::pool::Credential::identity))
                .collect();
            let after: BTreeSet<String> =
                pool.spec.credentials.iter().map(crate::api::pool::Credential::identity).collect();
            for id in before.difference(&after) {
                self.leave_credential(&key, id);
            }
            for id in after {
                self.credentials.join(&key, id);
            }
        }
        let began_to_go = pool.is_deleting() && old.as_ref().is_none_or(|o| !o.is_deleting());
        if changed {
            self.set_template(&key, &pool.spec);
        }
        if changed || began_to_go {
            self.reindex_pool(&key, now);
            let waiting: Vec<ObjectKey> =
                self.pools.entry(&key).queue.waiting().iter().map(|(_, n)| key.sibling(n.clone())).collect();
            for d in waiting {
                self.agenda.mark_dispatch(&d);
            }
        }
        let rests = |p: &ContainerPool| p.status.as_ref().map(|s| s.rate_limits.clone()).unwrap_or_default();
        if changed || old.as_ref().is_none_or(|old| rests(old) != rests(&pool)) {
            // The due rests were computed from the status before this one. The workers that wait for them are decided about again.
            if let Some(entry) = self.pools.get_mut(&key) {
                entry.due_rests.clear();
            }
            // The rest of a credential concerns every pool that names it.
            for c in &pool.spec.credentials {
                for other in self.credentials.pools_of(&key.namespace, &c.identity()) {
                    self.note_stale(&other, now); // workers are decided about before pools
                    self.agenda.mark(Subject::Pool(other));
                }
            }
        }
        if old.is_some_and(|o| o.is_flagged(names::FORCE_DELETE) != pool.is_flagged(names::FORCE_DELETE)) {
            self.reindex_pool(&key, now);
        }
        self.agenda.mark_pool(&key);
    }

    /// Marks and reindexes every worker of a pool: its spec changed.
    pub(in crate::core) fn reindex_pool(&mut self, key: &ObjectKey, now: Now) {
        let Some(p) = self.pools.get(key) else { return };
        let workers: Vec<ObjectKey> =
            p.members.existing().iter().map(|o| key.sibling(names::worker(&key.name, *o))).collect();
        for w in workers {
            self.reindex_worker(&w, now);
            self.reindex_due(&w);
            self.agenda.mark_worker(&w);
            let running = self.workers.get(&w).and_then(WorkerEntry::named).cloned();
            if let Some(d) = running {
                self.agenda.mark_dispatch(&key.sibling(d.name));
            }
        }
    }

    pub(in crate::core) fn lost_pool(&mut self, key: &ObjectKey, version: Option<u64>) {
        let Some(entry) = self.pools.get_mut(key) else { return };
        let Some(old) = entry.obj().filter(|o| version.is_none_or(|v| o.version() <= v)).cloned() else {
            return;
        };
        entry.lost();
        let (workers, waiting) = (entry.members.existing().clone(), entry.queue.waiting().clone());
        let gated = entry.due_rests.take_waiting();
        for c in &old.spec.credentials {
            self.leave_credential(key, &c.identity());
        }
        for w in gated {
            self.agenda.mark(Subject::Worker(w));
        }
        for o in workers {
            self.agenda.mark_worker(&key.sibling(names::worker(&key.name, o)));
        }
        for (_, name) in waiting {
            self.agenda.mark_dispatch(&key.sibling(name));
        }
    }

    /// A pool no longer names a credential: the rest that the pool stored no longer holds for the others.
    fn leave_credential(&mut self, pool: &ObjectKey, identity: &str) {
        for other in self.credentials.leave(pool, identity) {
            self.agenda.mark(Subject::Pool(other));
        }
    }
}
