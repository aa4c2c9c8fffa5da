//! What etcd remembers: every version of an object, also those that no watch of the API server showed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::AsyncBufReadExt;
use futures::TryStreamExt;
use poolkeeper::local::Change;
use serde_json::{Value, json};
use std::time::Duration;

/// Names etcd's address, `http://…`.
const ETCD: &str = "POOLKEEPER_TEST_ETCD";

pub struct Etcd(kube::Client);

impl Etcd {
    /// None if no address is given.
    pub fn from_env() -> Option<Self> {
        let mut config = kube::Config::new(std::env::var(ETCD).ok()?.parse().unwrap());
        config.default_retry = false;
        Some(Self(kube::Client::try_from(config).unwrap()))
    }

    /// All writes from one revision to another to a kind in a namespace. None if they cannot be read, as those of Pods where
    /// the API server does not store JSON.
    pub async fn changes(
        &self,
        group: &str,
        plural: &str,
        ns: &str,
        from: u64,
        to: u64,
    ) -> Option<Vec<(Change, Value)>> {
        // Built-in kinds are stored without their group.
        let kind = if group == poolkeeper::api::GROUP { format!("{group}/{plural}") } else { plural.to_owned() };
        let prefix = format!("/registry/{kind}/{ns}/");
        let end = format!("/registry/{kind}/{ns}0");
        let create = json!({"create_request": {
            "key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end),
            "start_revision": from.to_string(), "prev_kv": true,
        }});
        let request = http::Request::post("/v3/watch").header("content-type", "application/json");
        let request = request.body(create.to_string().into_bytes()).unwrap();
        let stream = self.0.request_stream(request).await.ok()?;
        let mut lines = std::pin::pin!(stream.lines());
        let mut changes = Vec::new();
        // It goes on for ever, with what happens meanwhile; what has happened comes at once.
        let mut newest = 0;
        while newest <= to
            && let Ok(Ok(Some(line))) = tokio::time::timeout(Duration::from_secs(1), lines.try_next()).await
        {
            let answer: Value = serde_json::from_str(&line).unwrap();
            for event in answer["result"]["events"].as_array().into_iter().flatten() {
                let revision = event["kv"]["mod_revision"].as_str().unwrap().to_owned();
                let deleted = event["type"] == "DELETE";
                let (change, kv) = match deleted {
                    true => (Change::Deleted, &event["prev_kv"]),
                    false if event["kv"]["version"] == "1" => (Change::Added, &event["kv"]),
                    false => (Change::Modified, &event["kv"]),
                };
                let Some(value) = kv["value"].as_str() else { continue };
                let mut object: Value = serde_json::from_slice(&STANDARD.decode(value).unwrap()).ok()?;
                newest = revision.parse().unwrap();
                object["metadata"]["resourceVersion"] = json!(revision);
                if newest <= to {
                    changes.push((change, object));
                }
            }
        }
        Some(changes)
    }
}
