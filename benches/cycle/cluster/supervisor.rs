//! A supervisor: makes dispatches, watches them, reports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use poolkeeper::api::Dispatch;
use poolkeeper::api::dispatch::DispatchPhase;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

/// Requests under way at a time.
const REQUESTS: usize = 32;

/// When what happened to one dispatch.
#[derive(Clone, Copy, Default)]
struct Life {
    /// Its creation was acknowledged.
    created: Option<Instant>,
    /// The watch showed it Assigned, and final.
    assigned: Option<Instant>,
    ended: Option<Instant>,
}

#[derive(Default)]
struct Lives {
    by_name: BTreeMap<String, Life>,
    assigned: usize,
    ended: usize,
}

#[derive(Default)]
struct Seen {
    lives: Mutex<Lives>,
    news: Notify,
    /// Assigned ones are reported on at once.
    reports: AtomicBool,
}

pub struct Supervisor {
    api: Api<Dispatch>,
    seen: Arc<Seen>,
    requests: Arc<Semaphore>,
    watch: tokio::task::JoinHandle<()>,
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn report(api: Api<Dispatch>, requests: Arc<Semaphore>, name: String) {
    let _one = requests.acquire().await.unwrap();
    let result = json!({"spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
    api.patch(&name, &PatchParams::default(), &Patch::Merge(result)).await.unwrap();
}

impl Supervisor {
    pub async fn new(client: Client, namespace: &str) -> Self {
        let api: Api<Dispatch> = Api::namespaced(client, namespace);
        let (seen, requests) = (Arc::<Seen>::default(), Arc::new(Semaphore::new(REQUESTS)));
        let version = api.list(&ListParams::default().limit(1)).await.unwrap().metadata.resource_version.unwrap();
        let (its_api, its_seen, its_requests) = (api.clone(), seen.clone(), requests.clone());
        let watch = tokio::spawn(async move {
            let params = WatchParams::default().timeout(290);
            let mut version = version;
            loop {
                let mut events = its_api.watch(&params, &version).await.unwrap().boxed();
                while let Some(event) = events.try_next().await.unwrap() {
                    let d = match event {
                        WatchEvent::Modified(d) | WatchEvent::Added(d) => d,
                        // The end of an earlier one's history.
                        WatchEvent::Deleted(_) => continue,
                        WatchEvent::Bookmark(b) => {
                            version = b.metadata.resource_version;
                            continue;
                        }
                        WatchEvent::Error(e) => panic!("the watch: {e:?}"),
                    };
                    version = d.metadata.resource_version.clone().unwrap();
                    let (name, phase) = (d.metadata.name.unwrap(), d.status.map(|s| s.phase).unwrap_or_default());
                    let mut lives = its_seen.lives.lock().unwrap();
                    let mut life = *lives.by_name.entry(name.clone()).or_default();
                    if phase == DispatchPhase::Assigned && life.assigned.is_none() {
                        life.assigned = Some(Instant::now());
                        lives.assigned += 1;
                        lives.by_name.insert(name.clone(), life);
                        if its_seen.reports.load(Ordering::SeqCst) {
                            tokio::spawn(report(its_api.clone(), its_requests.clone(), name));
                        }
                    } else if phase.is_final() && life.ended.is_none() {
                        assert_eq!(phase, DispatchPhase::Succeeded, "{name} ended");
                        life.ended = Some(Instant::now());
                        lives.ended += 1;
                        lives.by_name.insert(name, life);
                    }
                    drop(lives);
                    its_seen.news.notify_one();
                }
            }
        });
        Self { api, seen, requests, watch }
    }

    /// Whether an assigned dispatch is reported on at once. If not, [`Self::report_all`] does it.
    pub fn reports(&self, on: bool) {
        self.seen.reports.store(on, Ordering::SeqCst);
    }

    /// Makes one. Runs by itself; answers at once.
    pub fn create(&self, pool: &str, name: String) -> tokio::task::JoinHandle<()> {
        let d = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": name},
            "spec": {"pool": pool}});
        let (api, requests, seen) = (self.api.clone(), self.requests.clone(), self.seen.clone());
        tokio::spawn(async move {
            let _one = requests.acquire().await.unwrap();
            api.create(&PostParams::default(), &serde_json::from_value(d).unwrap()).await.unwrap();
            seen.lives.lock().unwrap().by_name.entry(name).or_default().created = Some(Instant::now());
        })
    }

    fn count(&self, what: fn(&Lives) -> usize) -> usize {
        what(&self.seen.lives.lock().unwrap())
    }

    async fn until(&self, name: &str, total: usize, what: fn(&Lives) -> usize) {
        let mut before = (0, Instant::now());
        while self.count(what) < total {
            let _ = tokio::time::timeout(Duration::from_secs(1), self.seen.news.notified()).await;
            let now = self.count(what);
            if now > before.0 {
                before = (now, Instant::now());
            }
            assert!(before.1.elapsed() < Duration::from_secs(60), "{now} of {total} are {name}, and no more for 60 s");
        }
    }

    pub async fn all_assigned(&self, total: usize) {
        self.until("assigned", total, |l| l.assigned).await;
    }

    pub async fn all_ended(&self, total: usize) {
        self.until("ended", total, |l| l.ended).await;
    }

    pub fn ended(&self) -> usize {
        self.count(|l| l.ended)
    }

    /// Waits for something to happen, or a moment.
    pub async fn news(&self) {
        let _ = tokio::time::timeout(Duration::from_millis(100), self.seen.news.notified()).await;
    }

    /// Reports on all that were not reported on.
    pub async fn report_all(&self) {
        let names: Vec<String> = {
            let lives = self.seen.lives.lock().unwrap();
            lives
                .by_name
                .iter()
                .filter(|(_, l)| l.assigned.is_some() && l.ended.is_none())
                .map(|(n, _)| n.clone())
                .collect()
        };
        for task in names.into_iter().map(|n| tokio::spawn(report(self.api.clone(), self.requests.clone(), n))) {
            task.await.unwrap();
        }
    }

    /// From the answer to each creation until the watch showed it Assigned; the last such time.
    pub fn waits(&self) -> (Vec<Duration>, Instant) {
        let lives = self.seen.lives.lock().unwrap();
        let waits =
            lives.by_name.values().filter_map(|l| Some(l.assigned?.saturating_duration_since(l.created?))).collect();
        (waits, lives.by_name.values().filter_map(|l| l.assigned).max().unwrap_or_else(Instant::now))
    }

    pub fn last_end(&self) -> Instant {
        self.seen.lives.lock().unwrap().by_name.values().filter_map(|l| l.ended).max().unwrap_or_else(Instant::now)
    }
}
