//! Garbage collection: dependents of an owner that is gone go too (background deletion).
//!
//! It is done at once, in the write that deleted the owner or named one that is not there. A cluster does it some
//! time later; no client can rely on seeing the dependents in between.
use serde_json::Value;

use crate::local::objects::api::Api;
use crate::local::record::Change;
use crate::local::schema::meta;
use crate::local::store::committed::State;
use crate::local::store::object::Key;

impl Api {
    /// Collects what depends on a deleted object, and what depends on that.
    pub(crate) fn collect_dependents(&self, state: &mut State, uid: &str) {
        for key in state.dependents(uid) {
            self.collect(state, &key);
        }
    }

    /// Deletes an object none of whose owners is there; takes away references to missing ones if another is.
    pub(crate) fn collect(&self, state: &mut State, key: &Key) {
        let Some(stored) = state.get(key) else { return };
        let owners = meta::owners(&stored.object);
        let (present, missing): (Vec<&Value>, Vec<&Value>) =
            owners.iter().partition(|owner| self.is_present(state, key, owner));
        if missing.is_empty() {
            return;
        }
        let kind = self.kinds.stored(key.store);
        if present.is_empty() {
            self.remove(state, kind, key);
        } else {
            let mut object = (*stored.object).clone();
            let present: Vec<Value> = present.into_iter().cloned().collect();
            meta::of(&mut object).insert("ownerReferences".into(), present.into());
            state.commit(kind, key.clone(), Change::Modified, object, Some(stored), self.clock.now());
        }
    }

    /// Whether an owner exists. Owners of kinds that are not served here are taken to.
    fn is_present(&self, state: &State, dependent: &Key, owner: &Value) -> bool {
        let text = |key: &str| owner[key].as_str().unwrap_or_default();
        let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        let Some(kind) = self.kinds.of_reference(group, text("kind")) else { return true };
        if kind.namespaced && dependent.namespace.is_empty() {
            return true;
        }
        let namespace = if kind.namespaced { dependent.namespace.clone() } else { String::new() };
        let key = Key { store: kind.store, namespace, name: text("name").into() };
        state.get(&key).is_some_and(|s| meta::text(&s.object, "uid") == text("uid"))
    }
}
