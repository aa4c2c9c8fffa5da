//! Simulated supervisors. They request workers in both ways, act on `status.target` alone, start an attempt at
//! most once, and report: mostly at once, sometimes late, twice, for an old attempt, or never.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use poolkeeper::api::{ContainerPool, Dispatch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::net::Ledger;
use crate::plan::{Plan, Task};
use poolkeeper_testkit::audit::evidence::LEASE_SECONDS;
use poolkeeper_testkit::fake::FakeRuntime;
use poolkeeper_testkit::watched::Watched;

/// The newest version of each dispatch, as the supervisors' own watch shows it, and how many versions there were.
type Feed = Arc<Mutex<BTreeMap<String, Newest>>>;
type Newest = Watched<(u64, Option<Arc<Dispatch>>)>;

/// What all supervisors share.
#[derive(Clone)]
pub struct Holders {
    client: kube::Client,
    fake: FakeRuntime,
    ledger: Arc<Ledger>,
    feed: Feed,
    /// Holders (by Lease) that do not answer any more, until then.
    away: Arc<Mutex<BTreeMap<String, Instant>>>,
    seed: u64,
}

impl Holders {
    pub fn start(plan: &Plan, client: kube::Client, fake: &FakeRuntime, ledger: &Arc<Ledger>) -> Self {
        let this = Self {
            client,
            fake: fake.clone(),
            ledger: ledger.clone(),
            feed: Feed::default(),
            away: Arc::default(),
            seed: plan.seed,
        };
        tokio::spawn(this.clone().follow());
        for lease in ["holder-1", "holder-2"] {
            tokio::spawn(this.clone().renew(lease));
        }
        for task in &plan.tasks {
            tokio::spawn(this.clone().hold(task.clone()));
        }
        this
    }

    /// A holder stops renewing and reporting; some come back.
    pub fn vanish(&self, lease: &str, back: Duration) {
        self.away.lock().unwrap().insert(lease.to_owned(), Instant::now() + back);
    }

    fn is_away(&self, lease: Option<&str>) -> bool {
        lease.and_then(|l| self.away.lock().unwrap().get(l).copied()).is_some_and(|until| Instant::now() < until)
    }

    fn of(&self, name: &str) -> Newest {
        self.feed.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }

    fn saw(&self, name: &str, newest: Option<Arc<Dispatch>>) {
        self.of(name).change(|(versions, last)| (*versions, *last) = (*versions + 1, newest));
    }

    async fn follow(self) {
        let api: Api<Dispatch> = Api::namespaced(self.client.clone(), "sim");
        let mut events = watcher(api, watcher::Config::default()).backoff(crate::world::Pause).boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(d) | watcher::Event::InitApply(d)) => {
                    let name = d.metadata.name.clone().unwrap();
                    self.saw(&name, Some(Arc::new(d)));
                }
                Ok(watcher::Event::Delete(d)) => {
                    self.saw(&d.metadata.name.clone().unwrap(), None);
                }
                _ => {}
            }
        }
    }

    async fn renew(self, lease: &'static str) {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), "sim");
        let new = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": lease},
            "spec": {"holderIdentity": lease, "leaseDurationSeconds": LEASE_SECONDS},
        });
        let new: Lease = serde_json::from_value(new).unwrap();
        let _ = api.create(&PostParams::default(), &new).await;
        loop {
            sleep(Duration::from_secs(6)).await;
            if !self.is_away(Some(lease)) {
                let time = jiff::Timestamp::from_second(crate::clock::EPOCH).unwrap() + self.ledger.start.elapsed();
                let change = json!({"spec": {"renewTime": format!("{time:.6}")}});
                let _ = api.patch(lease, &PatchParams::default(), &Patch::Merge(change)).await;
            }
        }
    }

    /// Asks for a dispatch, then runs every attempt that is assigned, of this one and of its namesakes.
    async fn hold(self, task: Task) {
        let newest = self.of(&task.name);
        sleep_until(self.ledger.start + task.at).await;
        self.ask(&task).await;
        let mut started = BTreeSet::new();
        loop {
            let (seen, now) = newest.read(Clone::clone);
            if let Some(d) = now
                && let Some(status) = d.status.clone().filter(|s| s.is_open() && s.target.is_some())
                && started.insert((d.metadata.uid.clone().unwrap(), status.attempt))
            {
                tokio::spawn(self.clone().attempt(task.clone(), d));
            }
            newest.wait_for(|(versions, _)| *versions > seen).await;
        }
    }

    /// In the way that the task requires.
    pub async fn ask(&self, task: &Task) {
        if task.door {
            let s = &task.spec;
            let mut wish = json!({"priority": s.priority, "retry": s.retry});
            if let Some(t) = s.queue_timeout {
                wish["queueTimeout"] = json!(t);
            }
            if let Some(t) = s.timeout {
                wish["timeout"] = json!(t);
            }
            if let Some(l) = &s.lease_name {
                wish["leaseName"] = json!(l);
            }
            let key = format!("dispatch.poolkeeper.dev/{}", task.name);
            self.annotate(&s.pool, &key, &wish.to_string()).await;
            return;
        }
        let api: Api<Dispatch> = Api::namespaced(self.client.clone(), "sim");
        let d = Dispatch::new(&task.name, task.spec.clone());
        for _ in 0..20 {
            match api.create(&PostParams::default(), &d).await {
                Ok(_) | Err(kube::Error::Api(_)) => return,
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn annotate(&self, pool: &str, key: &str, value: &str) {
        let api: Api<ContainerPool> = Api::namespaced(self.client.clone(), "sim");
        let change = json!({"metadata": {"annotations": {key: value}}});
        for _ in 0..20 {
            match api.patch(pool, &PatchParams::default(), &Patch::Merge(&change)).await {
                Ok(_) | Err(kube::Error::Api(_)) => return,
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn attempt(self, task: Task, d: Arc<Dispatch>) {
        let (uid, status) = (d.metadata.uid.clone().unwrap(), d.status.clone().unwrap());
        let (n, target) = (status.attempt, status.target.clone().unwrap());
        let mut salt = self.seed ^ (u64::try_from(n).unwrap() << 32);
        for byte in task.name.bytes().chain(uid.bytes()) {
            salt = (salt ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut rng = StdRng::seed_from_u64(salt);
        let slow = if rng.random_bool(0.1) { 40_000 } else { 1_500 };
        sleep(Duration::from_millis(rng.random_range(0..slow))).await;
        // Drawn apart: the other draws stay as they were.
        let mut contact = StdRng::seed_from_u64(salt ^ 0x105e);
        let loses = contact.random_bool(0.12);
        if loses && contact.random_bool(0.3) {
            self.ledger.say(format!("{} {n}: contact is lost while it starts", task.name));
            let after = contact.random_range(0..20_000);
            tokio::spawn(self.clone().goes_on(task.clone(), target.id.clone(), uid.clone(), n, after, true));
            self.lose(&task, &uid, n, &mut contact).await;
            return;
        }
        if self.fake.begin_task(&target.id, &uid, n).is_err() {
            self.ledger.say(format!("{} {n}: its worker cannot be reached", task.name));
            // The worker is lost, and that is for the controller to see, or the holder says that it knows nothing.
            if contact.random_bool(0.5) {
                self.lose(&task, &uid, n, &mut contact).await;
            }
            return;
        }
        self.ledger.say(format!("{} {n} begins", task.name));
        let run = Duration::from_millis(rng.random_range(200..=task.mood.longest * 1000));
        if loses {
            let part = run.mul_f64(contact.random());
            sleep(part).await;
            self.ledger.say(format!("{} {n}: contact is lost while it runs", task.name));
            let rest =
                u64::try_from(run.checked_sub(part).unwrap().as_millis()).unwrap() + contact.random_range(0..30_000);
            tokio::spawn(self.clone().goes_on(task.clone(), target.id.clone(), uid.clone(), n, rest, false));
            self.lose(&task, &uid, n, &mut contact).await;
            return;
        }
        let lost = tokio::select! {
            biased;
            () = self.fake.task_over(&target.id, &uid, n) => true,
            () = sleep(run) => false,
        };
        if lost || self.fake.end_task(&target.id, &uid, n).is_err() {
            self.ledger.say(format!("{} {n} is lost", task.name));
            if contact.random_bool(0.5) {
                self.lose(&task, &uid, n, &mut contact).await;
            }
            return;
        }
        let (roll, mood) = (rng.random::<f64>(), task.mood);
        let limits = [mood.rate_limited, mood.failed, mood.unauthorized, mood.silent];
        let sum = |k: usize| limits[..k].iter().sum::<f64>();
        let outcome = match roll {
            r if r < sum(1) => "RateLimited",
            r if r < sum(2) && contact.random_bool(0.5) => "Overloaded",
            r if r < sum(2) => "Failed",
            r if r < sum(3) => "Unauthorized",
            r if r < sum(4) => {
                self.ledger.say(format!("{} {n} ends without a report", task.name));
                return;
            }
            _ => "Succeeded",
        };
        self.ledger.say(format!("{} {n} ends: {outcome}", task.name));
        let names_a_time = matches!(outcome, "RateLimited" | "Overloaded");
        let mut retry_after = (names_a_time && rng.random_bool(0.5)).then(|| rng.random_range(1..=90));
        if outcome == "Succeeded" && contact.random_bool(0.12) {
            retry_after = Some(contact.random_range(0..=40)); // it used up what the service allows
        }
        let lease = task.spec.lease_name.as_deref();
        while self.is_away(lease) {
            sleep(Duration::from_secs(1)).await; // back, it reports what it has
        }
        if rng.random_bool(0.1) {
            sleep(Duration::from_millis(rng.random_range(0..60_000))).await;
        }
        if n > 1 && rng.random_bool(0.1) {
            self.report(&task, &uid, n - 1, "Succeeded", None).await; // a slip, to be refused
        }
        if task.door && rng.random_bool(0.7) {
            let more = retry_after.map_or_else(String::new, |s| format!(" retryAfter={s}s"));
            let key = format!("result.poolkeeper.dev/{}", task.name);
            self.annotate(&task.spec.pool, &key, &format!("{n} {outcome}{more} uid={uid}")).await;
            return;
        }
        self.report(&task, &uid, n, outcome, retry_after).await;
        if rng.random_bool(0.1) {
            sleep(Duration::from_millis(rng.random_range(0..20_000))).await;
            self.report(&task, &uid, n, outcome, retry_after).await;
        }
    }

    /// A task of which its holder knows nothing: it begins (if it is yet to) and ends by itself. Then some holders learn of that,
    /// and report again.
    async fn goes_on(self, task: Task, target: String, uid: String, n: i32, after: u64, begins: bool) {
        sleep(Duration::from_millis(after)).await;
        if begins {
            if self.fake.begin_task(&target, &uid, n).is_err() {
                return;
            }
            sleep(Duration::from_secs(20)).await;
        }
        if self.fake.end_task(&target, &uid, n).is_ok() && after.is_multiple_of(3) {
            self.report(&task, &uid, n, "Succeeded", None).await;
        }
    }

    /// Reports that it does not know whether the task runs.
    async fn lose(&self, task: &Task, uid: &str, n: i32, contact: &mut StdRng) {
        sleep(Duration::from_millis(contact.random_range(0..5000))).await;
        while self.is_away(task.spec.lease_name.as_deref()) {
            sleep(Duration::from_secs(1)).await;
        }
        self.ledger.count("holder reports Lost");
        if task.door && contact.random_bool(0.5) {
            let key = format!("result.poolkeeper.dev/{}", task.name);
            self.annotate(&task.spec.pool, &key, &format!("{n} Lost uid={uid}")).await;
        } else {
            self.report(task, uid, n, "Lost", None).await;
        }
    }

    async fn report(&self, task: &Task, uid: &str, attempt: i32, outcome: &str, retry_after: Option<u64>) {
        let api: Api<Dispatch> = Api::namespaced(self.client.clone(), "sim");
        let mut result = json!({"attempt": attempt, "outcome": outcome, "retryAfter": null});
        if let Some(seconds) = retry_after {
            result["retryAfter"] = json!(format!("{seconds}s"));
        }
        let change = json!({"metadata": {"uid": uid}, "spec": {"result": result}});
        for _ in 0..30 {
            match api.patch(&task.name, &PatchParams::default(), &Patch::Merge(&change)).await {
                Ok(_) => return,
                Err(kube::Error::Api(s)) if matches!(s.code, 404 | 409 | 422) => {
                    self.ledger.say(format!("{} {attempt} {outcome} refused: {}", task.name, s.message));
                    self.ledger.count("report refused");
                    return;
                }
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }
}
