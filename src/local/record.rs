//! Versions of objects, as this server records them.
use std::sync::Arc;

use jiff::Timestamp;

/// One version of one object, as it was written.
#[derive(Debug, Clone)]
pub struct Record {
    /// The number of the write. One counter numbers the writes of all objects.
    pub resource_version: u64,
    /// When it was written.
    pub time: Timestamp,
    /// What the write did.
    pub change: Change,
    /// The kind of the object.
    pub resource: Resource,
    /// `None` for kinds without namespaces.
    pub namespace: Option<String>,
    /// The name of the object.
    pub name: String,
    /// The uid of the object.
    pub uid: String,
    /// For [`Change::Deleted`] the last version, with the resourceVersion of the deletion.
    pub object: Arc<serde_json::Value>,
    /// Whether defaults were filled in after it was written. The next write of it is then an event in any case.
    pub unsettled: bool,
}

/// What a write did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Created it.
    Added,
    /// Changed it.
    Modified,
    /// Removed it.
    Deleted,
}

/// A kind's group and plural name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name, as in paths.
    pub plural: String,
}
