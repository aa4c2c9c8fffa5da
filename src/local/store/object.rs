//! One version of an object, and where it is.
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

/// Where an object is. The order of keys is the order of lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectKey {
    /// [`Kind::store`](crate::local::schema::kind::Kind::store).
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
    /// Whether defaults were filled in after it was written, as a real server does when it reads an object. The next
    /// write then stores them and is an event, even if it changes nothing else.
    pub unsettled: bool,
    pub(crate) json: OnceLock<Bytes>,
}

impl Stored {
    pub fn new(revision: u64, object: Value) -> Self {
        Self { revision, object: Arc::new(object), unsettled: false, json: OnceLock::new() }
    }

    /// The object's JSON. It is made once, at the first read.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| to_json(&self.object)).clone()
    }
}

/// Prints a JSON value.
pub(crate) fn to_json(value: &Value) -> Bytes {
    // Printing fails only on maps with keys that are no strings, which a `Value` can't hold.
    serde_json::to_vec(value).unwrap_or_default().into()
}
