//! The workers of a pool: those that exist, those whose creation is under way, and which ordinals are free.

use std::collections::{BTreeMap, BTreeSet};

use super::tally::{Ordinals, Tally};
use crate::api::worker::WorkerSpec;

/// See the module's page.
#[derive(Default)]
pub(in crate::core) struct Members {
    existing: BTreeSet<i32>,
    /// Those of them that are being deleted.
    deleting: BTreeSet<i32>,
    creating: BTreeMap<i32, WorkerSpec>,
    /// Counts over the workers that exist.
    tally: Tally,
    /// Counts over the workers whose creation is under way.
    coming: Tally,
    ordinals: Ordinals,
}

impl Members {
    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        let workers = [self.existing.len(), self.deleting.len(), self.creating.len()].into_iter().sum::<usize>();
        workers + self.tally.entries() + self.coming.entries() + self.ordinals.len()
    }

    /// A worker is seen for the first time. No ordinal: its name is not one that this pool gives.
    pub fn appeared(&mut self, ordinal: Option<i32>, spec: &WorkerSpec) {
        self.existing.extend(ordinal);
        self.tally.add(spec);
    }

    /// The spec of a worker changed.
    pub fn changed(&mut self, old: &WorkerSpec, new: &WorkerSpec) {
        self.tally.remove(old);
        self.tally.add(new);
    }

    /// A worker is being deleted.
    pub fn leaves(&mut self, ordinal: i32) {
        self.deleting.insert(ordinal);
    }

    /// A worker is gone.
    pub fn gone(&mut self, ordinal: Option<i32>, spec: &WorkerSpec) {
        self.tally.remove(spec);
        if let Some(o) = ordinal {
            self.existing.remove(&o);
            self.deleting.remove(&o);
            self.ordinals.give_back(o);
        }
    }

    /// The creation of a worker begins.
    pub fn begin_creation(&mut self, ordinal: i32, spec: WorkerSpec) {
        self.coming.add(&spec);
        self.creating.insert(ordinal, spec);
    }

    /// The creation of a worker ended. Returns its spec; None: no creation was under way.
    pub fn end_creation(&mut self, ordinal: i32) -> Option<WorkerSpec> {
        let spec = self.creating.remove(&ordinal)?;
        self.coming.remove(&spec);
        self.ordinals.give_back(ordinal);
        Some(spec)
    }

    /// Ordinals of the workers that exist.
    pub fn existing(&self) -> &BTreeSet<i32> {
        &self.existing
    }

    /// Workers that exist.
    pub fn len(&self) -> usize {
        self.existing.len()
    }

    /// True if no worker exists and none is being created.
    pub fn is_empty(&self) -> bool {
        self.existing.is_empty() && self.creating.is_empty()
    }

    /// Workers whose creation is under way.
    pub fn creating(&self) -> usize {
        self.creating.len()
    }

    /// The lowest ordinal whose creation is under way.
    pub fn first_creating(&self) -> Option<i32> {
        self.creating.keys().next().copied()
    }

    /// Workers that are being deleted.
    pub fn deleting(&self) -> usize {
        self.deleting.len()
    }

    /// Ordinals of the workers that are being deleted.
    pub fn going(&self) -> &BTreeSet<i32> {
        &self.deleting
    }

    /// Workers that exist and are not being deleted.
    pub fn staying(&self) -> usize {
        self.existing.len() - self.deleting.len()
    }

    /// Workers that exist and were made from the template with this hash.
    pub fn with_hash(&self, hash: &str) -> usize {
        self.tally.with_hash(hash)
    }

    /// Workers that have the credential of this name, with those that are being created.
    pub fn with_credential(&self, name: &str) -> usize {
        self.tally.with_credential(name) + self.coming.with_credential(name)
    }

    /// Workers that have the credential of this name and are being created.
    pub fn coming_with_credential(&self, name: &str) -> usize {
        self.coming.with_credential(name)
    }

    /// Workers on the host of this name, with those that are being created.
    pub fn on_host(&self, name: &str) -> usize {
        self.tally.on_host(name) + self.coming.on_host(name)
    }

    /// The lowest ordinal that is free. Adds to `visits` how many were looked at.
    pub fn lowest_free(&mut self, visits: &mut u64) -> i32 {
        let taken = |o: i32| self.existing.contains(&o) || self.creating.contains_key(&o);
        self.ordinals.lowest(taken, visits)
    }
}
