//! Rests of credentials that are decided and not yet written to the pool's status.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::pool::CredentialRest;
use crate::core::object::ObjectKey;

/// See the module's page.
#[derive(Default)]
pub(in crate::core) struct DueRests {
    /// By the identity of the credential.
    due: BTreeMap<String, CredentialRest>,
    /// Workers that are freed only once a credential's rest is written.
    waiting: BTreeSet<ObjectKey>,
}

impl DueRests {
    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.due.len() + self.waiting.len()
    }

    /// A rest is to be written.
    pub fn insert(&mut self, identity: &str, rest: CredentialRest) {
        self.due.insert(identity.to_owned(), rest);
    }

    /// The rest of a credential that is to be written.
    pub fn get(&self, identity: &str) -> Option<&CredentialRest> {
        self.due.get(identity)
    }

    /// All rests that are to be written, by the identity of the credential.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &CredentialRest)> {
        self.due.iter()
    }

    /// True if nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Forgets what is to be written: it is written, or was computed from a status that is no longer stored.
    pub fn clear(&mut self) {
        self.due.clear();
    }

    /// A worker is freed only once the rest of its credential is written.
    pub fn wait(&mut self, worker: ObjectKey) {
        self.waiting.insert(worker);
    }

    /// The workers that wait.
    pub fn waiting(&self) -> &BTreeSet<ObjectKey> {
        &self.waiting
    }

    /// The workers that waited. None waits any more.
    pub fn take_waiting(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.waiting)
    }
}
