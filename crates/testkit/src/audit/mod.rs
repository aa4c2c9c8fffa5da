//! The auditor. It sees what the store and the runtime remember, and nothing of the controller: every rule is judged
//! again here, from the design, without the code that is under test.
//!
//! It goes through both records in their common order. What is checked where:
//! - [`dispatches`]: publish, close, final phases, results, deadlines. [`waits`]: what a Dispatch says while it waits. [`holders`]: whether
//!   the holder of an attempt is there. [`outcomes`]: rests, probes and retries that follow from an outcome.
//! - [`workers`]: reserve, free, delete, finalizer; the recovery table; rests of workers.
//! - [`pools`]: rests of credentials, counts, lists.
//! - [`instances`]: one instance a Worker, one task an instance, the stop rule.
//! - [`probes`]: credentials that were refused. [`values`]: those that got another value.
//! - [`choices`]: which worker and dispatch were chosen, while nothing was wrong.
//! - [`end`]: what is left when all is quiet.
//!
//! It reads the events of [`crate::fake`] about what a runtime did.

mod choices;
mod delays;
mod dispatches;
pub mod end;
pub mod evidence;
mod holders;
mod instances;
mod outcomes;
mod pools;
mod probes;
mod values;
mod waits;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use poolkeeper::api::dispatch::{DispatchPhase, LastResult, Outcome};
use poolkeeper::api::vocabulary::CONDITIONS;
use poolkeeper::api::{Condition, ContainerPool, Dispatch, DispatchStatus, Time, Worker, WorkerStatus};
use poolkeeper::local::{Change, Record};

use evidence::{Evidence, SECRET};

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which rule, in a few words: what a deliberate break is expected to meet.
    pub rule: &'static str,
    /// After which write.
    pub at: u64,
    pub text: String,
}

/// One version of an object.
pub struct Version<K> {
    pub rv: u64,
    pub object: Arc<K>,
}

/// An object through all its life.
pub struct Life<K> {
    pub name: String,
    pub versions: Vec<Version<K>>,
    /// When it was removed.
    pub gone: Option<u64>,
}

impl<K> Life<K> {
    /// The newest version, also of what is gone.
    pub fn last(&self) -> &K {
        &self.versions.last().unwrap().object
    }
    pub fn changed_at(&self) -> u64 {
        self.versions.last().unwrap().rv
    }
}

/// An attempt as the store shows it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub worker: String,
    pub result: Option<LastResult>,
    /// When its worker was reserved for it, as the dispatch says.
    pub assigned_at: Option<Time>,
    /// The controller that opened it.
    pub writer: String,
}

/// An instance as the runtime shows it.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub id: String,
    pub exists: bool,
    pub runs: bool,
    /// It stands still.
    pub paused: bool,
    /// Its worker was up with another one before.
    pub again: bool,
    /// After which write it began or ended.
    pub changed: u64,
    pub tasks: BTreeSet<(String, i32)>,
}

/// What is known at one moment of the records.
pub struct Audit<'a> {
    pub evidence: &'a Evidence,
    pub rv: u64,
    /// By uid.
    pub pools: BTreeMap<String, Life<ContainerPool>>,
    pub workers: BTreeMap<String, Life<Worker>>,
    pub dispatches: BTreeMap<String, Life<Dispatch>>,
    /// By uid of the dispatch.
    pub attempts: BTreeMap<String, BTreeMap<i32, Attempt>>,
    /// By uid of the Worker.
    pub bodies: BTreeMap<String, Body>,
    /// The controller that reserved a worker: by uid of the worker.
    pub reserver: BTreeMap<String, String>,
    /// Attempts that probe a credential, in order.
    pub probes: Vec<probes::Probe>,
    /// Uids of what Events are about.
    pub told: BTreeSet<String>,
    /// When dispatches were written to say why they wait, in the last seconds: by writer and pool.
    pub explained: BTreeMap<(String, String), Vec<Duration>>,
    pub tally: BTreeMap<String, u64>,
    pub violations: Vec<Violation>,
}

pub fn audit(evidence: &Evidence) -> (Vec<Violation>, BTreeMap<String, u64>) {
    let mut audit = Audit {
        evidence,
        rv: 0,
        pools: BTreeMap::new(),
        workers: BTreeMap::new(),
        dispatches: BTreeMap::new(),
        attempts: BTreeMap::new(),
        bodies: BTreeMap::new(),
        reserver: BTreeMap::new(),
        probes: Vec::new(),
        told: BTreeSet::new(),
        explained: BTreeMap::new(),
        tally: evidence.tally.clone(),
        violations: Vec::new(),
    };
    for text in &evidence.accidents {
        audit.complain("every part works", text.clone());
    }
    let mut events = evidence.events.iter().peekable();
    for record in &evidence.records {
        let before =
            |e: &&crate::fake::FakeEvent| e.at.as_microsecond() < i64::try_from(record.resource_version).unwrap();
        while let Some(event) = events.next_if(|e| before(e)) {
            audit.event(event);
        }
        audit.rv = record.resource_version;
        audit.record(record);
    }
    for event in events {
        audit.event(event);
    }
    audit.choices();
    audit.new_values();
    audit.end();
    (audit.violations, audit.tally)
}

/// The newest attempt is open.
pub fn is_open(s: &DispatchStatus) -> bool {
    s.attempt > 0 && s.last_result.as_ref().is_none_or(|r| r.attempt < s.attempt)
}

pub fn is_reported(o: Outcome) -> bool {
    matches!(
        o,
        Outcome::Succeeded | Outcome::Failed | Outcome::RateLimited | Outcome::Unauthorized | Outcome::Overloaded
    )
}

pub fn is_final(p: DispatchPhase) -> bool {
    !matches!(p, DispatchPhase::Pending | DispatchPhase::Assigned)
}

pub fn status_of(d: &Dispatch) -> DispatchStatus {
    d.status.clone().unwrap_or_default()
}

pub fn state_of(w: &Worker) -> WorkerStatus {
    w.status.clone().unwrap_or_default()
}

impl Audit<'_> {
    pub fn complain(&mut self, rule: &'static str, text: impl Into<String>) {
        self.violations.push(Violation { rule, at: self.rv, text: text.into() });
    }

    pub fn check(&mut self, holds: bool, rule: &'static str, text: impl FnOnce() -> String) {
        if !holds {
            self.complain(rule, text());
        }
    }

    /// Every condition has a reason of the vocabulary, and the status that follows from it.
    pub fn conditions(&mut self, kind: &str, list: &[Condition]) {
        for c in list {
            let words = CONDITIONS.iter().find(|words| words.kind == kind && words.type_ == c.type_);
            let listed = words.and_then(|words| words.reasons.iter().find(|r| r.reason == c.reason));
            let outcome = Outcome::ALL.iter().any(|o| o.as_str() == c.reason);
            let shared = words.and_then(|words| words.shared().find(|r| r.reason == c.reason));
            let status = listed.or(shared).map(|r| r.status).or_else(|| words.filter(|_| outcome)?.outcomes);
            let right = status.is_some_and(|status| status == c.is_true());
            self.check(right, "a condition is as its reason in the vocabulary", || {
                format!("{kind} {}={}: {}", c.type_, c.status, c.reason)
            });
        }
    }

    pub fn count(&mut self, what: &str) {
        *self.tally.entry(what.to_owned()).or_default() += 1;
    }

    /// When a write took effect.
    pub fn when(&self, rv: u64) -> Duration {
        self.evidence.marks.get(&rv).map_or(Duration::ZERO, |m| m.mono)
    }

    /// Whose write it was.
    pub fn writer(&self, rv: u64) -> &str {
        self.evidence.marks.get(&rv).map_or("", |m| m.writer.as_str())
    }

    /// True if it was a controller's.
    pub fn by_controller(&self, rv: u64) -> bool {
        !matches!(self.writer(rv), "user" | "holders")
    }

    fn record(&mut self, record: &Record) {
        let text = record.object.to_string();
        self.check(!text.contains(SECRET), "no secret is stored", || text.clone());
        match (record.resource.group.as_str(), record.resource.plural.as_str()) {
            ("poolkeeper.dev", "containerpools") => {
                let (old, new) = follow(&mut self.pools, record);
                self.pool(old, &new, record.change);
            }
            ("poolkeeper.dev", "workers") => {
                let (old, new) = follow(&mut self.workers, record);
                self.worker(old, &new, record.change);
            }
            ("poolkeeper.dev", "dispatches") => {
                let (old, new) = follow(&mut self.dispatches, record);
                self.dispatch(old, &new, record.change);
            }
            ("events.k8s.io" | "", "events") => {
                self.count("Event recorded");
                let about = ["regarding", "involvedObject"].map(|k| record.object[k]["uid"].as_str());
                self.told.extend(about.into_iter().flatten().map(str::to_owned));
            }
            _ => {}
        }
    }

    /// The pool of that name that is there, or was last.
    pub fn pool_named(&self, name: &str) -> Option<&Life<ContainerPool>> {
        self.pools.values().filter(|p| p.name == name).max_by_key(|p| (p.gone.is_none(), p.changed_at()))
    }

    /// True if the worker, as it is stored now, names this attempt.
    pub fn names(&self, worker: &str, dispatch: &str, attempt: i32) -> bool {
        self.workers
            .get(worker)
            .filter(|w| w.gone.is_none())
            .is_some_and(|w| state_of(w.last()).dispatch.is_some_and(|n| n.uid == dispatch && n.attempt == attempt))
    }

    /// Nothing of the Worker's instance runs, as the runtime remembers.
    pub fn is_dead(&self, worker: &str) -> bool {
        self.bodies.get(worker).is_none_or(|b| !b.runs)
    }
}

fn follow<K: serde::de::DeserializeOwned>(
    lives: &mut BTreeMap<String, Life<K>>,
    record: &Record,
) -> (Option<Arc<K>>, Arc<K>) {
    let object: Arc<K> = Arc::new(serde_json::from_value((*record.object).clone()).unwrap());
    let life = lives.entry(record.uid.clone()).or_insert_with(|| Life {
        name: record.name.clone(),
        versions: Vec::new(),
        gone: None,
    });
    let old = life.versions.last().map(|v| v.object.clone());
    if record.change == Change::Deleted {
        life.gone = Some(record.resource_version);
    } else {
        life.versions.push(Version { rv: record.resource_version, object: object.clone() });
    }
    (old, object)
}
