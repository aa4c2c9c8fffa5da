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
    /// Debts whose worker is being created, by its ordinal.
    paying: BTreeMap<i32, Option<String>>,
    /// Debts that are owed again because that creation failed, by its ordinal. The answer may have been lost, and the worker
    /// made. As many of them are in `owed`, at most.
    unpaid: BTreeMap<i32, Option<String>>,
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

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        let queues = [&self.owed, &self.ahead, &self.early, &self.behind].into_iter().map(VecDeque::len);
        let ordinals = [self.going.len(), self.leaving.len(), self.paying.len(), self.unpaid.len()];
        queues.chain(ordinals).sum()
    }

    /// How many workers the pool owes.
    pub fn owed(&self) -> usize {
        self.owed.len()
    }

    /// The credential of the worker that is owed first. `None`: none is owed.
    pub fn first_owed(&self) -> Option<&Option<String>> {
        self.owed.front()
    }

    /// The worker that is owed first is being created, with this ordinal.
    pub fn repay(&mut self, ordinal: i32) {
        let Some(credential) = self.owed.pop_front() else { return };
        let tried = self.unpaid.iter().find(|(o, c)| **o == ordinal || **c == credential).map(|(o, _)| *o);
        tried.and_then(|o| self.unpaid.remove(&o));
        self.paying.insert(ordinal, credential);
    }

    /// A worker exists, or its creation ended well.
    pub fn created(&mut self, ordinal: i32) {
        if self.paying.remove(&ordinal).is_none()
            && let Some(credential) = self.unpaid.remove(&ordinal)
            && let Some(i) = self.owed.iter().position(|c| *c == credential)
        {
            self.owed.remove(i);
        }
    }

    /// The creation of a worker failed. If it was owed, it still is.
    pub fn not_created(&mut self, ordinal: i32) {
        if let Some(credential) = self.paying.remove(&ordinal) {
            self.owed.push_front(credential.clone());
            self.unpaid.insert(ordinal, credential);
        }
    }

    /// The pool owes nothing any more.
    pub fn owe_nothing(&mut self) {
        self.owed.clear();
        self.paying.clear();
        self.unpaid.clear();
    }

    /// The pool is full, so another controller created what this one owes. What is owed ahead is not ahead then.
    pub fn paid_by_another(&mut self) {
        self.ahead.truncate(self.ahead.len().saturating_sub(self.owed.len()));
        self.owe_nothing();
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
        if self.owed.is_empty() {
            self.owe_nothing();
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
            r.repay(0);
            r.created(0);
            assert!(r.replaced_ahead(cred(gone).as_ref()));
        }
        made.sort();
        assert_eq!(made, [cred("a"), cred("a"), cred("b"), cred("b")]);
        assert_eq!((r.ahead(), r.owed()), (0, 0));
    }

    /// Of one that was owed ahead it is not known whether the other controller made it: it does not count as ahead.
    #[test]
    fn a_full_pool_owes_nothing() {
        let mut r = Replacements::default();
        r.owe_ahead(cred("a"));
        r.repay(5);
        r.created(5);
        r.owe_ahead(cred("b"));
        r.owe(cred("c"));
        assert_eq!((r.ahead(), r.owed()), (2, 2));
        r.paid_by_another();
        assert_eq!((r.ahead(), r.owed()), (0, 0));
    }

    #[test]
    fn a_worker_that_was_not_created_is_still_owed_until_it_is_seen() {
        let mut r = Replacements::default();
        r.owe(cred("a"));
        r.owe(cred("b"));
        r.repay(3);
        r.not_created(3);
        assert_eq!((r.owed(), r.first_owed()), (2, Some(&cred("a"))));
        r.created(3); // only the answer was lost
        assert_eq!((r.owed(), r.first_owed()), (1, Some(&cred("b"))));
        r.repay(4);
        r.created(4); // seen before the answer
        r.not_created(4);
        assert_eq!((r.owed(), r.unpaid.len()), (0, 0));
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
                    1 => {
                        r.repay(1);
                        r.not_created(1);
                    }
                    2 => if r.replaced_ahead(c.as_ref()) { created -= 1; },
                    3 => { created -= usize::from(r.ahead() > 0); r.lost_one(); }
                    _ => r.owe_for(c),
                }
                prop_assert_eq!(r.ahead(), created);
                prop_assert_eq!(r.early.len(), r.behind.len());
                prop_assert!(r.unpaid.len() <= r.owed());
            }
            r.end();
            prop_assert_eq!((r.ahead(), r.early.len()), (0, 0));
        }
    }
}
