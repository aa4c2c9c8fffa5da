//! What the three kinds have in common: a key, a version, a status.

use std::sync::{Arc, LazyLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::dispatch::DispatchStatus;
use crate::api::worker::WorkerStatus;
use crate::api::{ContainerPool, Dispatch, Worker};
use crate::runtime::InstanceKey;

/// Namespace and name. Clones share their strings: there are five for each worker at rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// From its parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// ObjectKey of an object. Every kind that is watched is namespaced.
    pub fn of<K: Object>(object: &K) -> Self {
        let meta = object.object_meta();
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }

    /// Key of the Worker that an instance belongs to.
    pub fn of_instance(instance: &InstanceKey) -> Self {
        Self::new(instance.namespace.as_str(), instance.worker.as_str())
    }

    /// Another name in the same namespace.
    #[must_use]
    pub fn sibling(&self, name: impl Into<Arc<str>>) -> Self {
        Self::new(self.namespace.clone(), name)
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What the three kinds have in common.
pub trait Object {
    /// Its metadata.
    fn object_meta(&self) -> &ObjectMeta;

    /// Its uid, empty before it is stored.
    fn uid_str(&self) -> &str {
        self.object_meta().uid.as_deref().unwrap_or_default()
    }

    /// Its version as a number. Kubernetes promises since 1.35 that versions of one kind compare as numbers, and
    /// every server before did so too.
    fn version(&self) -> u64 {
        self.object_meta().resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
    }

    /// True if `other`, of the same name, shows nothing that this one does not: it is older, or the same version.
    fn covers(&self, other: &Self) -> bool {
        let (own, its) = (self.version(), other.version());
        own > its || (own == its && own != 0 && self.uid_str() == other.uid_str())
    }

    /// True once its deletion was requested.
    fn is_deleting(&self) -> bool {
        self.object_meta().deletion_timestamp.is_some()
    }

    /// True if this annotation is `true`.
    fn is_flagged(&self, annotation: &str) -> bool {
        self.object_meta().annotations.as_ref().and_then(|a| a.get(annotation)).is_some_and(|v| v == "true")
    }
}

impl Object for ContainerPool {
    fn object_meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}
impl Object for Worker {
    fn object_meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}
impl Object for Dispatch {
    fn object_meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// Status of a Worker: that of a new one before it has one.
pub(crate) fn worker_status(worker: &Worker) -> &WorkerStatus {
    static NEW: LazyLock<WorkerStatus> = LazyLock::new(WorkerStatus::default);
    worker.status.as_ref().unwrap_or(&NEW)
}

/// Status of a Dispatch: that of a new one before it has one.
pub(crate) fn dispatch_status(dispatch: &Dispatch) -> &DispatchStatus {
    static NEW: LazyLock<DispatchStatus> = LazyLock::new(DispatchStatus::default);
    dispatch.status.as_ref().unwrap_or(&NEW)
}
