//! Taking in events: the caches and their indexes.

mod answers;
mod dispatches;
#[cfg(test)]
mod forgotten;
mod pools;
mod runtime;
mod workers;

use std::collections::BTreeSet;

pub(super) use answers::{Attempted, TOLD_AFTER};

use crate::core::{Core, Event, Key, Now, Object, Seen};

impl Core {
    /// Takes in one event. What follows from it is decided by [`Core::decide`].
    pub fn apply(&mut self, event: Event, now: Now) {
        match event {
            Event::Pool(Seen::Present(p)) => self.saw_pool(p, now),
            Event::Pool(Seen::Gone(p)) => self.lost_pool(&Key::of(&*p), Some(p.version())),
            Event::Pool(Seen::Listed(keys)) => {
                self.synced.0 = true;
                let known: Vec<Key> =
                    self.pools.iter().filter(|(_, p)| p.obj.is_some()).map(|(k, _)| k.clone()).collect();
                for k in known.iter().filter(|k| !keys.contains(k)) {
                    self.lost_pool(k, None);
                }
            }
            Event::Worker(Seen::Present(w)) => self.saw_worker(w, now),
            Event::Worker(Seen::Gone(w)) => self.lost_worker(&Key::of(&*w), Some(w.version())),
            Event::Worker(Seen::Listed(keys)) => {
                self.synced.1 = true;
                for k in missing(self.workers.keys(), &keys) {
                    self.lost_worker(&k, None);
                }
            }
            Event::Dispatch(Seen::Present(d)) => self.saw_dispatch(d, now),
            Event::Dispatch(Seen::Gone(d)) => self.lost_dispatch(&Key::of(&*d), Some(d.version())),
            Event::Dispatch(Seen::Listed(keys)) => {
                self.synced.2 = true;
                for k in missing(self.dispatches.keys(), &keys) {
                    self.lost_dispatch(&k, None);
                }
            }
            Event::Settled(subject, settled) => self.settled(subject, settled, now),
            Event::Runtime(fact) => self.runtime_fact(fact, now),
            Event::Lease(key, fact) => self.saw_lease(&key, fact, now),
            Event::Tick => {}
        }
    }
}

fn missing<'a>(known: impl Iterator<Item = &'a Key>, listed: &BTreeSet<Key>) -> Vec<Key> {
    known.filter(|k| !listed.contains(*k)).cloned().collect()
}
