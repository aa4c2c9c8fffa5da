//! A controller over the in-process API and the fake runtime, on virtual time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch, Worker, crd};
use poolkeeper::clock::{Clock, Ids, SystemClock};
use poolkeeper::controller::{self, Options};
use poolkeeper::local::{History, LocalApi, Options as LocalOptions};
use poolkeeper::runtime::{LOCAL_HOST, Runtime};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use poolkeeper_testkit::fake::FakeRuntime;

pub const NS: &str = "default";

pub struct World {
    pub api: LocalApi,
    pub client: kube::Client,
    pub fake: FakeRuntime,
    clock: Arc<dyn Clock>,
    /// How far the wall clock is ahead of virtual time, in milliseconds.
    ahead: Arc<AtomicI64>,
    ids: Ids,
    refused: Refused,
    stop: CancellationToken,
    controller: tokio::task::JoinHandle<()>,
}

impl World {
    pub fn new() -> Self {
        let ahead = Arc::new(AtomicI64::new(0));
        let clock: Arc<dyn Clock> = Arc::new(Virtual(SystemClock::new(), ahead.clone()));
        let ids = Ids::seeded(1);
        let options = LocalOptions { crds: crd::all(), clock: clock.clone(), ids: ids.clone(), history: History::Full };
        let api = LocalApi::new(options).unwrap();
        let fake = FakeRuntime::new(&[LOCAL_HOST], clock.clone(), ids.clone());
        // As for Pods: a listing would wake every worker, and hide one that was not woken.
        fake.set_relist(Duration::from_secs(86_400));
        let client = api.client(NS);
        let refused = Refused::default();
        let (stop, controller) = start(guarded(&api, &refused), &fake, &clock, &ids);
        Self { api, client, fake, clock, ahead, ids, refused, stop, controller }
    }

    /// Ends the controller and starts another one over the same store.
    pub async fn restart(&mut self) {
        self.stop_controller().await;
        self.start_controller();
    }

    /// Ends the controller. Only [`World::start_controller`] may follow.
    pub async fn stop_controller(&mut self) {
        self.stop.cancel();
        (&mut self.controller).await.unwrap();
    }

    /// Starts another controller over the same store.
    pub fn start_controller(&mut self) {
        let client = guarded(&self.api, &self.refused);
        (self.stop, self.controller) = start(client, &self.fake, &self.clock, &self.ids);
    }

    /// From now on the API server refuses the controller's requests with this method about Workers, as a policy or a quota
    /// would. `None`: it no longer does.
    pub fn refuse(&self, method: http::Method, words: Option<&str>) {
        let mut refused = self.refused.lock().unwrap();
        refused.remove(&method);
        refused.extend(words.map(|words| (method, words.to_owned())));
    }

    pub fn pools(&self) -> Api<ContainerPool> {
        Api::namespaced(self.client.clone(), NS)
    }
    pub fn workers(&self) -> Api<Worker> {
        Api::namespaced(self.client.clone(), NS)
    }
    pub fn dispatches(&self) -> Api<Dispatch> {
        Api::namespaced(self.client.clone(), NS)
    }
    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Sets the wall clock of the controller and of the API server. Monotonic time goes on.
    pub fn set_clock(&self, by: SignedDuration) {
        self.ahead.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub async fn pool(&self, name: &str, spec: Value) -> ContainerPool {
        let mut spec = spec;
        spec["runtime"] = json!("Docker");
        spec["image"] = json!("worker:1");
        let pool = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name}, "spec": spec});
        self.pools().create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap()
    }

    pub async fn dispatch(&self, name: &str, pool: &str, spec: Value) -> Dispatch {
        let mut spec = spec;
        spec["pool"] = json!(pool);
        let d = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": name}, "spec": spec});
        self.dispatches().create(&PostParams::default(), &serde_json::from_value(d).unwrap()).await.unwrap()
    }

    pub async fn annotate(&self, pool: &str, key: &str, value: &str) {
        self.patch_pool(pool, json!({"metadata": {"annotations": {key: value}}})).await;
    }

    pub async fn patch_pool(&self, pool: &str, patch: Value) {
        self.pools().patch(pool, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn patch_dispatch(&self, name: &str, patch: Value) {
        self.dispatches().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Reports on the current attempt.
    pub async fn report(&self, name: &str, result: Value) {
        let d = self.dispatches().get(name).await.unwrap();
        // What an earlier result said and this one does not has to go: a merge patch keeps it otherwise.
        let mut full = json!({"attempt": d.status.unwrap().attempt, "retryAfter": null, "message": null});
        full.as_object_mut().unwrap().extend(result.as_object().unwrap().clone());
        let result = full;
        let patch = json!({"metadata": {"uid": d.metadata.uid}, "spec": {"result": result}});
        self.dispatches().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn all_workers(&self) -> Vec<Worker> {
        self.workers().list(&ListParams::default()).await.unwrap().items
    }

    /// Waits, on virtual time, until a dispatch fulfils a condition.
    pub async fn until_dispatch(&self, name: &str, what: &str, f: impl Fn(&Dispatch) -> bool) -> Dispatch {
        for _ in 0..20_000 {
            if let Some(d) = self.dispatches().get_opt(name).await.unwrap()
                && f(&d)
            {
                return d;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let pools = self.pools().list(&ListParams::default()).await.unwrap().items;
        let statuses: Vec<_> = pools.into_iter().map(|p| serde_json::to_string(&p.status).unwrap()).collect();
        panic!("{name} never {what}: {:?} {statuses:#?}", self.dispatches().get_opt(name).await.unwrap());
    }

    pub async fn until_assigned(&self, name: &str) -> String {
        let d = self.until_dispatch(name, "assigned", |d| phase(d) == DispatchPhase::Assigned).await;
        d.status.unwrap().worker.unwrap().name
    }

    pub async fn until_final(&self, name: &str) -> DispatchPhase {
        phase(&self.until_dispatch(name, "final", |d| phase(d).is_final()).await)
    }

    pub async fn until_workers(&self, what: &str, f: impl Fn(&[Worker]) -> bool) -> Vec<Worker> {
        for _ in 0..40_000 {
            let all = self.all_workers().await;
            if f(&all) {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("workers never {what}: {:#?}", self.all_workers().await);
    }

    pub async fn until_pool(&self, name: &str, what: &str, f: impl Fn(&ContainerPool) -> bool) -> ContainerPool {
        for _ in 0..20_000 {
            let pool = self.pools().get(name).await.unwrap();
            if f(&pool) {
                return pool;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("pool {name} never {what}: {:#?}", self.pools().get(name).await.unwrap());
    }
}

pub fn phase(d: &Dispatch) -> DispatchPhase {
    d.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

/// Methods of requests about Workers that are refused, each with the words of the refusal.
type Refused = Arc<Mutex<HashMap<http::Method, String>>>;

/// A client of the API that refuses requests about Workers while it is asked to.
fn guarded(api: &LocalApi, refused: &Refused) -> kube::Client {
    let (client, refused) = (api.client(NS), refused.clone());
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let about_workers = request.uri().path().contains("/workers");
        let words = refused.lock().unwrap().get(request.method()).filter(|_| about_workers).cloned();
        let client = client.clone();
        async move {
            if let Some(message) = words {
                let status = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": message});
                let body = kube::client::Body::from(status.to_string().into_bytes());
                return Ok(http::Response::builder().status(403).body(body).unwrap());
            }
            client.send(request).await
        }
    });
    kube::Client::new(service, NS)
}

fn start(
    client: kube::Client,
    fake: &FakeRuntime,
    clock: &Arc<dyn Clock>,
    ids: &Ids,
) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    let runtimes: Vec<Arc<dyn Runtime>> = vec![Arc::new(fake.view("controller"))];
    let mut options = Options::new(runtimes, clock.clone(), ids.clone());
    options.local_credentials = true;
    options.check_pattern = poolkeeper::supervisor::outcome::check_pattern;
    let handle = tokio::spawn(controller::run(client, options, stop.clone()));
    (stop, handle)
}

/// A wall clock that follows virtual time until it is set.
struct Virtual(SystemClock, Arc<AtomicI64>);

impl Clock for Virtual {
    fn now(&self) -> jiff::Timestamp {
        let ahead = SignedDuration::from_millis(self.1.load(Ordering::Relaxed));
        jiff::Timestamp::from_second(1_700_000_000).unwrap() + self.0.mono() + ahead
    }
    fn mono(&self) -> Duration {
        self.0.mono()
    }
}
