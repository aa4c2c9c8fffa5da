//! What is known, kept so that each question has an answer without a scan.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::backoff::Backoff;
use super::doors::Doors;
use super::lease::LeaseEntry;
use super::{Action, Config, HostKey, Key, Note, NoteType, Now, Object, Subject, Verb};
use crate::api::worker::{DispatchRef, WorkerPhase};
use crate::api::{ContainerPool, Dispatch, RuntimeKind, Worker};
use crate::runtime::{Exit, Instance, InstanceKey, InstanceState, LOCAL_HOST};

/// A credential of a namespace: pools that name the same secret share its rest.
pub(super) type CredKey = (String, String);

/// How many index entries were looked at: the measure of "no event costs a scan".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visits(pub u64);

/// Place of a dispatch in its pool's queue: priority, then creation, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub priority: Reverse<i32>,
    pub created: Timestamp,
    pub name: String,
}

/// Which index a worker stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// May take work, as far as it is concerned itself; its credential may still rest.
    Idle { cred: Option<String>, last: Option<Timestamp>, since: Timestamp },
    /// Idle, but it rests itself.
    Resting { until: Timestamp },
    /// Named by a dispatch, or about to be.
    Busy { cred: Option<String>, assigned_at: Timestamp },
    /// Not Ready yet.
    Starting,
    /// A write about it is under way: what it is will be known when that ends.
    Held,
    /// Idle, and can take no work.
    Unavailable,
}

/// An instance as far as a runtime told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum InstanceView {
    /// There, running or about to.
    There(Instance),
    /// Nothing of it runs any more; it may still take up a name.
    Ended(Instance, Exit),
    /// Confirmed gone.
    Gone,
}

impl InstanceView {
    pub fn is_dead(&self) -> bool {
        !matches!(self, Self::There(_))
    }
}

pub(super) struct InstanceEntry {
    pub host: HostKey,
    pub view: InstanceView,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Start,
    Stop,
    Check,
}

pub(super) struct WorkerEntry {
    pub obj: Arc<Worker>,
    pub pool: Key,
    pub ordinal: Option<i32>,
    pub slot: Option<Slot>,
    /// What it is asked to do by a write under way.
    pub reserving: Option<DispatchRef>,
    /// A runtime order under way.
    pub op: Option<Op>,
    /// Monotonic time at which it was first seen in its present phase.
    pub since: Duration,
    /// Monotonic time of the last check.
    pub checked: Duration,
    /// Failed checks in a row.
    pub missed: u32,
    /// Uid of a dispatch that a live GET showed to be gone.
    pub dispatch_gone: Option<String>,
    /// Why its start failed, while it is being removed for that.
    pub start_failed: Option<String>,
}

pub(super) struct DispatchEntry {
    pub obj: Arc<Dispatch>,
    pub pool: Key,
    pub place: Place,
    /// In which sets of the pool it stands.
    pub queued: bool,
    pub waiting: bool,
    pub finished: Option<Timestamp>,
    /// Uid of the worker of its open attempt.
    pub open_on: Option<String>,
    /// The attempt whose worker was seen to name it no longer.
    pub released: i32,
    /// Uid of a worker that a live GET showed to be gone.
    pub worker_gone: Option<String>,
}

#[derive(Default)]
pub(super) struct PoolEntry {
    pub obj: Option<Arc<ContainerPool>>,
    pub workers: BTreeSet<i32>,
    /// Ordinals whose creation is under way.
    pub creating: BTreeSet<i32>,
    pub idle: BTreeMap<Option<String>, BTreeSet<(Option<Timestamp>, i32)>>,
    pub idle_since: BTreeSet<(Timestamp, i32)>,
    pub resting: BTreeSet<(Timestamp, i32)>,
    pub busy: BTreeSet<i32>,
    pub starting: BTreeSet<i32>,
    pub held: BTreeSet<i32>,
    pub unavailable: BTreeSet<i32>,
    pub deleting: BTreeSet<i32>,
    pub queue: BTreeSet<Place>,
    /// Every dispatch that waits, oldest first; for the queue limit.
    pub waiting: BTreeSet<(Timestamp, String)>,
    pub finals: BTreeSet<(Timestamp, String)>,
    pub by_hash: BTreeMap<String, i32>,
    pub backoff: Backoff,
    pub doors: Doors,
    /// Rests to be written, by identity.
    pub due_rests: BTreeMap<String, crate::api::pool::CredentialRest>,
    /// Workers that are freed only once a credential's rest is written.
    pub gated: BTreeSet<Key>,
    pub rolled_up: Option<Duration>,
    /// How long the newest start took.
    pub start_took: Option<Duration>,
}

#[derive(Default)]
pub(super) struct CredEntry {
    /// Open attempts on it: when they were assigned, and to whom.
    pub running: BTreeSet<(Timestamp, Key)>,
    /// Pools that name it.
    pub pools: BTreeSet<Key>,
}

#[derive(Default)]
pub(super) struct HostEntry {
    /// True from a listing until the host becomes unreachable.
    pub listed: bool,
    pub message: String,
}

#[derive(Default)]
pub(super) struct Trouble {
    pub failures: u32,
    pub until: Duration,
}

/// The controller's state. See the module's page.
pub struct Core {
    pub(super) cfg: Config,
    pub(super) pools: BTreeMap<Key, PoolEntry>,
    pub(super) workers: BTreeMap<Key, WorkerEntry>,
    pub(super) dispatches: BTreeMap<Key, DispatchEntry>,
    pub(super) creds: BTreeMap<CredKey, CredEntry>,
    pub(super) hosts: BTreeMap<HostKey, HostEntry>,
    pub(super) instances: BTreeMap<InstanceKey, InstanceEntry>,
    pub(super) leases: BTreeMap<Key, LeaseEntry>,
    /// Workers that name a dispatch, by its uid.
    pub(super) named: BTreeMap<String, BTreeSet<Key>>,
    /// Dispatches for which a reservation is being written: uid, and attempt.
    pub(super) claims: BTreeMap<String, i32>,
    /// Instances without a Worker: true once a live GET showed that there is none.
    pub(super) orphan_ops: BTreeMap<InstanceKey, bool>,
    /// Orphans that are being stopped.
    pub(super) stopping: BTreeSet<InstanceKey>,
    /// Dispatches with an open attempt, by the uid of its worker.
    pub(super) open_on: BTreeMap<String, BTreeSet<Key>>,
    pub(super) synced: (bool, bool, bool),
    pub(super) dirty: BTreeSet<Subject>,
    pub(super) inflight: BTreeSet<Subject>,
    pub(super) trouble: BTreeMap<Subject, Trouble>,
    wall: BTreeSet<(Timestamp, Subject)>,
    mono: BTreeSet<(Duration, Subject)>,
    wakes: BTreeMap<Subject, Wake>,
    pub(super) actions: Vec<Action>,
    pub(super) visits: Visits,
}

/// When something is to be looked at again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wake {
    wall: Option<Timestamp>,
    mono: Option<Duration>,
}

impl Wake {
    pub fn at(&mut self, t: Timestamp) {
        self.wall = Some(self.wall.map_or(t, |w| w.min(t)));
    }
    pub fn after(&mut self, t: Duration) {
        self.mono = Some(self.mono.map_or(t, |m| m.min(t)));
    }
}

impl Core {
    /// Knows nothing yet. Decides nothing before each kind was listed once.
    pub fn new(cfg: Config) -> Self {
        let mut hosts = BTreeMap::new();
        for (runtime, names) in &cfg.hosts {
            for host in names {
                hosts.insert(HostKey { runtime: *runtime, host: host.clone() }, HostEntry::default());
            }
        }
        Self {
            cfg,
            pools: BTreeMap::new(),
            workers: BTreeMap::new(),
            dispatches: BTreeMap::new(),
            creds: BTreeMap::new(),
            hosts,
            instances: BTreeMap::new(),
            leases: BTreeMap::new(),
            named: BTreeMap::new(),
            claims: BTreeMap::new(),
            orphan_ops: BTreeMap::new(),
            stopping: BTreeSet::new(),
            open_on: BTreeMap::new(),
            synced: (false, false, false),
            dirty: BTreeSet::new(),
            inflight: BTreeSet::new(),
            trouble: BTreeMap::new(),
            wall: BTreeSet::new(),
            mono: BTreeSet::new(),
            wakes: BTreeMap::new(),
            actions: Vec::new(),
            visits: Visits(0),
        }
    }

    /// How many index entries all decisions so far looked at.
    pub fn visits(&self) -> Visits {
        self.visits
    }

    /// Writes that were asked for and have not ended.
    pub fn in_flight(&self) -> usize {
        self.inflight.len()
    }

    /// Decides all that follows from what was applied since the last call.
    pub fn decide(&mut self, now: Now) -> Vec<Action> {
        self.fire(now);
        if self.synced != (true, true, true) {
            return Vec::new();
        }
        while let Some(subject) = self.dirty.pop_first() {
            if self.inflight.contains(&subject) {
                continue; // its end marks it again
            }
            if let Some(t) = self.trouble.get(&subject).filter(|t| t.until > now.mono) {
                let mut wake = Wake::default();
                wake.after(t.until);
                self.sleep(subject, wake);
                continue;
            }
            self.visits.0 += 1;
            let mut wake = Wake::default();
            match &subject {
                Subject::Dispatch(key) => self.decide_dispatch(key, now, &mut wake),
                Subject::Worker(key) => self.decide_worker(key, now, &mut wake),
                Subject::Pool(key) => self.decide_pool(key, now, &mut wake),
                Subject::Lease(key) => self.decide_lease(key, now, &mut wake),
                Subject::Orphan(key) => self.decide_orphan(key, now, &mut wake),
            }
            self.sleep(subject, wake);
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`Core::decide`] has something to do again without an event: by the wall clock, and by monotonic time.
    pub fn next_wake(&self) -> (Option<Timestamp>, Option<Duration>) {
        (self.wall.first().map(|(t, _)| *t), self.mono.first().map(|(t, _)| *t))
    }

    fn fire(&mut self, now: Now) {
        while let Some((_, s)) = self.wall.first().filter(|(t, _)| *t <= now.wall).cloned() {
            self.sleep(s.clone(), Wake::default());
            self.dirty.insert(s);
        }
        while let Some((_, s)) = self.mono.first().filter(|(t, _)| *t <= now.mono).cloned() {
            self.sleep(s.clone(), Wake::default());
            self.dirty.insert(s);
        }
    }

    fn sleep(&mut self, subject: Subject, wake: Wake) {
        if let Some(old) = self.wakes.remove(&subject) {
            if let Some(t) = old.wall {
                self.wall.remove(&(t, subject.clone()));
            }
            if let Some(t) = old.mono {
                self.mono.remove(&(t, subject.clone()));
            }
        }
        if let Some(t) = wake.wall {
            self.wall.insert((t, subject.clone()));
        }
        if let Some(t) = wake.mono {
            self.mono.insert((t, subject.clone()));
        }
        if wake.wall.is_some() || wake.mono.is_some() {
            self.wakes.insert(subject, wake);
        }
    }

    pub(super) fn mark_pool(&mut self, key: &Key) {
        self.dirty.insert(Subject::Pool(key.clone()));
    }
    pub(super) fn mark_worker(&mut self, key: &Key) {
        self.dirty.insert(Subject::Worker(key.clone()));
    }
    pub(super) fn mark_dispatch(&mut self, key: &Key) {
        self.dirty.insert(Subject::Dispatch(key.clone()));
    }

    /// Emits a write and locks its subject until the write has ended.
    pub(super) fn write(&mut self, subject: Subject, verb: Verb) {
        self.inflight.insert(subject.clone());
        self.actions.push(Action::Write(subject, verb));
    }

    pub(super) fn note<K: Object>(
        &mut self,
        kind: &'static str,
        object: &K,
        type_: NoteType,
        reason: &'static str,
        text: impl Into<String>,
        now: Now,
    ) {
        let mut text: String = text.into();
        if let Some((cut, _)) = text.char_indices().find(|(i, _)| *i > 1000) {
            text.truncate(cut);
            text.push('…');
        }
        self.actions.push(Action::Note(Note {
            kind,
            key: Key::of(object),
            uid: object.uid_str().to_owned(),
            type_,
            reason,
            text,
            at: now.wall,
        }));
    }

    /// The spec of a pool that is known.
    pub(super) fn pool_obj(&self, key: &Key) -> Option<Arc<ContainerPool>> {
        self.pools.get(key)?.obj.clone()
    }

    /// Runtime of a pool.
    pub(super) fn runtime_of(&self, pool: &ContainerPool) -> RuntimeKind {
        pool.spec.runtime.unwrap_or(self.cfg.default_runtime)
    }

    /// Host of a Worker.
    pub(super) fn host_of(worker: &Worker) -> HostKey {
        HostKey {
            runtime: worker.spec.runtime,
            host: worker.spec.host.clone().unwrap_or_else(|| LOCAL_HOST.to_owned()),
        }
    }

    pub(super) fn host_listed(&self, host: &HostKey) -> bool {
        self.hosts.get(host).is_some_and(|h| h.listed)
    }

    pub(super) fn instance_key(worker: &Worker) -> InstanceKey {
        let key = Key::of(worker);
        InstanceKey { namespace: key.namespace, worker: key.name, uid: worker.uid_str().to_owned() }
    }

    /// The instance of a Worker, as far as it is known.
    pub(super) fn instance_view(&self, worker: &Worker) -> Option<&InstanceView> {
        self.instances.get(&Self::instance_key(worker)).map(|e| &e.view)
    }

    /// True if the runtime told that nothing of the Worker's instance runs any more.
    pub(super) fn is_dead(&self, worker: &Worker) -> bool {
        self.instance_view(worker).is_some_and(InstanceView::is_dead)
    }

    /// Identity of a Worker's credential. `Err`: the pool no longer has it.
    pub(super) fn identity_of(&self, worker: &Worker) -> Result<Option<String>, ()> {
        let Some(name) = &worker.spec.credential else { return Ok(None) };
        let pool = self.pool_obj(&Key::of(worker).sibling(&worker.spec.pool)).ok_or(())?;
        pool.spec.credentials.iter().find(|c| c.name == *name).map(|c| Some(c.identity())).ok_or(())
    }

    fn slot_of(&self, e: &WorkerEntry, now: Now) -> Slot {
        let (w, status) = (&e.obj, e.obj.status.clone().unwrap_or_default());
        let cred = self.identity_of(w);
        if let Some(d) = e.reserving.as_ref().or(status.dispatch.as_ref()) {
            return Slot::Busy { cred: cred.unwrap_or_default(), assigned_at: d.assigned_at.0 };
        }
        let until = status.cooldown.as_ref().and_then(|c| c.until.as_ref()).map(|t| t.0);
        if w.is_deleting() {
            return Slot::Unavailable;
        }
        if self.inflight.contains(&Subject::Worker(Key::of(&**w))) {
            return Slot::Held;
        }
        if let Some(until) = until.filter(|u| *u > now.wall && status.phase != WorkerPhase::Starting) {
            return Slot::Resting { until };
        }
        match status.phase {
            WorkerPhase::Starting => Slot::Starting,
            WorkerPhase::Ready | WorkerPhase::Busy if self.is_usable(e) => Slot::Idle {
                cred: cred.unwrap_or_default(),
                last: status.last_dispatch_time.as_ref().map(|t| t.0),
                since: status.idle_since.as_ref().map_or(Timestamp::MIN, |t| t.0),
            },
            _ => Slot::Unavailable,
        }
    }

    /// True if nothing but rest keeps an idle, started worker from taking work.
    pub(super) fn is_usable(&self, e: &WorkerEntry) -> bool {
        let w = &e.obj;
        let there = matches!(self.instance_view(w), Some(InstanceView::There(i)) if i.state == InstanceState::Running);
        there
            && e.ordinal.is_some()
            && e.missed == 0
            && !w.spec.cordoned
            && self.host_listed(&Self::host_of(w))
            && self.identity_of(w).is_ok()
    }

    /// Puts a worker where it now belongs.
    pub(super) fn reindex_worker(&mut self, key: &Key, now: Now) {
        let Some(e) = self.workers.get(key) else { return };
        let slot = self.slot_of(e, now);
        if e.slot.as_ref() == Some(&slot) {
            return;
        }
        let (pool, ordinal) = (e.pool.clone(), e.ordinal.unwrap_or(-1));
        let old = self.workers.get_mut(key).and_then(|e| e.slot.replace(slot.clone()));
        if let Some(old) = old {
            self.unslot(key, &pool, ordinal, &old);
        }
        self.visits.0 += 1;
        let p = self.pools.entry(pool.clone()).or_default();
        match slot {
            Slot::Idle { cred, last, since } => {
                p.idle.entry(cred).or_default().insert((last, ordinal));
                p.idle_since.insert((since, ordinal));
            }
            Slot::Resting { until } => {
                p.resting.insert((until, ordinal));
            }
            Slot::Busy { cred, assigned_at } => {
                p.busy.insert(ordinal);
                if let Some(c) = cred {
                    let c = self.creds.entry((key.namespace.clone(), c)).or_default();
                    c.running.insert((assigned_at, key.clone()));
                }
            }
            Slot::Starting => {
                p.starting.insert(ordinal);
            }
            Slot::Held => {
                p.held.insert(ordinal);
            }
            Slot::Unavailable => {
                p.unavailable.insert(ordinal);
            }
        }
        self.mark_pool(&pool);
    }

    /// Takes a worker out of the index it stood in.
    pub(super) fn unslot(&mut self, key: &Key, pool: &Key, ordinal: i32, slot: &Slot) {
        let p = self.pools.entry(pool.clone()).or_default();
        match slot {
            Slot::Idle { cred, last, since } => {
                if let Some(set) = p.idle.get_mut(cred) {
                    set.remove(&(*last, ordinal));
                    if set.is_empty() {
                        p.idle.remove(cred);
                    }
                }
                p.idle_since.remove(&(*since, ordinal));
            }
            Slot::Resting { until } => {
                p.resting.remove(&(*until, ordinal));
            }
            Slot::Busy { cred, assigned_at } => {
                p.busy.remove(&ordinal);
                if let Some(c) = cred {
                    let shared = (key.namespace.clone(), c.clone());
                    let pools = self.creds.get_mut(&shared).map(|c| {
                        c.running.remove(&(*assigned_at, key.clone()));
                        c.pools.clone()
                    });
                    // A place on a shared credential is free: whoever waits for it may be in another pool.
                    for other in pools.iter().flatten() {
                        self.mark_pool(other);
                    }
                }
            }
            Slot::Starting => {
                p.starting.remove(&ordinal);
            }
            Slot::Held => {
                p.held.remove(&ordinal);
            }
            Slot::Unavailable => {
                p.unavailable.remove(&ordinal);
            }
        }
    }
}
