//! The supervisor: its watch, and its requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use poolkeeper::api::Dispatch;
use poolkeeper::api::dispatch::DispatchPhase;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

/// Requests under way at a time.
const REQUESTS: usize = 48;
/// How often a request is repeated before the run is over.
const TRIES: u32 = 60;

/// Repeats a request that the server did not answer, or could not. One that it refuses because it was done already is done.
pub async fn again<T, F: Future<Output = Result<T, kube::Error>>>(request: impl Fn() -> F) {
    for _ in 0..TRIES {
        match request().await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => return,
            Err(error) => eprintln!("a request is repeated: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("the API server did not answer {TRIES} times");
}

/// What the watch showed of a dispatch, and when. Each is shown once.
#[derive(Debug)]
pub enum Seen {
    Assigned(String, Instant),
    Ended(String),
}

/// Dispatches that were created and have not ended, and whether the watch showed them Assigned.
type Open = Arc<Mutex<HashMap<String, bool>>>;

pub struct Feed {
    api: Api<Dispatch>,
    open: Open,
    requests: Arc<Semaphore>,
    seen: mpsc::UnboundedReceiver<Seen>,
    watch: tokio::task::JoinHandle<()>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Feed {
    pub fn new(client: Client, namespace: &str) -> Self {
        let api: Api<Dispatch> = Api::namespaced(client, namespace);
        let (sender, seen) = mpsc::unbounded_channel();
        let open = Open::default();
        let watch = tokio::spawn(follow(api.clone(), open.clone(), sender));
        Self { api, open, requests: Arc::new(Semaphore::new(REQUESTS)), seen, watch }
    }

    /// What the watch shows next.
    pub async fn next(&mut self) -> Seen {
        self.seen.recv().await.expect("the watch")
    }

    /// The next dispatch that is assigned.
    pub async fn assigned(&mut self) -> (String, Instant) {
        loop {
            if let Seen::Assigned(name, at) = self.next().await {
                return (name, at);
            }
        }
    }

    /// Makes one. Runs by itself.
    pub fn create(&self, pool: &str, name: String) -> tokio::task::JoinHandle<()> {
        let d = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": name},
            "spec": {"pool": pool}});
        let d: Dispatch = serde_json::from_value(d).unwrap();
        self.open.lock().unwrap().insert(d.metadata.name.clone().unwrap(), false);
        let (api, requests) = (self.api.clone(), self.requests.clone());
        tokio::spawn(async move {
            let (_one, params) = (requests.acquire().await.unwrap(), PostParams::default());
            again(|| api.create(&params, &d)).await;
        })
    }

    /// Reports that its first attempt succeeded. Runs by itself; gives when the server had answered.
    pub fn report(&self, name: String) -> tokio::task::JoinHandle<Instant> {
        let result = json!({"spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
        let (api, requests) = (self.api.clone(), self.requests.clone());
        tokio::spawn(async move {
            let _one = requests.acquire().await.unwrap();
            let (params, patch) = (PatchParams::default(), Patch::Merge(&result));
            again(|| api.patch(&name, &params, &patch)).await;
            Instant::now()
        })
    }

    /// Deletes one. Runs by itself.
    pub fn delete(&self, name: String) {
        let (api, requests) = (self.api.clone(), self.requests.clone());
        tokio::spawn(async move {
            let (_one, params) = (requests.acquire().await.unwrap(), DeleteParams::default());
            again(|| api.delete(&name, &params)).await;
        });
    }
}

async fn follow(api: Api<Dispatch>, open: Open, seen: mpsc::UnboundedSender<Seen>) {
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let (d, gone) = match event {
            Ok(watcher::Event::Apply(d) | watcher::Event::InitApply(d)) => (d, false),
            Ok(watcher::Event::Delete(d)) => (d, true),
            Ok(_) => continue,
            Err(error) => {
                eprintln!("the watch of Dispatches is started again: {error}");
                continue;
            }
        };
        let (name, phase) = (d.metadata.name.unwrap(), d.status.map(|s| s.phase).unwrap_or_default());
        let change = {
            let mut open = open.lock().unwrap();
            match open.get_mut(&name) {
                Some(_) if gone || phase.is_final() => {
                    open.remove(&name);
                    Seen::Ended(name)
                }
                Some(assigned) if phase == DispatchPhase::Assigned && !*assigned => {
                    *assigned = true;
                    Seen::Assigned(name, Instant::now())
                }
                _ => continue,
            }
        };
        assert!(gone || !phase.is_final() || phase == DispatchPhase::Succeeded, "one ended as {phase:?}");
        if seen.send(change).is_err() {
            return;
        }
    }
}
