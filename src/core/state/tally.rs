//! Counts over the workers of a pool, so scaling needs no walk over them.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::worker::WorkerSpec;

/// How many workers have a property in common.
#[derive(Default)]
pub(in crate::core) struct Tally {
    by_hash: BTreeMap<String, usize>,
    by_credential: BTreeMap<String, usize>,
    by_host: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts one more worker.
    pub fn add(&mut self, spec: &WorkerSpec) {
        change(&mut self.by_hash, Some(&spec.template_hash), true);
        change(&mut self.by_credential, spec.credential.as_deref(), true);
        change(&mut self.by_host, spec.host.as_deref(), true);
    }

    /// Counts one worker less.
    pub fn remove(&mut self, spec: &WorkerSpec) {
        change(&mut self.by_hash, Some(&spec.template_hash), false);
        change(&mut self.by_credential, spec.credential.as_deref(), false);
        change(&mut self.by_host, spec.host.as_deref(), false);
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.by_hash.len() + self.by_credential.len() + self.by_host.len()
    }

    /// Workers made from the template with this hash.
    pub fn with_hash(&self, hash: &str) -> usize {
        self.by_hash.get(hash).copied().unwrap_or(0)
    }

    /// Workers that have the credential of this name.
    pub fn with_credential(&self, name: &str) -> usize {
        self.by_credential.get(name).copied().unwrap_or(0)
    }

    /// Workers on the host of this name.
    pub fn on_host(&self, name: &str) -> usize {
        self.by_host.get(name).copied().unwrap_or(0)
    }
}

fn change(counts: &mut BTreeMap<String, usize>, key: Option<&str>, more: bool) {
    let Some(key) = key else { return };
    match counts.get_mut(key) {
        Some(n) if more => *n += 1,
        Some(n) if *n > 1 => *n -= 1,
        Some(_) => drop(counts.remove(key)),
        None if more => drop(counts.insert(key.to_owned(), 1)),
        None => {}
    }
}

/// Which ordinal is the lowest that is free.
///
/// Each ordinal is looked at once after it was taken, however many there are.
#[derive(Default)]
pub(in crate::core) struct Ordinals {
    /// Ordinals below `next` that were given back. They may be taken again.
    back: BTreeSet<i32>,
    /// All below were taken once.
    next: i32,
}

impl Ordinals {
    /// This one may be free now.
    pub fn give_back(&mut self, ordinal: i32) {
        if ordinal < self.next {
            self.back.insert(ordinal);
        }
    }

    /// Ordinals that were given back.
    pub fn len(&self) -> usize {
        self.back.len()
    }

    /// The lowest that is not `taken`. Adds to `visits` how many were looked at.
    pub fn lowest(&mut self, taken: impl Fn(i32) -> bool, visits: &mut u64) -> i32 {
        while let Some(&ordinal) = self.back.first() {
            *visits += 1;
            if !taken(ordinal) {
                return ordinal;
            }
            self.back.pop_first();
        }
        while taken(self.next) {
            *visits += 1;
            self.next += 1;
        }
        self.next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is created and deleted, also by others: the answer is that of a walk from 0.
        #[test]
        fn the_lowest_is_what_a_walk_finds(steps in prop::collection::vec((any::<bool>(), 0i32..40, any::<bool>()), 0..200)) {
            let (mut ordinals, mut taken, mut visits) = (Ordinals::default(), BTreeSet::new(), 0);
            for (comes, ordinal, asked) in steps {
                if comes {
                    taken.insert(ordinal);
                } else if taken.remove(&ordinal) {
                    ordinals.give_back(ordinal);
                }
                if asked {
                    let walk = (0..i32::MAX).find(|o| !taken.contains(o)).unwrap();
                    prop_assert_eq!(ordinals.lowest(|o| taken.contains(&o), &mut visits), walk);
                }
            }
        }
    }
}
