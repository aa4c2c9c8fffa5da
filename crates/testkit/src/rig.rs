//! A [`Core`] with workers and waiting dispatches, and an API server that does at once what it is asked.
//!
//! Used by the bench `core` and by `tests/core_visits.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use poolkeeper::api::dispatch::{
    DispatchResult, DispatchSpec, DispatchStatus, LastResult, Outcome, ReportedOutcome, Target, WorkerRef,
};
use poolkeeper::api::pool::{ContainerPoolSpec, Credential, Scope, SecretKeyRef};
use poolkeeper::api::worker::{Handle, WorkerPhase, WorkerSpec, WorkerStatus};
use poolkeeper::api::{ContainerPool, Dispatch, Period, RuntimeKind, Time, Worker, names};
use poolkeeper::core::{
    Action, Config, Core, Fetched, HostKey, Input, Now, ObjectKey, RuntimeFact, RuntimeOrder, Seen, Settled, Subject,
    Verb, template_hash,
};
use poolkeeper::runtime::{Instance, InstanceKey, InstanceState, LOCAL_HOST, Observation};

const NS: &str = "default";
/// Time between two events.
const BEAT: Duration = Duration::from_micros(50);

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub pools: usize,
    /// Over all pools.
    pub workers: usize,
    /// Over all pools. 0: every worker is idle; else every worker is busy.
    pub waiting: usize,
    /// Each shared by all pools. 0: workers have none.
    pub credentials: usize,
}

/// What an event was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A new dispatch: reserve, if there is a free worker.
    Seen,
    /// The reservation is written: publish.
    Reserved,
    /// The attempt is published.
    Published,
    /// Its result is seen: close.
    Result,
    /// It is closed: free.
    Closed,
    /// Its worker is freed.
    Freed,
    /// Its worker is freed and reserved again in one write: publish the next.
    Reused,
    /// The watch shows what was written.
    Echo,
    /// A finished dispatch is deleted.
    Deleted,
    /// A pool's status is written.
    RolledUp,
    /// A worker comes or goes.
    Other,
}

/// The cost of the events of one kind.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    pub nanos: Vec<u64>,
    pub visits: u64,
    pub most_visits: u64,
}

pub struct Rig {
    pub core: Core,
    shape: Shape,
    now: Now,
    version: u64,
    made: usize,
    pools: BTreeMap<ObjectKey, Arc<ContainerPool>>,
    workers: BTreeMap<ObjectKey, Arc<Worker>>,
    assigned: VecDeque<Arc<Dispatch>>,
    actions: VecDeque<Action>,
    pub costs: BTreeMap<Step, Cost>,
    /// Writes by what they do.
    pub writes: BTreeMap<Step, u64>,
}

fn host() -> HostKey {
    HostKey { runtime: RuntimeKind::Docker, host: LOCAL_HOST.to_owned() }
}

fn instance_life() -> Duration {
    poolkeeper::core::EARLY_END * 2
}

fn instance(w: &Worker) -> Instance {
    let key = ObjectKey::of(w);
    Instance {
        key: InstanceKey {
            namespace: key.namespace.to_string(),
            worker: key.name.to_string(),
            uid: w.metadata.uid.clone().unwrap(),
        },
        host: LOCAL_HOST.to_owned(),
        own: true,
        handle: Handle { id: "0123456789ab".into(), started: "2026-01-01T00:00:00Z".into(), engine: None },
        state: InstanceState::Running,
    }
}

impl Rig {
    /// All workers idle, or all busy with dispatches waiting.
    pub fn new(shape: Shape) -> Self {
        let core = Core::new(Config {
            default_runtime: RuntimeKind::Docker,
            runtimes: vec![RuntimeKind::Docker],
            hosts: vec![(RuntimeKind::Docker, vec![LOCAL_HOST.to_owned()])],
            rollup_interval: Duration::from_secs(5),
            local_credentials: false,
            standing_down: false,
            check_pattern: |_| Ok(()),
            target: Arc::new(|host, i| Target {
                runtime: host.runtime,
                host: Some(host.host.clone()),
                id: i.handle.id.clone(),
                argv: vec!["docker".into(), "exec".into(), "-i".into(), i.handle.id.clone()],
                endpoint: None,
            }),
        });
        let mut rig = Self {
            core,
            shape,
            now: Now::new(Timestamp::from_second(1_700_000_000).unwrap(), Duration::from_secs(1000)),
            version: 0,
            made: 0,
            pools: BTreeMap::new(),
            workers: BTreeMap::new(),
            assigned: VecDeque::new(),
            actions: VecDeque::new(),
            costs: BTreeMap::new(),
            writes: BTreeMap::new(),
        };
        rig.fill();
        rig
    }

    fn fill(&mut self) {
        let per_pool = self.shape.workers / self.shape.pools;
        let mut events = Vec::new();
        for p in 0..self.shape.pools {
            let pool = Arc::new(self.pool(p, per_pool));
            self.pools.insert(ObjectKey::of(&*pool), pool.clone());
            events.push(Input::Pool(Seen::Present(pool.clone())));
            for o in 0..per_pool {
                let w = Arc::new(self.worker(&pool, o));
                self.workers.insert(ObjectKey::of(&*w), w.clone());
                events.push(Input::Worker(Seen::Present(w)));
            }
        }
        let instances = self.workers.values().map(|w| instance(w)).collect();
        events.push(Input::Runtime(RuntimeFact::Observed(host(), Observation::Listed(instances))));
        events.push(Input::Pool(Seen::Listed(self.pools.keys().cloned().collect())));
        events.push(Input::Worker(Seen::Listed(self.workers.keys().cloned().collect())));
        let mut dispatches = BTreeSet::new();
        if self.shape.waiting > 0 {
            for _ in 0..self.shape.waiting + self.shape.workers {
                let d = self.make();
                dispatches.insert(ObjectKey::of(&*d));
                events.push(Input::Dispatch(Seen::Present(d)));
            }
        }
        events.push(Input::Dispatch(Seen::Listed(dispatches)));
        for event in events {
            self.core.apply(event, self.now);
        }
        self.actions.extend(self.core.decide(self.now));
        self.settle();
        self.costs.clear();
        self.writes.clear();
    }

    fn meta(&mut self, name: &str) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        self.version += 1;
        k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(NS.to_owned()),
            uid: Some(format!("2f1c7d4e-58a1-4b7e-9c55-{:012}", self.version)),
            resource_version: Some(self.version.to_string()),
            generation: Some(1),
            creation_timestamp: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now.wall)),
            ..Default::default()
        }
    }

    fn pool(&mut self, number: usize, max: usize) -> ContainerPool {
        let mut spec = ContainerPoolSpec { image: Some("ghcr.io/acme/agent-worker:1.4".into()), ..Default::default() };
        spec.max = i32::try_from(max).unwrap();
        spec.min = spec.max;
        spec.dispatch.queue_limit = 1_000_000;
        spec.health.interval = Period::hours(24);
        spec.rate_limit.scope = if self.shape.credentials > 0 { Scope::Credential } else { Scope::Worker };
        for c in 0..self.shape.credentials {
            spec.credentials.push(Credential {
                name: format!("team-{c}"),
                env: "TOKEN".into(),
                secret_key_ref: Some(SecretKeyRef { name: "tokens".into(), key: format!("team-{c}") }),
                from_env: None,
                from_file: None,
                from_command: Vec::new(),
                directory: None,
                file: None,
                max_concurrent: Some(100_000),
            });
        }
        let name = format!("agents-{number}");
        let mut pool = ContainerPool::new(&name, spec);
        pool.metadata = self.meta(&name);
        pool.metadata.finalizers = Some(vec![names::POOL_FINALIZER.to_owned()]);
        pool
    }

    fn worker(&mut self, pool: &ContainerPool, ordinal: usize) -> Worker {
        let pool_name = pool.metadata.name.clone().unwrap();
        let name = names::worker(&pool_name, i32::try_from(ordinal).unwrap());
        let credential =
            (self.shape.credentials > 0).then(|| pool.spec.credentials[ordinal % self.shape.credentials].clone());
        let mut w = Worker::new(
            &name,
            WorkerSpec {
                pool: pool_name,
                pool_generation: 1,
                runtime: RuntimeKind::Docker,
                credential: credential.as_ref().map(|c| c.name.clone()),
                host: Some(LOCAL_HOST.to_owned()),
                directory: None,
                template_hash: template_hash(&pool.spec, credential.as_ref()),
                cordoned: false,
            },
        );
        w.metadata = self.meta(&name);
        w.metadata.finalizers = Some(vec![names::WORKER_FINALIZER.to_owned()]);
        w.status = Some(WorkerStatus {
            phase: WorkerPhase::Ready,
            handle: Some(instance(&w).handle),
            idle_since: Some(Time::from(self.now.wall)),
            ..Default::default()
        });
        w
    }

    /// A new dispatch of the next pool in turn.
    fn make(&mut self) -> Arc<Dispatch> {
        let (n, pool) = (self.made, self.made % self.shape.pools);
        self.made += 1;
        let name = format!("task-{n}");
        let mut d = Dispatch::new(&name, DispatchSpec { pool: format!("agents-{pool}"), ..Default::default() });
        d.metadata = self.meta(&name);
        d.status = Some(Default::default());
        Arc::new(d)
    }

    /// `cycles` dispatches from their creation to their end, one after the other; where dispatches wait, one more
    /// waits for each that ends.
    pub fn run(&mut self, cycles: usize) {
        for _ in 0..cycles {
            let d = self.make();
            self.feed(Step::Seen, Input::Dispatch(Seen::Present(d)));
            self.settle();
            let d = self.assigned.pop_front().expect("a dispatch is assigned");
            let mut d = Dispatch::clone(&d);
            d.spec.result = Some(DispatchResult {
                attempt: d.status.as_ref().unwrap().attempt,
                outcome: ReportedOutcome::Succeeded,
                retry_after: None,
                message: None,
            });
            d.metadata.resource_version = Some(self.next_version());
            self.feed(Step::Result, Input::Dispatch(Seen::Present(Arc::new(d))));
            self.settle();
        }
    }

    /// Dispatches come whose attempt was Lost on a worker that still exists: each of them waits for its end.
    pub fn lose(&mut self, count: usize) {
        let worker = self.workers.values().next().cloned().expect("there is a worker");
        let worker = WorkerRef {
            name: worker.metadata.name.clone().unwrap_or_default(),
            uid: worker.metadata.uid.clone().unwrap_or_default(),
        };
        for _ in 0..count {
            let mut d = Dispatch::clone(&*self.make());
            d.spec.retry.lost = -1;
            let closed_at = Time::from(self.now.wall);
            d.status = Some(DispatchStatus {
                attempt: 1,
                worker: Some(worker.clone()),
                last_result: Some(LastResult {
                    attempt: 1,
                    outcome: Outcome::Lost,
                    closed_at,
                    until: None,
                    message: None,
                }),
                ..Default::default()
            });
            self.feed(Step::Seen, Input::Dispatch(Seen::Present(Arc::new(d))));
            self.settle();
        }
        self.costs.clear();
        self.writes.clear();
    }

    /// Idle workers die one at a time, each of them is replaced before the next goes.
    pub fn replace(&mut self, times: usize) {
        for n in 0..times {
            // An instance that dies sooner than this after its start counts as a failed start.
            let later = instance_life();
            self.now = Now::new(self.now.wall + later, self.now.mono + later);
            let at = n * 7919 % self.workers.len();
            let w = self.workers.values().nth(at).cloned().unwrap();
            let gone = Input::Runtime(RuntimeFact::Observed(host(), Observation::Gone(instance(&w).key)));
            self.feed(Step::Other, gone);
            self.settle();
        }
    }

    /// Gives the pools a new image, to be rolled out to one worker after the other.
    pub fn change_image(&mut self) {
        for p in self.pools.values().cloned().collect::<Vec<_>>() {
            let mut p = ContainerPool::clone(&p);
            p.spec.image = Some("ghcr.io/acme/agent-worker:1.5".into());
            p.spec.update.max_unavailable = IntOrString::Int(1);
            p.spec.update.max_surge = IntOrString::Int(0);
            p.metadata.generation = p.metadata.generation.map(|g| g + 1);
            p.metadata.resource_version = Some(self.next_version());
            let p = Arc::new(p);
            self.pools.insert(ObjectKey::of(&*p), p.clone());
            self.feed(Step::Other, Input::Pool(Seen::Present(p)));
            self.settle();
        }
    }

    /// Lets time pass, enough that starts count as successful, and does what follows.
    pub fn wait(&mut self, times: usize) {
        for _ in 0..times {
            let later = instance_life();
            self.now = Now::new(self.now.wall + later, self.now.mono + later);
            self.feed(Step::Other, Input::Tick);
            self.settle();
        }
    }

    /// Workers that were made by [`Rig::change_image`] or later.
    pub fn updated(&self) -> usize {
        self.workers.values().filter(|w| w.spec.pool_generation > 1).count()
    }

    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    /// One event: what it costs to take it in and to decide what follows.
    fn feed(&mut self, step: Step, event: Input) {
        self.now = Now::new(self.now.wall + BEAT, self.now.mono + BEAT);
        let before = self.core.visits().0;
        let start = Instant::now();
        self.core.apply(event, self.now);
        let actions = self.core.decide(self.now);
        let took = start.elapsed();
        let visits = self.core.visits().0 - before;
        let cost = self.costs.entry(step).or_default();
        cost.nanos.push(u64::try_from(took.as_nanos()).unwrap());
        cost.visits += visits;
        cost.most_visits = cost.most_visits.max(visits);
        self.actions.extend(actions);
    }

    /// Carries out what was decided, and what is decided on that, until nothing is left.
    fn settle(&mut self) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Write(subject, verb) => self.write(subject, verb),
                Action::Runtime(order) => self.order(order),
                Action::Record(_) => {}
                Action::GetLease(_) => panic!("there are no leases here"),
            }
        }
    }

    fn order(&mut self, order: RuntimeOrder) {
        let fact = match order {
            RuntimeOrder::Start(_, spec) => {
                let w = self.workers[&ObjectKey::new(spec.key.namespace.clone(), spec.key.worker.clone())].clone();
                RuntimeFact::Started(spec.key, Ok(instance(&w)))
            }
            RuntimeOrder::Stop(_, key) => RuntimeFact::Stopped(key, Ok(())),
            RuntimeOrder::Check(_, key, _) => {
                let w = self.workers[&ObjectKey::new(key.namespace.clone(), key.worker.clone())].clone();
                RuntimeFact::Checked(key, Ok(Some(instance(&w))))
            }
            RuntimeOrder::SetPaused(_, key, paused, _) => {
                let w = self.workers[&ObjectKey::new(key.namespace.clone(), key.worker.clone())].clone();
                let state = if paused { InstanceState::Paused } else { InstanceState::Running };
                RuntimeFact::PausedSet(key, paused, Ok(Some(Instance { state, ..instance(&w) })))
            }
        };
        self.feed(Step::Other, Input::Runtime(fact));
    }

    fn write(&mut self, subject: Subject, verb: Verb) {
        let version = self.next_version();
        let (step, fetched, echo) = match verb {
            Verb::WorkerStatus(base, next) => {
                let mut w = Worker::clone(&base);
                let (before, after) = (base.status.as_ref().and_then(|s| s.dispatch.as_ref()), next.dispatch.as_ref());
                let step = match (before, after) {
                    (None, Some(_)) => Step::Reserved,
                    (Some(_), None) => Step::Freed,
                    (Some(_), Some(_)) => Step::Reused,
                    (None, None) => Step::Other,
                };
                w.status = Some(*next);
                w.metadata.resource_version = Some(version);
                let w = Arc::new(w);
                self.workers.insert(ObjectKey::of(&*w), w.clone());
                (step, Fetched::Worker(Some(w.clone())), Some(Input::Worker(Seen::Present(w))))
            }
            Verb::DispatchStatus(base, next) => {
                let mut d = Dispatch::clone(&base);
                let step = if next.is_open() { Step::Published } else { Step::Closed };
                d.status = Some(*next);
                d.metadata.resource_version = Some(version);
                let d = Arc::new(d);
                if step == Step::Published {
                    self.assigned.push_back(d.clone());
                }
                (step, Fetched::Dispatch(Some(d.clone())), Some(Input::Dispatch(Seen::Present(d))))
            }
            Verb::DeleteDispatch(base) => {
                let mut d = Dispatch::clone(&base);
                d.metadata.resource_version = Some(version);
                (Step::Deleted, Fetched::Dispatch(None), Some(Input::Dispatch(Seen::Gone(Arc::new(d)))))
            }
            Verb::PoolStatus(base, next) => {
                let mut p = ContainerPool::clone(&base);
                p.status = Some(*next);
                p.metadata.resource_version = Some(version);
                let p = Arc::new(p);
                self.pools.insert(ObjectKey::of(&*p), p.clone());
                (Step::RolledUp, Fetched::Pool(Some(p.clone())), Some(Input::Pool(Seen::Present(p))))
            }
            Verb::CreateWorker(w) => {
                let mut w = *w;
                let name = w.metadata.name.clone().unwrap();
                let kept = std::mem::take(&mut w.metadata);
                w.metadata = self.meta(&name);
                (w.metadata.finalizers, w.metadata.labels) = (kept.finalizers, kept.labels);
                let w = Arc::new(w);
                assert!(self.workers.insert(ObjectKey::of(&*w), w.clone()).is_none(), "{name} is there already");
                (Step::Other, Fetched::Worker(Some(w.clone())), Some(Input::Worker(Seen::Present(w))))
            }
            Verb::DeleteWorker(base, _) => {
                let mut w = Worker::clone(&base);
                w.metadata.deletion_timestamp =
                    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now.wall));
                w.metadata.resource_version = Some(version);
                let w = Arc::new(w);
                self.workers.insert(ObjectKey::of(&*w), w.clone());
                (Step::Other, Fetched::Worker(Some(w.clone())), Some(Input::Worker(Seen::Present(w))))
            }
            Verb::RemoveWorkerFinalizer(base) => {
                let mut w = Worker::clone(&base);
                w.metadata.resource_version = Some(version);
                self.workers.remove(&ObjectKey::of(&w));
                (Step::Other, Fetched::Worker(None), Some(Input::Worker(Seen::Gone(Arc::new(w)))))
            }
            other => panic!("not expected here: {other:?}"),
        };
        *self.writes.entry(step).or_default() += 1;
        self.feed(step, Input::Settled(subject, Settled::Done(Some(fetched))));
        if let Some(echo) = echo {
            self.feed(Step::Echo, echo);
        }
    }
}
