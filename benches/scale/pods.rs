//! The nodes: they only pretend to run Pods. A Pod is Ready as soon as it was made. The API server removes it at once when it is
//! deleted, because it has no node.
//!
//! kwok does the same in `benches/cycle`. It needs a scheduler, and two more writes for each Pod.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::sync::Semaphore;

use super::feed::again;

/// Requests under way at a time.
const REQUESTS: usize = 16;

/// Says of each Pod of a namespace that it is Ready, until this is aborted.
pub fn pretend(client: Client, namespace: &str) -> tokio::task::JoinHandle<()> {
    let watched: Api<PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), namespace);
    let api: Api<Pod> = Api::namespaced(client, namespace);
    let requests = Arc::new(Semaphore::new(REQUESTS));
    tokio::spawn(async move {
        let mut known = BTreeSet::new();
        let mut pods = watcher(watched, watcher::Config::default()).default_backoff().boxed();
        while let Some(event) = pods.next().await {
            match event {
                Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                    let (name, uid) = (pod.metadata.name.unwrap(), pod.metadata.uid.unwrap());
                    if pod.metadata.deletion_timestamp.is_none() && known.insert(uid) {
                        tokio::spawn(be_ready(api.clone(), requests.clone(), name));
                    }
                }
                Ok(watcher::Event::Delete(pod)) => _ = known.remove(&pod.metadata.uid.unwrap()),
                Ok(_) => {}
                Err(error) => eprintln!("the watch of Pods is started again: {error}"),
            }
        }
    })
}

async fn be_ready(api: Api<Pod>, requests: Arc<Semaphore>, name: String) {
    let _one = requests.acquire().await.unwrap();
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&status));
    again(|| api.patch_status(&name, &params, &patch)).await;
}
