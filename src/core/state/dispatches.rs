//! Dispatches, and what is known of each.

use std::ops::Index;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::queue::Place;
use crate::api::Dispatch;
use crate::core::object::ObjectKey;

/// One Dispatch.
pub(in crate::core) struct DispatchEntry {
    pub obj: Arc<Dispatch>,
    pub pool: ObjectKey,
    pub place: Place,
    /// It stands in the queue of its pool, and can be assigned.
    pub queued: bool,
    /// It is Pending.
    pub waiting: bool,
    /// It waits for its first attempt and has a place under the queue's limit. It keeps the place if the limit is lowered.
    pub accepted: bool,
    /// Monotonic time at which `waiting` was first seen as it is now.
    pub since: Duration,
    /// When it finished, as it stands in the index of its pool.
    pub finished: Option<Timestamp>,
    /// Uid of the worker of its open attempt.
    pub open_on: Option<String>,
    /// The newest attempt whose worker was seen not to name it any more.
    pub released: i32,
    /// Uid of a worker that a live GET showed to be gone.
    pub worker_gone: Option<String>,
}

/// Every Dispatch, by its key.
#[derive(Default)]
pub(in crate::core) struct Dispatches(IndexMap<ObjectKey, DispatchEntry>);

impl Dispatches {
    /// One Dispatch.
    pub fn get(&self, key: &ObjectKey) -> Option<&DispatchEntry> {
        self.0.get(key)
    }

    /// One Dispatch, to change what is known of it.
    pub fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut DispatchEntry> {
        self.0.get_mut(key)
    }

    /// True if it exists.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.0.contains_key(key)
    }

    /// All keys. Only a listing may walk them.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.0.keys()
    }

    /// A Dispatch is seen for the first time.
    pub fn insert(&mut self, key: ObjectKey, entry: DispatchEntry) {
        self.0.insert(key, entry);
    }

    /// A Dispatch is gone.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<DispatchEntry> {
        self.0.swap_remove(key)
    }
}

impl Index<&ObjectKey> for Dispatches {
    type Output = DispatchEntry;

    fn index(&self, key: &ObjectKey) -> &DispatchEntry {
        &self.0[key]
    }
}
