//! Plain status PATCHes: what the API server itself takes for one, and how many it takes in a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use poolkeeper::api::Dispatch;
use serde_json::json;

/// Dispatches of the size of a published one, in a namespace that no controller follows.
#[derive(Clone)]
pub struct Plain {
    api: Api<Dispatch>,
    round: usize,
    /// PATCHes of probes.
    probes: Arc<AtomicUsize>,
}

impl Plain {
    pub const OBJECTS: usize = 32;

    pub async fn new(client: Client, namespace: &str) -> Self {
        let api: Api<Dispatch> = Api::namespaced(client, namespace);
        for n in 0..Self::OBJECTS {
            let d = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch",
                "metadata": {"name": format!("plain-{n}")}, "spec": {"pool": "agents"}});
            api.create(&PostParams::default(), &serde_json::from_value(d).unwrap()).await.unwrap();
        }
        Self { api, round: 0, probes: Arc::default() }
    }

    /// One PATCH, as a publish makes it. Answers how long it took.
    async fn patch(api: &Api<Dispatch>, object: usize, n: usize) -> Duration {
        let id = format!("agents-{object}-{n:08x}");
        let time = format!("2026-01-01T00:00:00.{:06}Z", n % 1_000_000);
        let status = json!({"status": {"phase": "Assigned", "attempt": 1,
            "worker": {"name": format!("agents-{object}"), "uid": "01234567-89ab-cdef-0123-456789abcdef"},
            "target": {"runtime": "Pod", "id": id,
                "argv": ["kubectl", "exec", "-i", "-n", "pk-bench", id, "-c", "worker", "--"]},
            "assignedAt": time, "conditions": [
                {"type": "Assigned", "status": "True", "reason": "Assigned", "message": "", "lastTransitionTime": time}]}});
        let start = Instant::now();
        api.patch_status(&format!("plain-{object}"), &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        start.elapsed()
    }

    /// One after the other.
    pub async fn serial(&mut self, count: usize) -> Vec<Duration> {
        let mut times = Vec::new();
        for n in 0..count {
            self.round += 1;
            times.push(Self::patch(&self.api, n % Self::OBJECTS, self.round).await);
        }
        times
    }

    /// PATCHes a second of so many writers, each with an object of its own.
    pub async fn rate(&mut self, writers: usize, span: Duration) -> f64 {
        let begin = Instant::now();
        self.round += 500_000;
        let tasks: Vec<_> = (0..writers)
            .map(|w| {
                let (api, from) = (self.api.clone(), self.round);
                tokio::spawn(async move {
                    let mut n = 0;
                    while begin.elapsed() < span {
                        n += 1;
                        Self::patch(&api, w, from + n).await;
                    }
                    n
                })
            })
            .collect();
        let mut all = 0;
        for task in tasks {
            all += task.await.unwrap();
        }
        all as f64 / begin.elapsed().as_secs_f64()
    }

    /// The best of 1, 8 and 32 writers, and all three.
    pub async fn best_rate(&mut self, span: Duration) -> (f64, [f64; 3]) {
        let mut rates = [0.0; 3];
        for (rate, writers) in rates.iter_mut().zip([1, 8, 32]) {
            *rate = self.rate(writers, span).await;
        }
        (rates.into_iter().fold(0.0, f64::max), rates)
    }

    /// PATCHes 20 times a second until it is stopped: how long one takes under the load of others.
    pub fn probe(&self, stop: tokio_util::sync::CancellationToken) -> tokio::task::JoinHandle<Vec<Duration>> {
        let (api, from, probes) = (self.api.clone(), self.round + 250_000, self.probes.clone());
        tokio::spawn(async move {
            let mut times = Vec::new();
            while !stop.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                times.push(Self::patch(&api, 0, from + times.len()).await);
                probes.fetch_add(1, Ordering::SeqCst);
            }
            times
        })
    }

    /// PATCHes that probes have sent.
    pub fn sent(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }
}
