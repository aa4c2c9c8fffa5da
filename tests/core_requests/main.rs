//! The queue's limit, requests in annotations, and that an object which waits for something is looked at when that
//! happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod delays;
mod doors;
mod lost;
mod marks;
mod parking;
mod queue;
mod replacing;
mod stored;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use poolkeeper::api::{Condition, ContainerPool, ContainerPoolSpec, Dispatch, Worker};
use poolkeeper::core::template_hash;
use poolkeeper::core::{
    Action, Config, Core, Event, EventType, Fetched, Input, Now, ObjectKey, RuntimeFact, Seen, Settled, Subject, Verb,
};
use poolkeeper::runtime::{Instance, InstanceKey, InstanceState, LOCAL_HOST, Observation};
use poolkeeper_testkit::objects::{config, host, object};
use serde_json::{Value, json};

/// When these tests begin.
const START: &str = "2026-01-01T01:30:00Z";

/// A core, and the time that passes for it.
struct Rig {
    core: Core,
    passed: Duration,
}

impl Rig {
    /// Everything was listed, and this is all there is. The host has an instance for each worker.
    fn new(pools: &[Arc<ContainerPool>], workers: &[Arc<Worker>], dispatches: &[Arc<Dispatch>]) -> Self {
        let mut rig = Self::without_host(pools, workers, dispatches);
        rig.list_host(workers);
        rig
    }

    /// The host was not reached yet.
    fn without_host(pools: &[Arc<ContainerPool>], workers: &[Arc<Worker>], dispatches: &[Arc<Dispatch>]) -> Self {
        Self::configured(config(), pools, workers, dispatches)
    }

    fn configured(
        config: Config,
        pools: &[Arc<ContainerPool>],
        workers: &[Arc<Worker>],
        dispatches: &[Arc<Dispatch>],
    ) -> Self {
        let mut rig = Self::unlisted(config);
        rig.list(pools, workers, dispatches);
        rig
    }

    /// It knows nothing yet.
    fn unlisted(config: Config) -> Self {
        Self { core: Core::new(config), passed: Duration::ZERO }
    }

    fn list(&mut self, pools: &[Arc<ContainerPool>], workers: &[Arc<Worker>], dispatches: &[Arc<Dispatch>]) {
        for p in pools {
            self.apply(Input::Pool(Seen::Present(p.clone())));
        }
        for w in workers {
            self.apply(Input::Worker(Seen::Present(w.clone())));
        }
        for d in dispatches {
            self.apply(Input::Dispatch(Seen::Present(d.clone())));
        }
        self.apply(Input::Pool(Seen::Listed(pools.iter().map(|p| ObjectKey::of(&**p)).collect())));
        self.apply(Input::Worker(Seen::Listed(workers.iter().map(|w| ObjectKey::of(&**w)).collect())));
        self.apply(Input::Dispatch(Seen::Listed(dispatches.iter().map(|d| ObjectKey::of(&**d)).collect())));
    }

    fn list_host(&mut self, workers: &[Arc<Worker>]) {
        let instances = workers.iter().map(|w| instance(w)).collect();
        self.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Listed(instances))));
    }

    fn now(&self) -> Now {
        let start: jiff::Timestamp = START.parse().unwrap();
        Now::new(start + self.passed, Duration::from_secs(1000) + self.passed)
    }

    fn apply(&mut self, event: Input) {
        self.core.apply(event, self.now());
    }

    /// What is asked for now: writes, and Warnings.
    fn decide(&mut self) -> (Vec<(Subject, Verb)>, Vec<Event>) {
        let (mut writes, mut notes) = (Vec::new(), Vec::new());
        for action in self.core.decide(self.now()) {
            match action {
                Action::Write(subject, verb) => writes.push((subject, verb)),
                Action::Record(note) => notes.push(note),
                _ => {}
            }
        }
        (writes, notes)
    }

    fn writes(&mut self) -> Vec<(Subject, Verb)> {
        self.decide().0
    }

    fn settle(&mut self, subject: Subject, settled: Settled) {
        self.apply(Input::Settled(subject, settled));
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("ns", name)
}

fn pool(name: &str, version: u32, spec: Value) -> Arc<ContainerPool> {
    object(name, version, serde_json::to_value(pool_spec(spec)).unwrap(), json!({}))
}

fn pool_spec(mut spec: Value) -> ContainerPoolSpec {
    spec["runtime"] = json!("Process");
    serde_json::from_value(spec).unwrap()
}

fn shared_credential(name: &str) -> Value {
    json!({"name": name, "env": "TOKEN", "secretKeyRef": {"name": "s", "key": "k"}})
}

/// A worker of the pool before the last hyphen of its name, with this status and its handle.
fn worker(name: &str, version: u32, credential: Option<&str>, status: Value) -> Arc<Worker> {
    let pool = name.rsplit_once('-').unwrap().0;
    let entry = credential.map(|name| serde_json::from_value(shared_credential(name)).unwrap());
    let hash = template_hash(&pool_spec(json!({})), entry.as_ref());
    let spec = json!({"pool": pool, "runtime": "Process", "host": "local", "credential": credential,
        "poolGeneration": 1, "templateHash": hash});
    let mut all = json!({"handle": {"id": "1", "started": "1"}, "dispatches": 1});
    all.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    object(name, version, spec, all)
}

/// Worker `p-0`, busy with the first attempt of Dispatch `t`.
fn busy() -> Arc<Worker> {
    let named = json!({"name": "t", "uid": "t-uid", "attempt": 1, "assignedAt": START});
    worker("p-0", 2, None, json!({"phase": "Busy", "dispatch": named}))
}

fn idle(name: &str) -> Arc<Worker> {
    worker(name, 3, None, json!({"phase": "Ready", "idleSince": START}))
}

fn instance(w: &Worker) -> Instance {
    let meta = &w.metadata;
    Instance {
        key: InstanceKey { namespace: "ns".into(), worker: meta.name.clone().unwrap(), uid: meta.uid.clone().unwrap() },
        host: LOCAL_HOST.to_owned(),
        handle: serde_json::from_value(json!({"id": "1", "started": "1"})).unwrap(),
        state: InstanceState::Running,
        own: true,
    }
}

/// A Dispatch for pool `p` that waits for its first attempt.
fn waits(name: &str) -> Arc<Dispatch> {
    object(name, 10, json!({"pool": "p"}), json!({"phase": "Pending"}))
}

/// The Dispatches whose status is written, and why they are final if they are.
fn closed(writes: &[(Subject, Verb)]) -> Vec<(String, Option<String>)> {
    let one = |(_, v): &(Subject, Verb)| match v {
        Verb::DispatchStatus(d, next) => Some((d.metadata.name.clone().unwrap(), next.reason.clone())),
        _ => None,
    };
    writes.iter().filter_map(one).collect()
}

/// The Dispatches that annotations ask for.
fn created(writes: &[(Subject, Verb)]) -> Vec<String> {
    let one = |(_, v): &(Subject, Verb)| match v {
        Verb::CreateDispatch(d) => Some(d.metadata.name.clone().unwrap()),
        _ => None,
    };
    writes.iter().filter_map(one).collect()
}

/// The server's answer to the creation of a Dispatch.
fn made(asked: &Dispatch, version: u32) -> Arc<Dispatch> {
    let spec = serde_json::to_value(&asked.spec).unwrap();
    let mut d: Arc<Dispatch> =
        object(asked.metadata.name.as_deref().unwrap(), version, spec, json!({"phase": "Pending"}));
    Arc::make_mut(&mut d).metadata.annotations.clone_from(&asked.metadata.annotations);
    d
}

/// The same pool with other annotations, or none.
fn annotated(pool: &ContainerPool, version: u32, annotations: &[(&str, &str)]) -> Arc<ContainerPool> {
    let mut pool = pool.clone();
    pool.metadata.resource_version = Some(version.to_string());
    pool.metadata.annotations = Some(annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    Arc::new(pool)
}

fn done(d: Arc<Dispatch>) -> Settled {
    Settled::Done(Some(Fetched::Dispatch(Some(d))))
}
