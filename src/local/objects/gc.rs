//! Garbage collection: an object whose owners are all gone is deleted too, or before them, or is left without an owner.
//!
//! It is part of the commit that deletes the owner, or that names an owner which does not exist. A cluster does it some time
//! later; no client can rely on seeing the dependents in between.
use std::sync::Arc;

use serde_json::Value;

use crate::local::objects::api::Api;
use crate::local::objects::verbs::Deleted;
use crate::local::record::Change;
use crate::local::request::options::Propagation;
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;
use crate::local::store::object::{ObjectKey, Stored};
use crate::local::store::transaction::Transaction;

impl Api {
    /// Deletes an object, and what it owns in the way that the client asks for. `None` if it does not exist.
    pub(crate) fn remove_with(
        &self,
        transaction: &mut Transaction<'_>,
        kind: &Kind,
        key: &ObjectKey,
        propagation: Propagation,
    ) -> Option<Deleted> {
        let stored = transaction.get(key)?;
        let uid = meta::text(&stored.object, "uid").to_owned();
        match propagation {
            Propagation::Background => {}
            Propagation::Orphan => self.orphan(transaction, &uid),
            Propagation::Foreground => {
                let blocking = blocking(transaction, &uid);
                if !blocking.is_empty() {
                    let held = self.hold(transaction, kind, key, stored);
                    for key in blocking {
                        let is_deleting = |dependent: Arc<Stored>| meta::is_deleting(&dependent.object);
                        if !transaction.get(&key).is_none_or(is_deleting) {
                            self.remove_with(transaction, self.kinds.stored(key.store), &key, propagation);
                        }
                    }
                    return Some(Deleted::Pending(held));
                }
            }
        }
        self.remove(transaction, kind, key)
    }

    /// Marks an object as being deleted once its dependents are gone.
    fn hold(
        &self,
        transaction: &mut Transaction<'_>,
        kind: &Kind,
        key: &ObjectKey,
        stored: Arc<Stored>,
    ) -> Arc<Stored> {
        let mut object = (*self.marked(&stored).object).clone();
        let mut finalizers: Vec<Value> = meta::list(&object, "finalizers").into_iter().map(Value::from).collect();
        if finalizers.iter().all(|finalizer| finalizer != FOREGROUND) {
            finalizers.push(FOREGROUND.into());
        }
        meta::of(&mut object).insert("finalizers".into(), finalizers.into());
        transaction.change(kind, key.clone(), Change::Modified, object, Some(stored), self.clock.now())
    }

    /// Goes on with the deletion of the owners of an object that no longer blocks it.
    pub(crate) fn release_owners(&self, transaction: &mut Transaction<'_>, object: &Value) {
        for owner in meta::owners(object) {
            let uid = owner["uid"].as_str().unwrap_or_default();
            let Some((kind, key)) = self.owner(meta::text(object, "namespace"), owner) else { continue };
            let Some(stored) = transaction.get(&key).filter(|s| meta::text(&s.object, "uid") == uid) else { continue };
            let finalizers = meta::list(&stored.object, "finalizers");
            if !meta::is_deleting(&stored.object)
                || !finalizers.contains(&FOREGROUND)
                || !blocking(transaction, uid).is_empty()
            {
                continue;
            }
            let left: Vec<Value> = finalizers.into_iter().filter(|f| *f != FOREGROUND).map(Value::from).collect();
            if left.is_empty() {
                self.erase(transaction, kind, &key, stored);
            } else {
                let mut object = (*stored.object).clone();
                meta::of(&mut object).insert("finalizers".into(), left.into());
                transaction.change(kind, key, Change::Modified, object, Some(stored), self.clock.now());
            }
        }
    }

    /// Takes an owner off its dependents.
    fn orphan(&self, transaction: &mut Transaction<'_>, uid: &str) {
        for key in transaction.dependents(uid) {
            let Some(stored) = transaction.get(&key) else { continue };
            let left: Vec<Value> = meta::owners(&stored.object).iter().filter(|o| o["uid"] != uid).cloned().collect();
            let mut object = (*stored.object).clone();
            if left.is_empty() {
                meta::of(&mut object).remove("ownerReferences");
            } else {
                meta::of(&mut object).insert("ownerReferences".into(), left.into());
            }
            let kind = self.kinds.stored(key.store);
            transaction.change(kind, key, Change::Modified, object, Some(stored), self.clock.now());
        }
    }

    /// Collects the dependents of a deleted object, and their dependents.
    pub(crate) fn collect_dependents(&self, transaction: &mut Transaction<'_>, uid: &str) {
        for key in transaction.dependents(uid) {
            self.collect(transaction, &key);
        }
    }

    /// Deletes an object if it has lost all its owners. If it has lost some, removes the references to them.
    pub(crate) fn collect(&self, transaction: &mut Transaction<'_>, key: &ObjectKey) {
        let Some(stored) = transaction.get(key) else { return };
        let owners = meta::owners(&stored.object);
        let (present, missing): (Vec<&Value>, Vec<&Value>) =
            owners.iter().partition(|owner| self.is_present(transaction, key, owner));
        if missing.is_empty() {
            return;
        }
        let kind = self.kinds.stored(key.store);
        if present.is_empty() {
            self.remove(transaction, kind, key);
        } else {
            let mut object = (*stored.object).clone();
            let present: Vec<Value> = present.into_iter().cloned().collect();
            meta::of(&mut object).insert("ownerReferences".into(), present.into());
            transaction.change(kind, key.clone(), Change::Modified, object, Some(stored), self.clock.now());
        }
    }

    /// Whether an owner exists. Owners of kinds that this server does not serve count as existing.
    fn is_present(&self, transaction: &Transaction<'_>, dependent: &ObjectKey, owner: &Value) -> bool {
        let Some((_, key)) = self.owner(&dependent.namespace, owner) else { return true };
        transaction.get(&key).is_some_and(|s| owner["uid"] == s.object["metadata"]["uid"])
    }

    /// The kind and the place of an owner, seen from a namespace. None: its kind is not served, or it cannot be an owner.
    fn owner(&self, namespace: &str, owner: &Value) -> Option<(&Kind, ObjectKey)> {
        let text = |key: &str| owner[key].as_str().unwrap_or_default();
        let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        let kind = self.kinds.of_reference(group, text("kind"))?;
        if kind.namespaced && namespace.is_empty() {
            return None;
        }
        let namespace = if kind.namespaced { namespace.to_owned() } else { String::new() };
        Some((self.kinds.stored(kind.store), ObjectKey { store: kind.store, namespace, name: text("name").into() }))
    }
}

/// The finalizer of an object that waits for its dependents.
const FOREGROUND: &str = "foregroundDeletion";

/// The objects that must be gone before their owner is.
fn blocking(transaction: &Transaction<'_>, uid: &str) -> Vec<ObjectKey> {
    let blocks = |key: &ObjectKey| {
        let block = |o: &Value| o["uid"] == uid && o["blockOwnerDeletion"] == true;
        transaction.get(key).is_some_and(|s| meta::owners(&s.object).iter().any(block))
    };
    transaction.dependents(uid).into_iter().filter(blocks).collect()
}
