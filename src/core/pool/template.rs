//! Whether a worker is what its pool would create now.

use crate::api::Worker;
use crate::core::state::workers::WorkerEntry;
use crate::core::{Core, ObjectKey};

impl Core {
    /// True if a worker was created from another template than its pool's.
    pub(in crate::core) fn is_outdated(&self, e: &WorkerEntry) -> bool {
        self.pools.get(e.pool()).is_some_and(|p| p.obj().is_some() && !p.templates.matches(e.obj()))
    }

    /// Identity of a Worker's credential. `Err`: its pool has no such credential, or gave it another source since.
    pub(in crate::core) fn identity_of(&self, worker: &Worker) -> Result<Option<String>, ()> {
        let pool = self.pools.get(&ObjectKey::of(worker).sibling(worker.spec.pool.as_str()));
        let known = pool.and_then(|p| Some((p.obj()?, &p.templates)));
        match (&worker.spec.credential, known) {
            (_, Some((_, templates))) if !templates.credential_matches(worker) => Err(()),
            (None, _) => Ok(None),
            (Some(_), None) => Err(()),
            (Some(name), Some((obj, _))) => {
                obj.spec.credentials.iter().find(|c| c.name == *name).map(|c| Some(c.identity())).ok_or(())
            }
        }
    }
}
