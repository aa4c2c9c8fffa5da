//! Where objects live: a trait, so that they may also be kept on disk, and the store in memory.
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

/// Where an object is. The order of keys is the order of lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// [`super::kinds::Kind::store`].
    pub store: u16,
    /// Empty for kinds without namespaces.
    pub namespace: String,
    pub name: String,
}

/// One version of an object. Never changes.
#[derive(Debug)]
pub(crate) struct Stored {
    pub revision: u64,
    pub object: Arc<Value>,
    /// Whether defaults were filled in after it was written, as a real server does when it reads an object. Then
    /// even a write that changes nothing else writes these, and is an event.
    pub unsettled: bool,
    pub(crate) json: OnceLock<Bytes>,
}

impl Stored {
    pub fn new(revision: u64, object: Value) -> Self {
        Self { revision, object: Arc::new(object), unsettled: false, json: OnceLock::new() }
    }

    /// The object's JSON, printed once however many read it.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| to_json(&self.object)).clone()
    }
}

/// Prints a JSON value.
pub(crate) fn to_json(value: &Value) -> Bytes {
    // Printing fails only on maps with keys that are no strings, which a `Value` can't hold.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// Keeps the newest version of each object, and the number of the last write.
pub(crate) trait Store: Send {
    fn get(&self, key: &Key) -> Option<Arc<Stored>>;
    /// The objects of one kind, in all namespaces or one, in order of their keys.
    fn list(&self, store: u16, namespace: Option<&str>) -> Vec<Arc<Stored>>;
    /// Puts an object in place, or removes it; the write has that number.
    fn write(&mut self, key: Key, object: Option<Arc<Stored>>, revision: u64);
    /// The number of the last write.
    fn revision(&self) -> u64;
}

/// Objects in memory.
pub(crate) struct MemoryStore {
    objects: BTreeMap<Key, Arc<Stored>>,
    revision: u64,
}

impl MemoryStore {
    /// Empty. Revisions start above 0, which means "any" in requests.
    pub fn new() -> Self {
        Self { objects: BTreeMap::new(), revision: 1 }
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.objects.get(key).cloned()
    }

    fn list(&self, store: u16, namespace: Option<&str>) -> Vec<Arc<Stored>> {
        let first = Key { store, namespace: namespace.unwrap_or_default().into(), name: String::new() };
        self.objects
            .range(first..)
            .take_while(|(key, _)| key.store == store && namespace.is_none_or(|ns| key.namespace == ns))
            .map(|(_, stored)| Arc::clone(stored))
            .collect()
    }

    fn write(&mut self, key: Key, object: Option<Arc<Stored>>, revision: u64) {
        self.revision = revision;
        match object {
            Some(object) => self.objects.insert(key, object),
            None => self.objects.remove(&key),
        };
    }

    fn revision(&self) -> u64 {
        self.revision
    }
}
