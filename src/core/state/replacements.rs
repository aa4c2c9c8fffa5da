//! Workers that are being replaced, and what the pool owes for them.

use std::collections::{BTreeSet, VecDeque};

/// See the module's page. A worker is named by its ordinal.
#[derive(Default)]
pub(in crate::core) struct Replacements {
    /// Workers that are removed to be replaced, until their names are free.
    going: BTreeSet<i32>,
    /// Those of them whose deletion is stored.
    leaving: BTreeSet<i32>,
    /// Credentials of the workers that are gone and not replaced yet. `None`: any, or none.
    owed: VecDeque<Option<String>>,
}

impl Replacements {
    /// A worker is to be replaced.
    pub fn begin(&mut self, ordinal: i32) {
        self.going.insert(ordinal);
    }

    /// A worker that was to be replaced stays.
    pub fn stays(&mut self, ordinal: i32) {
        self.going.remove(&ordinal);
    }

    /// A worker is being deleted.
    pub fn leaves(&mut self, ordinal: i32) {
        if self.going.contains(&ordinal) {
            self.leaving.insert(ordinal);
        }
    }

    /// A worker is gone. Returns true if it was to be replaced.
    pub fn gone(&mut self, ordinal: i32) -> bool {
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
}
