//! A supervisor: asks for work at a steady rate, "executes" what is assigned, and reports how it ended.
//!
//! What runs in which Pod is remembered here alone: it is the auditor's record of the runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use poolkeeper::api::{Dispatch, names};
use poolkeeper::local::{Change, Record};
use poolkeeper::runtime::InstanceKey;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::recorder::Recorder;
use poolkeeper_testkit::fake::{FakeEvent, What};

/// An API server that is silent for so long is asked again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Demand {
    pub seed: u64,
    /// Dispatches a second.
    pub rate: f64,
    /// Pools, each with its share.
    pub pools: Vec<(String, u32)>,
    /// How long a task runs at most, in milliseconds.
    pub longest: u64,
    /// Parts of all attempts that end so; the rest succeed.
    pub rate_limited: f64,
    pub failed: f64,
    /// Their end is never reported.
    pub silent: f64,
    /// Part of all dispatches that are cancelled at some time.
    pub cancelled: f64,
}

impl Default for Demand {
    /// Mostly well.
    fn default() -> Self {
        Self {
            seed: 0,
            rate: 1.0,
            pools: Vec::new(),
            longest: 300,
            rate_limited: 0.04,
            failed: 0.05,
            silent: 0.01,
            cancelled: 0.0,
        }
    }
}

#[derive(Clone)]
pub struct Load(Arc<Inner>);

pub struct Inner {
    demand: Demand,
    recorder: Recorder,
    /// By name, when the request was sent that made it.
    asked: Mutex<BTreeMap<String, Duration>>,
    accepted: Mutex<BTreeSet<String>>,
    /// By name, when it was first seen as Assigned.
    assigned: Mutex<BTreeMap<String, Duration>>,
    /// By uid of the Pod.
    running: Mutex<BTreeMap<String, Vec<(String, i32)>>>,
    events: Mutex<Vec<FakeEvent>>,
    tally: Mutex<BTreeMap<String, u64>>,
    stop: CancellationToken,
}

impl std::ops::Deref for Load {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The moment after a write, as the auditor counts.
pub fn after(write: u64, what: What, mono: Duration) -> FakeEvent {
    FakeEvent { at: jiff::Timestamp::from_microsecond(i64::try_from(write).unwrap()).unwrap(), mono, what }
}

impl Load {
    pub fn start(demand: Demand, recorder: &Recorder) -> Self {
        let this = Self(Arc::new(Inner {
            demand,
            recorder: recorder.clone(),
            asked: Mutex::default(),
            accepted: Mutex::default(),
            assigned: Mutex::default(),
            running: Mutex::default(),
            events: Mutex::default(),
            tally: Mutex::default(),
            stop: CancellationToken::new(),
        }));
        tokio::spawn(this.clone().act());
        tokio::spawn(this.clone().ask());
        this
    }

    /// No more is asked for.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub fn events(&self) -> Vec<FakeEvent> {
        self.events.lock().unwrap().clone()
    }

    pub fn tally(&self) -> BTreeMap<String, u64> {
        self.tally.lock().unwrap().clone()
    }

    pub fn accepted(&self) -> BTreeSet<String> {
        self.accepted.lock().unwrap().clone()
    }

    /// When the first dispatch was Assigned of those that were asked for after a moment.
    pub fn first_assigned_since(&self, moment: Duration) -> Option<Duration> {
        let (asked, assigned) = (self.asked.lock().unwrap(), self.assigned.lock().unwrap());
        let late = asked.iter().filter(|(_, at)| **at >= moment);
        late.filter_map(|(name, _)| assigned.get(name).copied()).min()
    }

    /// The longest time without an assignment that was over, or ended, between two moments.
    pub fn longest_pause(&self, from: Duration, to: Duration) -> Duration {
        let mut at: Vec<Duration> = self.assigned.lock().unwrap().values().copied().filter(|at| *at <= to).collect();
        at.sort();
        let pauses = at.windows(2).filter(|pair| pair[1] >= from).map(|pair| pair[1].checked_sub(pair[0]).unwrap());
        pauses.max().unwrap_or_default()
    }

    fn count(&self, what: &str) {
        *self.tally.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    fn dispatches(&self) -> Api<Dispatch> {
        Api::namespaced(self.recorder.client.clone(), &self.recorder.namespace)
    }

    async fn ask(self) {
        let mut rng = StdRng::seed_from_u64(self.demand.seed);
        let shares: u32 = self.demand.pools.iter().map(|(_, share)| share).sum();
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / self.demand.rate));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for n in 0_u64.. {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let mut at = rng.random_range(0..shares);
            let pool = self.demand.pools.iter().find(|(_, share)| {
                let found = at < *share;
                at = at.saturating_sub(*share);
                found
            });
            let spec = json!({
                "pool": pool.unwrap().0, "priority": i32::from(rng.random_bool(0.1)),
                "retry": {"rateLimited": -1, "workerLost": 3, "failed": rng.random_range(0..2)},
            });
            let dispatch = Dispatch::new(&format!("task-{n:06}"), serde_json::from_value(spec).unwrap());
            let patience = rng.random_range(0..3000);
            let cancel = rng.random_bool(self.demand.cancelled).then_some(Duration::from_millis(patience));
            tokio::spawn(self.clone().create(dispatch, cancel));
        }
    }

    async fn create(self, dispatch: Dispatch, cancel: Option<Duration>) {
        let name = dispatch.metadata.name.clone().unwrap();
        loop {
            self.asked.lock().unwrap().insert(name.clone(), self.recorder.start.elapsed());
            match timeout(PATIENCE, self.dispatches().create(&PostParams::default(), &dispatch)).await {
                Ok(Ok(_)) => break,
                Ok(Err(kube::Error::Api(s))) if s.is_already_exists() => break,
                _ => self.count("request of the supervisor failed"),
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.accepted.lock().unwrap().insert(name.clone());
        if let Some(time) = cancel {
            sleep(time).await;
            self.report(&name, json!({"spec": {"cancel": true}})).await;
        }
    }

    async fn act(self) {
        let mut started = BTreeSet::new();
        let mut feed = self.recorder.listen();
        while let Some(record) = feed.recv().await {
            if record.resource.plural != "dispatches" || record.change == Change::Deleted {
                continue;
            }
            let dispatch: Dispatch = serde_json::from_value((*record.object).clone()).unwrap();
            let Some(status) = dispatch.status.clone().filter(|s| s.is_open() && s.target.is_some()) else { continue };
            let now = self.recorder.start.elapsed();
            self.assigned.lock().unwrap().entry(record.name.clone()).or_insert(now);
            if started.insert((record.uid.clone(), status.attempt)) {
                tokio::spawn(self.clone().attempt(record, dispatch));
            }
        }
    }

    fn tell(&self, what: What) {
        let event = after(self.recorder.newest(), what, self.recorder.start.elapsed());
        self.events.lock().unwrap().push(event);
    }

    /// Looks up the Pod as `kubectl exec` would.
    async fn pod(&self, name: &str) -> Option<Pod> {
        let api: Api<Pod> = Api::namespaced(self.recorder.client.clone(), &self.recorder.namespace);
        loop {
            if let Ok(Ok(pod)) = timeout(PATIENCE, api.get_opt(name)).await {
                return pod.filter(|p| p.metadata.deletion_timestamp.is_none());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn attempt(self, record: Record, dispatch: Dispatch) {
        let status = dispatch.status.unwrap();
        let (uid, n, target) = (record.uid.clone(), status.attempt, status.target.unwrap());
        let salt = record.name.bytes().fold(self.demand.seed ^ (u64::from(n.unsigned_abs()) << 40), |salt, byte| {
            (salt ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut rng = StdRng::seed_from_u64(salt);
        let Some(pod) = self.pod(&target.id).await else {
            self.count("attempt without a Pod");
            return; // for the controller to see
        };
        let label = |key: &str| pod.metadata.labels.as_ref().and_then(|l| l.get(key)).cloned().unwrap_or_default();
        let key = InstanceKey {
            namespace: self.recorder.namespace.clone(),
            worker: label(names::WORKER),
            uid: label(names::WORKER_UID),
        };
        let pod_uid = pod.metadata.uid.unwrap();
        let beside = {
            let mut running = self.running.lock().unwrap();
            let tasks = running.entry(pod_uid.clone()).or_default();
            let beside = tasks.clone();
            tasks.push((uid.clone(), n));
            beside
        };
        self.tell(What::TaskStarted { key: key.clone(), dispatch: uid.clone(), attempt: n, beside });
        sleep(Duration::from_millis(rng.random_range(10..=self.demand.longest))).await;
        let there = self.pod(&target.id).await.is_some_and(|p| p.metadata.uid.as_ref() == Some(&pod_uid));
        // It ends here before any client learns of it.
        self.tell(What::TaskEnded { key, dispatch: uid.clone(), attempt: n });
        if let Some(tasks) = self.running.lock().unwrap().get_mut(&pod_uid) {
            tasks.retain(|t| *t != (uid.clone(), n));
        }
        if !there {
            self.count("attempt lost with its Pod");
            return;
        }
        let demand = &self.demand;
        let outcome = match rng.random::<f64>() {
            r if r < demand.rate_limited => "RateLimited",
            r if r < demand.rate_limited + demand.failed => "Failed",
            r if r < demand.rate_limited + demand.failed + demand.silent => {
                self.count("attempt without a report");
                return;
            }
            _ => "Succeeded",
        };
        let mut result = json!({"attempt": n, "outcome": outcome, "retryAfter": null});
        if outcome == "RateLimited" && rng.random_bool(0.5) {
            result["retryAfter"] = json!(format!("{}ms", rng.random_range(500..2500)));
        }
        self.report(&record.name, json!({"metadata": {"uid": uid}, "spec": {"result": result}})).await;
    }

    async fn report(&self, name: &str, change: serde_json::Value) {
        loop {
            let request = self.dispatches();
            match timeout(PATIENCE, request.patch(name, &PatchParams::default(), &Patch::Merge(&change))).await {
                Ok(Ok(_)) => return,
                Ok(Err(kube::Error::Api(s))) if matches!(s.code, 404 | 409 | 422) => {
                    self.count("report refused");
                    return;
                }
                _ => self.count("request of the supervisor failed"),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
