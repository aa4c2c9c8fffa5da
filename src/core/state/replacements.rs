//! Workers that are being replaced, what the pool owes for them, and which of them were replaced ahead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Why a worker is in [`Replacements`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Leaves {
    /// An update removes it.
    ForUpdate,
    /// It was to replace another worker, and did not start.
    Failed,
}

/// See the module's page. A worker is named by its ordinal.
#[derive(Default)]
pub(in crate::core) struct Replacements {
    /// Workers that are removed to be replaced, until their names are free.
    going: BTreeMap<i32, Leaves>,
    /// Those of them whose deletion is stored.
    leaving: BTreeSet<i32>,
    /// Credentials of the workers that the pool is to create. `None`: any, or none.
    owed: VecDeque<Option<String>>,
    /// Credentials of the workers whose replacement was owed before they were removed, and that are still there.
    ahead: VecDeque<Option<String>>,
    /// Credentials whose worker was replaced ahead, while another worker was removed in its place.
    early: VecDeque<Option<String>>,
    /// Credentials of the workers that were removed in place of those. As many as `early`.
    behind: VecDeque<Option<String>>,
}

impl Replacements {
    /// A worker is to be replaced.
    pub fn begin(&mut self, ordinal: i32, why: Leaves) {
        self.going.insert(ordinal, why);
    }

    /// A worker that was to be replaced stays.
    pub fn stays(&mut self, ordinal: i32) {
        self.going.remove(&ordinal);
    }

    /// A worker is being deleted.
    pub fn leaves(&mut self, ordinal: i32) {
        if self.going.contains_key(&ordinal) {
            self.leaving.insert(ordinal);
        }
    }

    /// A worker is gone. Returns why it was to be replaced, if it was.
    pub fn gone(&mut self, ordinal: i32) -> Option<Leaves> {
        self.leaving.remove(&ordinal);
        self.going.remove(&ordinal)
    }

    /// Workers that are being deleted to be replaced.
    pub fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// The pool owes a worker on this credential.
    pub fn owe(&mut self, credential: Option<String>) {
        self.owed.push_back(credential);
    }

    /// The pool owes a worker for one that is gone, on its credential. Or on another one, if its own was replaced ahead.
    pub fn owe_for(&mut self, credential: Option<String>) {
        let credential = self.settled(credential);
        self.owe(credential);
    }

    /// How many workers the pool owes.
    pub fn owed(&self) -> usize {
        self.owed.len()
    }

    /// The credential of the worker that is owed first. `None`: none is owed.
    pub fn first_owed(&self) -> Option<&Option<String>> {
        self.owed.front()
    }

    /// A worker that was owed is being created.
    pub fn repay(&mut self) {
        self.owed.pop_front();
    }

    /// The pool owes nothing any more.
    pub fn owe_nothing(&mut self) {
        self.owed.clear();
    }

    /// The pool owes a worker for one on this credential that is still there.
    pub fn owe_ahead(&mut self, credential: Option<String>) {
        self.ahead.push_back(credential.clone());
        self.owe_for(credential);
    }

    /// Workers that the pool has, or owes, in addition to its size: so many of the others are removed without being replaced.
    pub fn ahead(&self) -> usize {
        self.ahead.len()
    }

    /// A worker is gone for which another one was created ahead. False: none was.
    pub fn replaced_ahead(&mut self, credential: Option<&String>) -> bool {
        if let Some(i) = self.ahead.iter().position(|c| c.as_ref() == credential) {
            self.ahead.remove(i);
            return true;
        }
        let Some(other) = self.ahead.pop_front() else { return false };
        self.early.push_back(other);
        self.behind.push_back(credential.cloned());
        true
    }

    /// A worker is gone, though the update did not remove it: one less is ahead, whichever it was.
    pub fn lost_one(&mut self) {
        self.ahead.pop_front();
    }

    /// No worker is left to be replaced. What is owed ahead is no longer owed.
    pub fn end(&mut self) {
        for _ in 0..self.ahead.len() {
            self.owed.pop_back();
        }
        self.ahead.clear();
        self.early.clear();
        self.behind.clear();
    }

    /// The credential on which a worker is replaced that has this one.
    fn settled(&mut self, credential: Option<String>) -> Option<String> {
        match self.early.iter().position(|c| *c == credential) {
            None => credential,
            Some(i) => {
                self.early.remove(i);
                self.behind.pop_front().flatten()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cred(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    /// Of two workers on `a` and two on `b`, the one for which another was created ahead is busy: a worker on `b` goes first.
    #[test]
    fn each_credential_ends_with_as_many_workers_as_it_had() {
        let mut r = Replacements::default();
        let mut made = Vec::new();
        for (ahead, gone) in [("a", "b"), ("b", "b"), ("a", "a"), ("a", "a")] {
            r.owe_ahead(cred(ahead));
            made.extend(r.first_owed().cloned());
            r.repay();
            assert!(r.replaced_ahead(cred(gone).as_ref()));
        }
        made.sort();
        assert_eq!(made, [cred("a"), cred("a"), cred("b"), cred("b")]);
        assert_eq!((r.ahead(), r.owed()), (0, 0));
    }

    proptest! {
        /// Whatever happens: no more is ahead than was created ahead, and the end leaves nothing.
        #[test]
        fn what_is_ahead_is_bounded(steps in prop::collection::vec((0u8..5, 0u8..3), 0..60)) {
            let mut r = Replacements::default();
            let mut created = 0;
            for (step, c) in steps {
                let c = cred(&c.to_string());
                match step {
                    0 => { r.owe_ahead(c); created += 1; }
                    1 => r.repay(),
                    2 => if r.replaced_ahead(c.as_ref()) { created -= 1; },
                    3 => { created -= usize::from(r.ahead() > 0); r.lost_one(); }
                    _ => r.owe_for(c),
                }
                prop_assert_eq!(r.ahead(), created);
                prop_assert_eq!(r.early.len(), r.behind.len());
            }
            r.end();
            prop_assert_eq!((r.ahead(), r.early.len()), (0, 0));
        }
    }
}
