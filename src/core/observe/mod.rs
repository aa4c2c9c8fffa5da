//! Takes in inputs: updates the caches and their indexes, and marks what depends on them.

mod answers;
mod dispatches;
#[cfg(test)]
mod forgotten;
mod pools;
mod runtime;
mod workers;

use std::collections::BTreeSet;

use crate::core::{Core, Input, Now, Object, ObjectKey, Seen};

impl Core {
    /// Takes in one input. What follows from it is decided by [`Core::decide`].
    pub fn apply(&mut self, input: Input, now: Now) {
        match input {
            // A program that starts finds what changed before, maybe sooner than its first list of pools.
            early @ Input::CredentialChanged { .. } if !self.listed.pools => self.early_values.push(early),
            Input::Pool(Seen::Present(p)) => self.saw_pool(p, now),
            Input::Pool(Seen::Gone(p)) => self.lost_pool(&ObjectKey::of(&*p), Some(p.version())),
            Input::Pool(Seen::Listed(keys)) => {
                self.listed.pools = true;
                let known: Vec<ObjectKey> =
                    self.pools.iter().filter(|(_, p)| p.obj().is_some()).map(|(k, _)| k.clone()).collect();
                for k in known.iter().filter(|k| !keys.contains(k)) {
                    self.lost_pool(k, None);
                }
                for early in std::mem::take(&mut self.early_values) {
                    self.apply(early, now);
                }
            }
            Input::Worker(Seen::Present(w)) => self.saw_worker(w, now),
            Input::Worker(Seen::Gone(w)) => self.lost_worker(&ObjectKey::of(&*w), Some(w.version())),
            Input::Worker(Seen::Listed(keys)) => {
                self.listed.workers = true;
                for k in missing(self.workers.iter().map(|(k, _)| k), &keys) {
                    self.lost_worker(&k, None);
                }
            }
            Input::Dispatch(Seen::Present(d)) => self.saw_dispatch(d, now),
            Input::Dispatch(Seen::Gone(d)) => self.lost_dispatch(&ObjectKey::of(&*d), Some(d.version())),
            Input::Dispatch(Seen::Listed(keys)) => {
                self.listed.dispatches = true;
                for k in missing(self.dispatches.keys(), &keys) {
                    self.lost_dispatch(&k, None);
                }
            }
            Input::Settled(subject, settled) => self.settled(subject, settled, now),
            Input::Runtime(fact) => self.runtime_fact(fact, now),
            Input::Lease(key, fact) => self.saw_lease(&key, fact, now),
            Input::CredentialChanged { namespace, identity, in_place } => {
                self.credential_changed(&namespace, &identity, in_place, now);
            }
            Input::Tick => {}
        }
    }
}

fn missing<'a>(known: impl Iterator<Item = &'a ObjectKey>, listed: &BTreeSet<ObjectKey>) -> Vec<ObjectKey> {
    known.filter(|k| !listed.contains(*k)).cloned().collect()
}
