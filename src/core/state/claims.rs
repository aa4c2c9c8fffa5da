//! Which worker has which dispatch, from both sides.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use crate::core::object::ObjectKey;

/// Reservations and open attempts, by uid.
#[derive(Default)]
pub(in crate::core) struct Claims {
    /// Workers that name a dispatch, by its uid.
    named: IndexMap<String, BTreeSet<ObjectKey>>,
    /// Dispatches for which a reservation is being written: uid, and attempt.
    reserving: BTreeMap<String, i32>,
    /// Dispatches with an open attempt, by the uid of its worker.
    open_on: IndexMap<String, BTreeSet<ObjectKey>>,
    /// Dispatches that wait after a Lost attempt, by the uid of its worker.
    lost_on: IndexMap<String, BTreeSet<ObjectKey>>,
}

impl Claims {
    /// A worker names a dispatch.
    pub fn name(&mut self, dispatch_uid: &str, worker: &ObjectKey) {
        insert(&mut self.named, dispatch_uid, worker);
    }

    /// A worker no longer names a dispatch.
    pub fn unname(&mut self, dispatch_uid: &str, worker: &ObjectKey) {
        remove(&mut self.named, dispatch_uid, worker);
    }

    /// The workers that name a dispatch.
    pub fn namers(&self, dispatch_uid: &str) -> impl Iterator<Item = &ObjectKey> {
        self.named.get(dispatch_uid).into_iter().flatten()
    }

    /// True if a worker names the dispatch.
    pub fn is_named(&self, dispatch_uid: &str) -> bool {
        self.named.contains_key(dispatch_uid)
    }

    /// A reservation for an attempt is being written.
    pub fn reserve(&mut self, dispatch_uid: &str, attempt: i32) {
        self.reserving.insert(dispatch_uid.to_owned(), attempt);
    }

    /// The write of a reservation ended.
    pub fn reserved(&mut self, dispatch_uid: &str) {
        self.reserving.remove(dispatch_uid);
    }

    /// True while a reservation for this attempt is being written.
    pub fn is_reserving(&self, dispatch_uid: &str, attempt: i32) -> bool {
        self.reserving.get(dispatch_uid).is_some_and(|n| *n == attempt)
    }

    /// A dispatch opened an attempt on a worker.
    pub fn open(&mut self, worker_uid: &str, dispatch: &ObjectKey) {
        insert(&mut self.open_on, worker_uid, dispatch);
    }

    /// A dispatch closed its attempt on a worker.
    pub fn close(&mut self, worker_uid: &str, dispatch: &ObjectKey) {
        remove(&mut self.open_on, worker_uid, dispatch);
    }

    /// Dispatches with an open attempt on a worker.
    pub fn open_on(&self, worker_uid: &str) -> impl Iterator<Item = &ObjectKey> {
        self.open_on.get(worker_uid).into_iter().flatten()
    }

    /// A dispatch waits, and its last attempt was Lost on a worker.
    pub fn lose(&mut self, worker_uid: &str, dispatch: &ObjectKey) {
        insert(&mut self.lost_on, worker_uid, dispatch);
    }

    /// A dispatch no longer waits after a Lost attempt on a worker.
    pub fn found(&mut self, worker_uid: &str, dispatch: &ObjectKey) {
        remove(&mut self.lost_on, worker_uid, dispatch);
    }

    /// Dispatches that wait after a Lost attempt on a worker.
    pub fn lost_on(&self, worker_uid: &str) -> impl Iterator<Item = &ObjectKey> {
        self.lost_on.get(worker_uid).into_iter().flatten()
    }

    /// Every dispatch that waits after a Lost attempt. Only a listing may walk them.
    pub fn all_lost(&self) -> impl Iterator<Item = &ObjectKey> {
        self.lost_on.values().flatten()
    }

    /// Dispatches with an open attempt on a worker that is not one of the `known` uids.
    pub fn open_on_others(&self, known: &BTreeSet<&str>) -> impl Iterator<Item = &ObjectKey> {
        self.open_on.iter().filter(|(uid, _)| !known.contains(uid.as_str())).flat_map(|(_, open)| open)
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        let tables = [&self.named, &self.open_on, &self.lost_on].into_iter().flat_map(IndexMap::values);
        self.reserving.len() + tables.map(BTreeSet::len).sum::<usize>()
    }
}

fn insert(map: &mut IndexMap<String, BTreeSet<ObjectKey>>, uid: &str, key: &ObjectKey) {
    match map.get_mut(uid) {
        Some(set) => drop(set.insert(key.clone())),
        None => drop(map.insert(uid.to_owned(), [key.clone()].into())),
    }
}

fn remove(map: &mut IndexMap<String, BTreeSet<ObjectKey>>, uid: &str, key: &ObjectKey) {
    if let Some(set) = map.get_mut(uid) {
        set.remove(key);
        if set.is_empty() {
            map.swap_remove(uid);
        }
    }
}
