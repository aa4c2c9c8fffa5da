//! Decodes objects, and removes the parts that the controller does not need.
//!
//! The controller has one of these in memory for every object that exists. Two thirds of a Worker, as the API server sends
//! it, is `managedFields`, which nothing here reads.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api::{Condition, ContainerPool, Dispatch, Worker};

/// A kind that is watched, and whose objects are held in memory.
pub(crate) trait Trim:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// The conditions of its status, whose list may have spare capacity.
    fn conditions(&mut self) -> Option<&mut Vec<Condition>>;

    /// The object without the fields that nothing here reads. Patches name only what changes, so nothing is lost on the server.
    fn trimmed(mut self) -> Arc<Self> {
        let meta = self.meta_mut();
        (meta.managed_fields, meta.labels, meta.owner_references) = (None, None, None);
        if let Some(finalizers) = &mut meta.finalizers {
            finalizers.shrink_to_fit();
        }
        if let Some(conditions) = self.conditions() {
            conditions.shrink_to_fit();
        }
        Arc::new(self)
    }
}

impl Trim for ContainerPool {
    fn conditions(&mut self) -> Option<&mut Vec<Condition>> {
        self.status.as_mut().map(|s| &mut s.conditions)
    }
}

impl Trim for Worker {
    fn conditions(&mut self) -> Option<&mut Vec<Condition>> {
        self.status.as_mut().map(|s| &mut s.conditions)
    }
}

impl Trim for Dispatch {
    fn conditions(&mut self) -> Option<&mut Vec<Condition>> {
        self.status.as_mut().map(|s| &mut s.conditions)
    }
}

/// An object of a list or a watch. If the type does not fit it, its metadata.
///
/// Used in place of kube's `DeserializeGuard`, which holds each object three times while it reads it. That leaves the heap
/// so fragmented that memory is not returned.
#[derive(Clone, Debug)]
pub(crate) struct Decoded<K>(pub Result<K, Unreadable>);

/// An object that does not fit its type. Perhaps a newer version wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    metadata: ObjectMeta,
    /// Why the type does not fit.
    pub error: String,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Decoded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        if let Some(Value::Object(meta)) = value.get_mut("metadata") {
            meta.remove("managedFields");
        }
        match K::deserialize(&value) {
            Ok(object) => Ok(Self(Ok(object))),
            Err(error) => {
                let metadata = ObjectMeta::deserialize(&value["metadata"]).map_err(D::Error::custom)?;
                Ok(Self(Err(Unreadable { metadata, error: error.to_string() })))
            }
        }
    }
}

impl<K: Resource> Resource for Decoded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &K::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &K::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn worker() -> Value {
        let condition = json!({"type": "Ready", "status": "True", "reason": "Running", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00.000000Z"});
        json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker",
            "metadata": {"name": "p-0", "namespace": "n", "uid": "u", "resourceVersion": "7",
                "finalizers": ["poolkeeper.dev/instance"], "annotations": {"poolkeeper.dev/force-delete": "true"},
                "labels": {"poolkeeper.dev/pool": "p"},
                "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": {"f:pool": {}}}}]},
            "spec": {"pool": "p", "poolGeneration": 1, "runtime": "Pod", "templateHash": "h"},
            "status": {"phase": "Ready", "conditions": [condition]}})
    }

    #[test]
    fn managed_fields_are_removed_and_all_that_is_read_stays() {
        let watched: Decoded<Worker> = serde_json::from_value(worker()).unwrap();
        let answer: Worker = serde_json::from_value(worker()).unwrap();
        for trimmed in [watched.0.unwrap().trimmed(), answer.clone().trimmed()] {
            let meta = &trimmed.metadata;
            assert_eq!((&meta.managed_fields, &meta.labels, &meta.owner_references), (&None, &None, &None));
            assert_eq!((&meta.uid, &meta.resource_version), (&answer.metadata.uid, &answer.metadata.resource_version));
            assert_eq!(
                (&meta.finalizers, &meta.annotations),
                (&answer.metadata.finalizers, &answer.metadata.annotations)
            );
            assert_eq!((&trimmed.spec, &trimmed.status), (&answer.spec, &answer.status));
            let conditions = &trimmed.status.as_ref().unwrap().conditions;
            assert_eq!(conditions.capacity(), 1, "the list has spare capacity");
        }
    }

    #[test]
    fn an_object_that_cannot_be_read_has_a_name_and_a_version() {
        let mut newer = worker();
        newer["status"]["phase"] = json!("Dreaming");
        let watched: Decoded<Worker> = serde_json::from_value(newer).unwrap();
        assert_eq!(
            (watched.meta().name.as_deref(), watched.meta().resource_version.as_deref()),
            (Some("p-0"), Some("7"))
        );
        assert!(watched.0.unwrap_err().error.contains("Dreaming"));
    }
}
