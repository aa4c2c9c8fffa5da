//! The part of a Pod that the watch reads. Most of a Pod is its spec and its managedFields, which are not needed here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::core::ObjectMeta;
use serde::Deserialize;

/// A Pod of whose spec only the node is left, and of its metadata only what is read here and by kube's watcher.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Received")]
pub(super) struct Trimmed(pub Pod);

#[derive(Deserialize)]
struct Received {
    metadata: Meta,
    spec: Option<Spec>,
    status: Option<PodStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    /// Of a bookmark: that all was listed.
    annotations: Option<BTreeMap<String, String>>,
}

impl From<Received> for Trimmed {
    fn from(received: Received) -> Self {
        let meta = received.metadata;
        let metadata = ObjectMeta {
            name: meta.name,
            namespace: meta.namespace,
            uid: meta.uid,
            resource_version: meta.resource_version,
            creation_timestamp: meta.creation_timestamp,
            deletion_timestamp: meta.deletion_timestamp,
            deletion_grace_period_seconds: meta.deletion_grace_period_seconds,
            labels: meta.labels,
            annotations: meta.annotations,
            ..ObjectMeta::default()
        };
        let spec = received.spec.and_then(|spec| spec.node_name).map(on_node);
        Self(Pod { metadata, spec, status: received.status })
    }
}

fn on_node(name: String) -> PodSpec {
    PodSpec { node_name: Some(name), ..PodSpec::default() }
}

impl Resource for Trimmed {
    type DynamicType = ();
    type Scope = <Pod as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runtime::pod::state;

    #[test]
    fn of_a_pod_as_the_api_server_tells_it_the_instance_is_the_same() {
        let ended = json!({"name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"reason": "Error", "exitCode": 3, "message": "last received"}}});
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p-0-1", "namespace": "n", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-01T00:01:00Z",
                "labels": {"poolkeeper.dev/worker": "p-0", "poolkeeper.dev/worker-uid": "1"},
                "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": {}}}]},
            "spec": {"nodeName": "node-1", "containers": [{"name": "worker", "image": "i"}]},
            "status": {"phase": "Failed", "containerStatuses": [ended]}});
        let whole: Pod = serde_json::from_value(pod.clone()).unwrap();
        let Trimmed(trimmed) = serde_json::from_value(pod).unwrap();
        assert_eq!(state::instance(&trimmed, "i", None), state::instance(&whole, "i", None));
        assert!(state::instance(&trimmed, "i", None).is_some());
        assert_eq!((trimmed.metadata.resource_version.as_deref(), trimmed.metadata.managed_fields), (Some("7"), None));
        assert_eq!(trimmed.metadata.deletion_timestamp, whole.metadata.deletion_timestamp);
        assert_eq!(trimmed.spec, Some(on_node("node-1".to_owned())));
    }
}
