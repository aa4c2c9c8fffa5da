//! The changes of one request, before they are committed.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::Value;

use crate::local::record::{Change, Record};
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;
use crate::local::store::committed::{Committed, lock};
use crate::local::store::log::{Batch, WatchEvent};
use crate::local::store::object::{ObjectKey, Stored};
use crate::local::store::writer::Pending;

/// The changes of one request. It reads its own changes, below them those that are about to be committed, and below them
/// the committed objects.
///
/// Only one may exist at a time: each change takes the revision after the last one.
pub(crate) struct Transaction<'a> {
    committed: &'a Mutex<Committed>,
    pending: &'a Pending,
    /// The objects that it has changed. `None`: deleted.
    changed: BTreeMap<ObjectKey, Option<Arc<Stored>>>,
    batch: Batch,
    revision: u64,
}

/// A new version of an object.
pub(crate) struct Version {
    pub object: Value,
    /// [`Stored::unsettled`].
    pub unsettled: bool,
}

impl From<Value> for Version {
    fn from(object: Value) -> Self {
        Self { object, unsettled: false }
    }
}

impl<'a> Transaction<'a> {
    pub fn new(committed: &'a Mutex<Committed>, pending: &'a Pending) -> Self {
        let revision = pending.revision().unwrap_or_else(|| lock(committed).revision());
        Self { committed, pending, changed: BTreeMap::new(), batch: Batch::default(), revision }
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Stored>> {
        match self.changed.get(key) {
            Some(changed) => changed.clone(),
            None => self.pending.newest(key, || lock(self.committed).get(key)),
        }
    }

    /// The objects that may name an owner with that uid: all that do, and perhaps some that no longer do.
    pub fn dependents(&self, uid: &str) -> BTreeSet<ObjectKey> {
        let mut keys = lock(self.committed).dependents(uid);
        keys.append(&mut self.pending.dependents(uid));
        let names = |s: &Arc<Stored>| meta::owners(&s.object).iter().any(|o| o["uid"].as_str() == Some(uid));
        keys.extend(self.changed.iter().filter(|(_, s)| s.as_ref().is_some_and(names)).map(|(key, _)| key.clone()));
        keys
    }

    /// The objects in a namespace.
    pub fn in_namespace(&self, namespace: &str) -> BTreeSet<ObjectKey> {
        let mut keys = lock(self.committed).in_namespace(namespace);
        let more = self.pending.keys().chain(self.changed.keys()).filter(|key| key.namespace == namespace);
        keys.extend(more.cloned());
        keys.retain(|key| self.get(key).is_some());
        keys
    }

    /// Changes one object: gives the version the next revision and puts it in place. For a deletion, `version` is the last
    /// version.
    pub fn change(
        &mut self,
        kind: &Kind,
        key: ObjectKey,
        change: Change,
        version: impl Into<Version>,
        before: Option<Arc<Stored>>,
        time: Timestamp,
    ) -> Arc<Stored> {
        self.revision += 1;
        let Version { mut object, unsettled } = version.into();
        meta::of(&mut object).insert("resourceVersion".into(), self.revision.to_string().into());
        let now = Arc::new(Stored { unsettled, ..Stored::new(self.revision, object) });
        self.batch.records.push(Record {
            resource_version: self.revision,
            time,
            change,
            resource: kind.resource(),
            namespace: kind.namespaced.then(|| key.namespace.clone()),
            name: key.name.clone(),
            uid: meta::text(&now.object, "uid").into(),
            object: Arc::clone(&now.object),
            unsettled,
        });
        let event = WatchEvent { change, namespace: key.namespace.clone(), now: Arc::clone(&now), before };
        self.changed.insert(key.clone(), (change != Change::Deleted).then(|| Arc::clone(&now)));
        self.batch.events.push((key, event));
        now
    }

    /// The changes, to be committed.
    pub fn into_batch(self) -> Batch {
        self.batch
    }
}
