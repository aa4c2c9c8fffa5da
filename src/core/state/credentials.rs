//! Credentials of a namespace: pools that name the same secret share its rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::core::object::ObjectKey;

/// A namespace, and the identity of a credential in it.
type CredentialKey = (Arc<str>, String);

/// What is known of one credential.
#[derive(Default)]
pub(in crate::core) struct CredentialEntry {
    /// Open attempts on it: when they were assigned, and to which worker.
    running: BTreeSet<(Timestamp, ObjectKey)>,
    /// Pools that name it.
    pools: BTreeSet<ObjectKey>,
    /// Pools that have work and idle workers on it, and wait for an attempt on it to end.
    blocked: BTreeSet<ObjectKey>,
    /// When it may be probed again after the newest probe of which this controller knows.
    next_probe: Option<Timestamp>,
}

impl CredentialEntry {
    /// Pools that name it.
    pub fn pools(&self) -> &BTreeSet<ObjectKey> {
        &self.pools
    }

    /// How many attempts are open on it.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// When it may be probed again, as far as this controller knows.
    pub const fn next_probe(&self) -> Option<Timestamp> {
        self.next_probe
    }

    /// Open attempts that were assigned at or after this time, oldest first: when, and to which worker.
    pub fn assigned_since(&self, t: Timestamp) -> impl Iterator<Item = &(Timestamp, ObjectKey)> {
        self.running.range((t, ObjectKey::new("", ""))..)
    }
}

/// Every credential that a pool names or that an attempt runs on.
#[derive(Default)]
pub(in crate::core) struct Credentials(BTreeMap<CredentialKey, CredentialEntry>);

impl Credentials {
    /// One credential, by its identity.
    pub fn get(&self, namespace: &Arc<str>, identity: &str) -> Option<&CredentialEntry> {
        self.0.get(&(namespace.clone(), identity.to_owned()))
    }

    /// The pools that name a credential. None if no pool does.
    pub fn pools_of(&self, namespace: &Arc<str>, identity: &str) -> BTreeSet<ObjectKey> {
        self.get(namespace, identity).map(|c| c.pools.clone()).unwrap_or_default()
    }

    /// A pool names a credential.
    pub fn join(&mut self, pool: &ObjectKey, identity: String) {
        self.0.entry((pool.namespace.clone(), identity)).or_default().pools.insert(pool.clone());
    }

    /// A pool no longer names a credential. Returns the pools that still do.
    pub fn leave(&mut self, pool: &ObjectKey, identity: &str) -> BTreeSet<ObjectKey> {
        let key = (pool.namespace.clone(), identity.to_owned());
        let Some(c) = self.0.get_mut(&key) else { return BTreeSet::new() };
        c.pools.remove(pool);
        c.blocked.remove(pool);
        let others = c.pools.clone();
        self.forget_unused(&key);
        others
    }

    /// A pool waits for an attempt on a credential to end.
    pub fn block(&mut self, pool: &ObjectKey, identity: &str) {
        let key = (pool.namespace.clone(), identity.to_owned());
        self.0.entry(key).or_default().blocked.insert(pool.clone());
    }

    /// An attempt runs on a credential.
    pub fn begin(&mut self, worker: &ObjectKey, identity: &str, assigned_at: Timestamp) {
        let key = (worker.namespace.clone(), identity.to_owned());
        self.0.entry(key).or_default().running.insert((assigned_at, worker.clone()));
    }

    /// An attempt on a credential ended. Returns the pools that waited for it: they may share nothing else with this one.
    pub fn end(&mut self, worker: &ObjectKey, identity: &str, assigned_at: Timestamp) -> BTreeSet<ObjectKey> {
        let key = (worker.namespace.clone(), identity.to_owned());
        let Some(c) = self.0.get_mut(&key) else { return BTreeSet::new() };
        c.running.remove(&(assigned_at, worker.clone()));
        let blocked = std::mem::take(&mut c.blocked);
        self.forget_unused(&key);
        blocked
    }

    /// An attempt probes a credential. No other probe follows before then, however that one ends.
    pub fn probed(&mut self, namespace: &Arc<str>, identity: &str, next: Timestamp) {
        if let Some(c) = self.0.get_mut(&(namespace.clone(), identity.to_owned())) {
            c.next_probe = c.next_probe.max(Some(next));
        }
    }

    /// Forgets a credential that no pool names and no attempt runs on any more.
    fn forget_unused(&mut self, key: &CredentialKey) {
        if self.0.get(key).is_some_and(|c| c.pools.is_empty() && c.running.is_empty() && c.blocked.is_empty()) {
            self.0.remove(key);
        }
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.0.values().map(|c| 1 + c.running.len() + c.pools.len() + c.blocked.len()).sum()
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
