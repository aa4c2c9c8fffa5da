//! A server for tests: objects as JSON, and the view of them at one time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::model::Model;
use super::{Change, Store, view};
use crate::api::RuntimeKind;
use crate::core::{ObjectKey, Seen};

const NOW: &str = "2026-11-30T12:00:00Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A time so many seconds from now.
pub(crate) fn at(seconds: i64) -> String {
    format!("{:.6}", now() + SignedDuration::from_secs(seconds))
}

pub(crate) fn object(kind: &str, name: &str, spec: &Value, status: &Value) -> Value {
    json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": kind, "spec": spec, "status": status,
        "metadata": {
            "name": name, "namespace": "default", "uid": format!("{name}-uid"), "resourceVersion": "1",
            "creationTimestamp": "2026-11-30T11:00:00Z",
        },
    })
}

/// A server whose objects are seen.
pub(crate) struct Server(Store);

impl Server {
    pub fn new() -> Self {
        Self(Store::new(RuntimeKind::Docker))
    }

    pub fn pool(mut self, name: &str, spec: &Value, status: &Value) -> Self {
        let pool = serde_json::from_value(object("ContainerPool", name, spec, status)).unwrap();
        self.0.apply(Change::Pool(Seen::Present(Arc::new(pool))));
        self
    }

    pub fn worker(mut self, name: &str, credential: Option<&str>, status: &Value) -> Self {
        let pool = name.rsplit_once('-').unwrap().0;
        let mut spec =
            json!({"pool": pool, "poolGeneration": 1, "runtime": "Docker", "host": "local", "templateHash": "h"});
        if let Some(credential) = credential {
            spec["credential"] = credential.into();
        }
        let worker = serde_json::from_value(object("Worker", name, &spec, status)).unwrap();
        self.0.apply(Change::Worker(Seen::Present(Arc::new(worker))));
        self
    }

    pub fn dispatch(mut self, name: &str, pool: &str, status: &Value) -> Self {
        let dispatch = serde_json::from_value(object("Dispatch", name, &json!({"pool": pool}), status)).unwrap();
        self.0.apply(Change::Dispatch(Seen::Present(Arc::new(dispatch))));
        self
    }

    pub fn apply(&mut self, change: Change) {
        self.0.apply(change);
    }

    /// As if all kinds had been listed.
    pub fn listed(mut self) -> Self {
        fn keys<K>(objects: &BTreeMap<ObjectKey, K>) -> BTreeSet<ObjectKey> {
            objects.keys().cloned().collect()
        }
        let (pools, workers) = (keys(self.0.pools()), keys(self.0.workers()));
        let dispatches = keys(self.0.dispatches());
        self.0.apply(Change::Pool(Seen::Listed(pools)));
        self.0.apply(Change::Worker(Seen::Listed(workers)));
        self.0.apply(Change::Dispatch(Seen::Listed(dispatches)));
        self
    }

    pub fn view(&self) -> Model {
        view(&self.0, now())
    }
}

pub(crate) fn busy(dispatch: &str, since: i64) -> Value {
    json!({"phase": "Busy", "dispatches": 3, "dispatch": {
        "name": dispatch, "uid": format!("{dispatch}-uid"), "attempt": 1, "assignedAt": at(since),
    }})
}

pub(crate) fn credentials() -> Value {
    json!({"image": "i", "max": 3, "rateLimit": {"scope": "Credential"}, "credentials": [
        {"name": "a", "env": "T", "fromEnv": "A"}, {"name": "b", "env": "T", "fromEnv": "B", "maxConcurrent": 2},
    ]})
}
