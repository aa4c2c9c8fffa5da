//! The PodDisruptionBudget of a pool: no Pod that it selects may be evicted.
//!
//! It is created before the first protected Pod of the pool. Its owner is the pool, so the garbage collector removes it. It is
//! not watched: a budget that a user removed comes back with the next term of the controller.

use kube::Resource;
use serde_json::{Value, json};

use crate::api::{ContainerPool, names};
use crate::runtime::InstanceSpec;

/// More Pods than a pool can have. A share, or `maxUnavailable`, would need a scale subresource of the Pods' owner.
const NEVER_REACHED: i32 = 1_000_000;

/// The budget of the pool of an instance.
pub(super) fn budget(spec: &InstanceSpec) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": names::budget(&spec.pool, &spec.pool_uid),
            "namespace": spec.key.namespace,
            "labels": {names::MANAGED_BY: names::MANAGER, names::POOL: spec.pool},
            "ownerReferences": [{
                "apiVersion": ContainerPool::api_version(&()),
                "kind": ContainerPool::kind(&()),
                "name": spec.pool,
                "uid": spec.pool_uid,
                "controller": true,
            }],
        },
        "spec": {
            "minAvailable": NEVER_REACHED,
            // A worker that is not Ready may go: it takes no task.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {names::POOL: spec.pool, names::PROTECTED: "true"}},
        },
    })
}
