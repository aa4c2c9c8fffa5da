//! Objects as a server would show them, and what a core needs to know to take them in.

use std::sync::Arc;
use std::time::Duration;

use poolkeeper::api::dispatch::Target;
use poolkeeper::api::{RuntimeKind, names};
use poolkeeper::core::{Config, HostKey};
use poolkeeper::runtime::LOCAL_HOST;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An object of namespace `ns` with uid `<name>-uid`.
pub fn object<T: DeserializeOwned>(name: &str, version: u32, spec: Value, status: Value) -> Arc<T> {
    let metadata = json!({"name": name, "namespace": "ns", "uid": format!("{name}-uid"), "generation": 1,
        "resourceVersion": version.to_string(), "creationTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": [names::WORKER_FINALIZER, names::POOL_FINALIZER]});
    let kind = std::any::type_name::<T>().rsplit("::").next().unwrap();
    let value = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, "status": status});
    Arc::new(serde_json::from_value(value).unwrap())
}

/// Workers are processes of this machine. A target names the instance, and no way to it.
pub fn config() -> Config {
    Config {
        default_runtime: RuntimeKind::Process,
        runtimes: vec![RuntimeKind::Process],
        hosts: vec![(RuntimeKind::Process, vec![LOCAL_HOST.to_owned()])],
        rollup_interval: Duration::from_secs(5),
        local_credentials: true,
        standing_down: false,
        check_pattern: |_| Ok(()),
        target: Arc::new(|host, instance| Target {
            runtime: host.runtime,
            host: None,
            id: instance.handle.id.clone(),
            argv: Vec::new(),
            endpoint: None,
        }),
    }
}

pub fn host() -> HostKey {
    HostKey { runtime: RuntimeKind::Process, host: LOCAL_HOST.to_owned() }
}
