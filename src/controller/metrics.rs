//! The metrics. `docs/metrics.md` lists their names, units and meanings; a test here writes it.
//!
//! Numbers of existing objects are computed when the metrics are read: `render` sends a question to the loop. No input costs a
//! scan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::{mpsc, oneshot};

use super::health::{Health, Standing};
use crate::api::Dispatch;
use crate::api::dispatch::{DispatchPhase, DispatchStatus, Outcome};
use crate::clock::Clock;
use crate::core::census::PoolCensus;
use crate::core::{Fetched, Input, ObjectKey, Settled};

pub(super) mod words;

/// How long the loop may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The buckets for requests to the API server, in seconds.
const REQUEST: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];
/// The buckets for durations from a millisecond to hours, in seconds.
const LONG: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0,
    21600.0,
];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type PoolLabels<const N: usize> = [(&'static str, String); N];
type Seconds = Gauge<f64, AtomicU64>;

/// The metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    events: Family<Labels<1>, Counter>,
    writes: Family<Labels<3>, Counter>,
    write_seconds: Family<Labels<2>, Histogram, fn() -> Histogram>,
    orders: Family<Labels<3>, Counter>,
    order_seconds: Family<Labels<2>, Histogram, fn() -> Histogram>,
    wait: Histogram,
    assignment: Histogram,
    attempts: Family<PoolLabels<3>, Counter>,
    /// The outcomes for which a pool has a series.
    outcomes: Mutex<BTreeMap<ObjectKey, BTreeSet<&'static str>>>,
    leader: Gauge,
    loop_work: Family<Labels<2>, Gauge>,
    tables: Family<Labels<1>, Gauge>,
    pools: Gauge,
    workers: Family<PoolLabels<3>, Gauge>,
    waiting: Family<PoolLabels<2>, Gauge>,
    oldest: Family<PoolLabels<2>, Seconds>,
    resting_credentials: Family<PoolLabels<2>, Gauge>,
    parked_credentials: Family<PoolLabels<2>, Gauge>,
    ready: Family<PoolLabels<2>, Gauge>,
    /// The way to the running loop, if one runs.
    loop_: Mutex<Option<mpsc::Sender<Question>>>,
    /// Held while a page is written: one at a time.
    rendering: tokio::sync::Mutex<()>,
}

/// The question to the loop when metrics are read.
pub(super) type Question = oneshot::Sender<Answer>;

/// The numbers of existing objects and of work.
#[derive(Debug)]
pub(super) struct Answer {
    pub pools: Vec<PoolCensus>,
    /// Requests to the API server: (running, waiting).
    pub writes: (usize, usize),
    /// Orders to runtimes: (running, waiting).
    pub orders: (usize, usize),
    /// Entries of the tables, by what they are about.
    pub tables: Vec<(&'static str, usize)>,
}

/// The effect of a write on an attempt, if it succeeds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Milestone {
    /// Its dispatch is published on a worker: the start of its wait, and the time of the assignment.
    Published { waited: Option<Duration>, assigned: Option<jiff::Timestamp> },
    /// It is closed.
    Closed { pool: ObjectKey, attempt: i32, outcome: Outcome },
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("poolkeeper");
        let r = &mut registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "The version that runs", build);
        let request: fn() -> Histogram = || Histogram::new(REQUEST);
        let long: fn() -> Histogram = || Histogram::new(LONG);
        let inner = Inner {
            leader: add(r, "leader", "1 if this process leads or there is no election, else 0", Gauge::default()),
            pools: add(r, "pools", "Pools that this controller manages", Gauge::default()),
            workers: add(
                r,
                "workers",
                "Workers of a pool by what they are: idle, busy, resting (a rest of their own), starting, unavailable",
                Family::default(),
            ),
            waiting: add(
                r,
                "queue_length",
                "Dispatches of a pool that wait, for the first time or again",
                Family::default(),
            ),
            oldest: add_seconds(
                r,
                "queue_oldest",
                "Time since the creation of the oldest dispatch of a pool that waits",
                Family::default(),
            ),
            resting_credentials: add(
                r,
                "resting_credentials",
                "Credentials of a pool that rest after a rate limit or are parked",
                Family::default(),
            ),
            parked_credentials: add(
                r,
                "parked_credentials",
                "Credentials of a pool that are parked, because the service refused them",
                Family::default(),
            ),
            ready: add(
                r,
                "pool_ready",
                "1 if the condition Ready of a pool is True, 0 if it is False",
                Family::default(),
            ),
            attempts: add(
                r,
                "attempts",
                "Attempts of a pool that were closed, by outcome. Counted by the controller that closed them",
                Family::default(),
            ),
            wait: add_seconds(
                r,
                "queue_wait",
                "Time from when this controller saw that a dispatch waits to the server's answer to its publication",
                long(),
            ),
            assignment: add_seconds(
                r,
                "assignment",
                "Time from the decision for a worker (status.assignedAt) to the server's answer to the publication",
                long(),
            ),
            orders: add(r, "runtime_operations", "Operations of runtimes that ended", Family::default()),
            order_seconds: add_seconds(
                r,
                "runtime_operation",
                "Duration of operations of runtimes",
                Family::new_with_constructor(long),
            ),
            writes: add(
                r,
                "api_requests",
                "Requests to the API server by result: done, unchanged (nothing had to be sent), conflict (the object was another version), refused, failed (no answer, or an error of the server)",
                Family::default(),
            ),
            write_seconds: add_seconds(
                r,
                "api_request",
                "Duration of requests to the API server, with what it takes to learn the fate of one that failed",
                Family::new_with_constructor(request),
            ),
            loop_work: add(
                r,
                "loop_work",
                "Requests to the API server (api) and orders to runtimes (runtime) of the loop, by state (running, waiting)",
                Family::default(),
            ),
            tables: add(
                r,
                "loop_entries",
                "Entries of the tables of the loop, by what they are about. They grow with what exists, and not with time",
                Family::default(),
            ),
            events: add(r, "loop_events", "Inputs that the loop took in, by source", Family::default()),
            registry,
            outcomes: Mutex::default(),
            loop_: Mutex::default(),
            rendering: tokio::sync::Mutex::default(),
        };
        Self(Arc::new(inner))
    }
}

fn add<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

fn add_seconds<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No code under these locks can panic halfway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set<S: EncodeLabelSet + Clone + Debug + Hash + Eq>(family: &Family<S, Gauge>, labels: S, value: usize) {
    family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
}

fn of_pool(key: &ObjectKey) -> PoolLabels<2> {
    [("namespace", key.namespace.to_string()), ("pool", key.name.to_string())]
}

fn of_pool_and(key: &ObjectKey, name: &'static str, value: &str) -> PoolLabels<3> {
    [("namespace", key.namespace.to_string()), ("pool", key.name.to_string()), (name, value.to_owned())]
}

impl Metrics {
    /// The media type of [`Self::render`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All metrics in the OpenMetrics format.
    pub async fn render(&self, health: &Health, clock: &dyn Clock) -> String {
        let inner = &*self.0;
        let _one = inner.rendering.lock().await;
        inner.leader.set(i64::from(matches!(health.standing(), Standing::Leader | Standing::Alone)));
        self.show(self.ask().await.as_ref(), clock.now());
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut out, &inner.registry);
        out
    }

    /// The answer of the running loop. None: no loop runs, or it is late.
    async fn ask(&self) -> Option<Answer> {
        let sender = lock(&self.0.loop_).clone()?;
        let (question, answer) = oneshot::channel();
        sender.try_send(question).ok()?;
        tokio::time::timeout(ANSWER, answer).await.ok()?.ok()
    }

    fn show(&self, answer: Option<&Answer>, now: jiff::Timestamp) {
        let m = &*self.0;
        m.workers.clear();
        m.waiting.clear();
        m.oldest.clear();
        m.resting_credentials.clear();
        m.parked_credentials.clear();
        m.ready.clear();
        m.loop_work.clear();
        m.tables.clear();
        m.pools.set(0);
        let Some(answer) = answer else { return };
        m.pools.set(i64::try_from(answer.pools.len()).unwrap_or(i64::MAX));
        for (queue, (running, waiting)) in [("api", answer.writes), ("runtime", answer.orders)] {
            set(&m.loop_work, [("lane", queue), ("state", "running")], running);
            set(&m.loop_work, [("lane", queue), ("state", "waiting")], waiting);
        }
        for (table, entries) in &answer.tables {
            set(&m.tables, [("table", table)], *entries);
        }
        for pool in &answer.pools {
            for (state, n) in pool.workers {
                set(&m.workers, of_pool_and(&pool.key, "state", state), n);
            }
            set(&m.waiting, of_pool(&pool.key), pool.waiting);
            set(&m.resting_credentials, of_pool(&pool.key), pool.resting_credentials);
            set(&m.parked_credentials, of_pool(&pool.key), pool.parked_credentials);
            if let Some(ready) = pool.ready {
                set(&m.ready, of_pool(&pool.key), usize::from(ready));
            }
            let age = pool.oldest.map_or(0.0, |created| now.duration_since(created).as_secs_f64().max(0.0));
            m.oldest.get_or_create(&of_pool(&pool.key)).set(age);
        }
        let there: BTreeSet<&ObjectKey> = answer.pools.iter().map(|p| &p.key).collect();
        lock(&m.outcomes).retain(|pool, outcomes| {
            let stays = there.contains(pool);
            if !stays {
                for outcome in outcomes.iter() {
                    m.attempts.remove(&of_pool_and(pool, "outcome", outcome));
                }
            }
            stays
        });
    }

    /// Records the start of a loop, which must answer the questions from this channel.
    pub(super) fn begin_loop(&self) -> mpsc::Receiver<Question> {
        let (sender, receiver) = mpsc::channel(1);
        *lock(&self.0.loop_) = Some(sender);
        receiver
    }

    /// Counts an input of the loop.
    pub(super) fn took(&self, event: &Input) {
        let source = match event {
            Input::Pool(_) => "pools",
            Input::Worker(_) => "workers",
            Input::Dispatch(_) => "dispatches",
            Input::Settled(..) => "writes",
            Input::Runtime(_) => "runtimes",
            Input::Lease(..) => "leases",
            Input::CredentialChanged { .. } => "credentials",
            Input::Tick => "time",
        };
        self.0.events.get_or_create(&[("source", source)]).inc();
    }

    /// Counts a request to the API server that has ended.
    pub(super) fn wrote(&self, (kind, verb): (&'static str, &'static str), result: &'static str, took: Duration) {
        self.0.writes.get_or_create(&[("kind", kind), ("verb", verb), ("result", result)]).inc();
        self.0.write_seconds.get_or_create(&[("kind", kind), ("verb", verb)]).observe(took.as_secs_f64());
    }

    /// Counts an operation of a runtime that has ended.
    pub(super) fn ran(&self, (runtime, op): (&'static str, &'static str), result: &'static str, took: Duration) {
        self.0.orders.get_or_create(&[("runtime", runtime), ("operation", op), ("result", result)]).inc();
        self.0.order_seconds.get_or_create(&[("runtime", runtime), ("operation", op)]).observe(took.as_secs_f64());
    }

    /// Records the milestone of a write that has ended, if the write took effect.
    pub(super) fn reached(&self, milestone: &Milestone, settled: &Settled, clock: &dyn Clock) {
        let (Settled::Done(Some(now)) | Settled::Failed(Some(now), _)) = settled else { return };
        let Fetched::Dispatch(Some(dispatch)) = now else { return };
        let status = crate::core::dispatch_status(dispatch);
        match milestone {
            Milestone::Published { waited, assigned } => {
                if status.assigned_at.as_ref().map(|t| t.0) != *assigned || status.phase != DispatchPhase::Assigned {
                    return;
                }
                if let Some(since) = waited {
                    self.0.wait.observe(clock.mono().saturating_sub(*since).as_secs_f64());
                }
                if let Some(assigned) = assigned {
                    self.0.assignment.observe(clock.now().duration_since(*assigned).as_secs_f64().max(0.0));
                }
            }
            Milestone::Closed { pool, attempt, outcome } => {
                if status.last_result.as_ref().is_some_and(|r| r.attempt == *attempt && r.outcome == *outcome) {
                    let outcome = outcome.as_str();
                    self.0.attempts.get_or_create(&of_pool_and(pool, "outcome", outcome)).inc();
                    lock(&self.0.outcomes).entry(pool.clone()).or_default().insert(outcome);
                }
            }
        }
    }
}

impl Milestone {
    /// The milestone that a change of a Dispatch's status reaches, if any. `waited`: the start of its wait.
    pub(super) fn of(base: &Dispatch, next: &DispatchStatus, waited: Option<Duration>) -> Option<Self> {
        let old = crate::core::dispatch_status(base);
        let pool = || ObjectKey::of(base).sibling(base.spec.pool.clone());
        match &next.last_result {
            Some(r) if old.last_result.as_ref().is_none_or(|o| o.attempt != r.attempt) => {
                Some(Self::Closed { pool: pool(), attempt: r.attempt, outcome: r.outcome })
            }
            _ if next.phase == DispatchPhase::Assigned && next.attempt != old.attempt => {
                Some(Self::Published { waited, assigned: next.assigned_at.as_ref().map(|t| t.0) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
