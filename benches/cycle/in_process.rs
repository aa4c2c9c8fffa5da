//! Over the in-process API and the fake runtime, in real time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{ContainerPool, Dispatch, Worker, crd};
use poolkeeper::clock::{Clock, Ids, SystemClock};
use poolkeeper::controller::{self, Options};
use poolkeeper::local::{History, LocalApi, Options as LocalOptions};
use poolkeeper::runtime::{LOCAL_HOST, Runtime};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt};

use poolkeeper_testkit::fake::FakeRuntime;
use poolkeeper_testkit::writes::{Writes, count};

const NS: &str = "default";
const ROUNDS: usize = 5;

/// Answers of the API to the controller.
#[derive(Default)]
struct Answers {
    patches: AtomicUsize,
    conflicts: AtomicUsize,
    other_errors: AtomicUsize,
}

struct World {
    api: LocalApi,
    client: kube::Client,
    answers: Arc<Answers>,
    stop: CancellationToken,
    controller: tokio::task::JoinHandle<()>,
    workers: usize,
}

impl World {
    async fn new(workers: usize) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let ids = Ids::seeded(1);
        let options = LocalOptions { crds: crd::all(), clock: clock.clone(), ids: ids.clone(), history: History::Full };
        let api = LocalApi::new(options).unwrap();
        let fake = FakeRuntime::new(&[LOCAL_HOST], clock.clone(), ids.clone());
        fake.set_start_time(Duration::ZERO..Duration::from_millis(1));
        let answers = Arc::new(Answers::default());
        let counted = answers.clone();
        let layer = tower::layer::layer_fn(move |service: poolkeeper::local::LocalService| {
            let counted = counted.clone();
            tower::service_fn(move |request: http::Request<kube::client::Body>| {
                let (counted, service) = (counted.clone(), service.clone());
                async move {
                    let patch = request.method() == http::Method::PATCH;
                    let response = service.oneshot(request).await?;
                    counted.patches.fetch_add(usize::from(patch), Ordering::Relaxed);
                    match response.status().as_u16() {
                        409 => counted.conflicts.fetch_add(1, Ordering::Relaxed),
                        400.. => counted.other_errors.fetch_add(1, Ordering::Relaxed),
                        _ => 0,
                    };
                    Ok::<_, tower::BoxError>(response)
                }
            })
        });
        let its_client = kube::Client::new(layer.layer(api.service()), NS);
        let runtimes: Vec<Arc<dyn Runtime>> = vec![Arc::new(fake.view("controller"))];
        let options = Options::new(runtimes, clock, ids);
        let stop = CancellationToken::new();
        let controller = tokio::spawn(controller::run(its_client, options, stop.clone()));
        let world = Self { client: api.client(NS), api, answers, stop, controller, workers };
        world.pool().await;
        world
    }

    async fn pool(&self) {
        let pool = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"},
            "spec": {"runtime": "Docker", "image": "worker:1", "min": self.workers, "max": self.workers,
                "dispatch": {"queueLimit": 100_000, "history": {"limit": 1000}}}});
        let pools: Api<ContainerPool> = Api::namespaced(self.client.clone(), NS);
        pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
        let workers: Api<Worker> = Api::namespaced(self.client.clone(), NS);
        loop {
            let all = workers.list(&ListParams::default()).await.unwrap().items;
            let is_ready = |w: &&Worker| w.status.as_ref().is_some_and(|s| s.phase == WorkerPhase::Ready);
            if all.iter().filter(is_ready).count() == self.workers {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn dispatches(&self) -> Api<Dispatch> {
        Api::namespaced(self.client.clone(), NS)
    }

    async fn create(&self, name: &str) {
        let d = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": name},
            "spec": {"pool": "agents"}});
        self.dispatches().create(&PostParams::default(), &serde_json::from_value(d).unwrap()).await.unwrap();
    }

    /// `total` dispatches, `in_flight` of them at a time. Answers the time it took, and for each how long it was from
    /// the answer to its creation until a watcher saw it Assigned.
    async fn run(&self, prefix: &str, total: usize, in_flight: usize) -> (Duration, Vec<Duration>) {
        let api = self.dispatches();
        let version = api.list(&ListParams::default().limit(1)).await.unwrap().metadata.resource_version.unwrap();
        let mut events = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        let begin = Instant::now();
        let (mut made, mut ended) = (0, 0);
        let mut created: BTreeMap<String, Instant> = BTreeMap::new();
        let mut waits = Vec::new();
        while ended < total {
            while made < total && made - ended < in_flight {
                let name = format!("{prefix}-{made}");
                self.create(&name).await;
                created.insert(name, Instant::now());
                made += 1;
            }
            let Some(WatchEvent::Modified(d)) = events.try_next().await.unwrap() else { continue };
            let (name, status) = (d.metadata.name.unwrap(), d.status.unwrap());
            let Some(at) = created.get(&name) else { continue };
            if status.phase.is_final() {
                created.remove(&name);
                ended += 1;
            } else if status.phase == DispatchPhase::Assigned && d.spec.result.is_none() {
                waits.push(at.elapsed());
                let result = json!({"spec": {"result": {"attempt": status.attempt, "outcome": "Succeeded"}}});
                api.patch(&name, &PatchParams::default(), &Patch::Merge(result)).await.unwrap();
            }
        }
        (begin.elapsed(), waits)
    }

    /// Status PATCHes of the size of a publish, one after the other: their rate, and how long each takes.
    async fn patches(&self, count: usize) -> (f64, Vec<Duration>) {
        self.create("plain").await;
        let api = self.dispatches();
        tokio::time::sleep(Duration::from_millis(200)).await; // it is assigned by then, if that is possible
        let mut times = Vec::new();
        let begin = Instant::now();
        for n in 0..count {
            let status = json!({"status": {"target": {"runtime": "Docker", "host": "local", "id": format!("{n:064}"),
                "argv": ["docker", "exec", "-i", format!("{n:064}")]}, "assignedAt": format!("2026-01-01T00:00:00.{:06}Z", n)}});
            let start = Instant::now();
            api.patch_status("plain", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
            times.push(start.elapsed());
        }
        let rate = count as f64 / begin.elapsed().as_secs_f64();
        api.delete("plain", &Default::default()).await.unwrap();
        (rate, times)
    }

    async fn end(self) {
        self.stop.cancel();
        self.controller.await.unwrap();
    }
}

fn percentile(times: &mut [Duration], p: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * p / 100].as_secs_f64() * 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn measure(workers: usize, total: usize, in_flight: usize) {
    let mut cycles = Vec::new();
    let mut shares = Vec::new();
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let (mut p50_ratio, mut p99_ratio) = (Vec::new(), Vec::new());
    let mut sum: Option<(Writes, usize, usize, usize)> = None;
    for round in 0..ROUNDS {
        let world = World::new(workers).await;
        // Its own controller stops: the pool of these PATCHes has none.
        let plain = World::new(1).await;
        plain.stop.cancel();
        let (rate, mut times) = plain.patches(2_000).await;
        plain.end().await;
        world.run("warm", total / 10, in_flight).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let from = world.api.history().len();
        let patched = world.answers.patches.load(Ordering::Relaxed);
        let (took, mut waits) = world.run(&format!("r{round}"), total, in_flight).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let writes = count(&world.api.history(), from);
        let rate_of_cycles = total as f64 / took.as_secs_f64();
        cycles.push(rate_of_cycles);
        shares.push(rate_of_cycles * (writes.all() as f64 / total as f64) / rate);
        let (a, b) = (percentile(&mut waits, 50), percentile(&mut waits, 99));
        p50.push(a);
        p99.push(b);
        p50_ratio.push(a / percentile(&mut times, 50));
        p99_ratio.push(b / percentile(&mut times, 99));
        let done = world.answers.patches.load(Ordering::Relaxed) - patched;
        let (conflicts, errors) =
            (world.answers.conflicts.load(Ordering::Relaxed), world.answers.other_errors.load(Ordering::Relaxed));
        sum = Some((writes, done, conflicts, errors));
        world.end().await;
    }
    let (w, patches, conflicts, errors) = sum.unwrap();
    let per = |n: usize| n as f64 / total as f64;
    let own = w.cycle() + w.roll_ups + w.other;
    println!("## {workers} workers, {in_flight} in flight, {total} dispatches, medians of {ROUNDS}");
    println!("cycles a second: {:.0}", median(cycles));
    println!("share of (status PATCHes a second / writes of a cycle): {:.0} % (aim >= 80 %)", 100.0 * median(shares));
    println!(
        "created to Assigned: p50 {:.0} us, {:.1}x a PATCH; p99 {:.0} us, {:.1}x a PATCH (aim <= 3x)",
        median(p50),
        median(p50_ratio),
        median(p99),
        median(p99_ratio)
    );
    println!(
        "writes per dispatch by the controller: {:.3} (reserve {:.3}, reuse {:.3}, publish {:.3}, close {:.3}, free {:.3}); \
        deletes {:.3}; by the supervisor {:.3}",
        per(w.cycle()),
        per(w.reserve),
        per(w.reuse),
        per(w.publish),
        per(w.close),
        per(w.free),
        per(w.deleted),
        per(w.supervisor)
    );
    println!("Events {}, roll-ups {}, other {}", w.events, w.roll_ups, w.other);
    let no_ops = patches.saturating_sub(own);
    println!(
        "wasted: {conflicts} conflicts, {no_ops} no-ops, {errors} other errors: {:.2} % of {patches} PATCHes (aim <= 1 %)\n",
        100.0 * (conflicts + no_ops + errors) as f64 / patches as f64
    );
}

pub async fn run() {
    measure(4, 300, 1).await;
    measure(8, 2_000, 16).await;
    measure(64, 2_000, 128).await;
}
