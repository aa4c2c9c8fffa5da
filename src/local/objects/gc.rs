//! Garbage collection: an object whose owners are all gone is deleted too (background deletion).
//!
//! It is part of the commit that deletes the owner, or that names an owner which does not exist. A cluster does it some time
//! later; no client can rely on seeing the dependents in between.
use serde_json::Value;

use crate::local::objects::api::Api;
use crate::local::record::Change;
use crate::local::schema::meta;
use crate::local::store::object::ObjectKey;
use crate::local::store::transaction::Transaction;

impl Api {
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
        let text = |key: &str| owner[key].as_str().unwrap_or_default();
        let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        let Some(kind) = self.kinds.of_reference(group, text("kind")) else { return true };
        if kind.namespaced && dependent.namespace.is_empty() {
            return true;
        }
        let namespace = if kind.namespaced { dependent.namespace.clone() } else { String::new() };
        let key = ObjectKey { store: kind.store, namespace, name: text("name").into() };
        transaction.get(&key).is_some_and(|s| meta::text(&s.object, "uid") == text("uid"))
    }
}
