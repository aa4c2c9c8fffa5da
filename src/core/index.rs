//! What is known, kept so that each question has an answer without a scan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::doors::Asked;
use super::entries::{
    CredEntry, DispatchEntry, HostEntry, InstanceEntry, InstanceView, PoolEntry, Trouble, WorkerEntry,
};
use super::lease::LeaseEntry;
use super::{Action, Config, Event, EventType, HostKey, Now, Object, ObjectKey, Subject, Verb};
use crate::api::vocabulary::EventReason;
use crate::api::{ContainerPool, RuntimeKind, Worker};
use crate::runtime::{InstanceKey, LOCAL_HOST};

/// A credential of a namespace: pools that name the same secret share its rest.
pub(super) type CredKey = (Arc<str>, String);

/// How many index entries were looked at: the measure of "no event costs a scan".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visits(pub u64);

/// The controller's state. See the module's page.
///
/// Maps that grow with what there is are hash maps which keep the order of insertion: every decision looks things up in
/// them, only a listing walks them, and the same events walk them in the same order.
pub struct Core {
    pub(super) cfg: Config,
    pub(super) pools: BTreeMap<ObjectKey, PoolEntry>,
    pub(super) workers: IndexMap<ObjectKey, Box<WorkerEntry>>,
    pub(super) dispatches: IndexMap<ObjectKey, DispatchEntry>,
    pub(super) creds: BTreeMap<CredKey, CredEntry>,
    pub(super) hosts: BTreeMap<HostKey, HostEntry>,
    pub(super) instances: IndexMap<InstanceKey, InstanceEntry>,
    pub(super) leases: BTreeMap<ObjectKey, LeaseEntry>,
    /// Workers that name a dispatch, by its uid.
    pub(super) named: IndexMap<String, BTreeSet<ObjectKey>>,
    /// Dispatches for which a reservation is being written: uid, and attempt.
    pub(super) claims: BTreeMap<String, i32>,
    /// Instances without a Worker: true once a live GET showed that there is none.
    pub(super) orphan_ops: BTreeMap<InstanceKey, bool>,
    /// Orphans that are being stopped.
    pub(super) stopping: BTreeSet<InstanceKey>,
    /// Dispatches with an open attempt, by the uid of its worker.
    pub(super) open_on: IndexMap<String, BTreeSet<ObjectKey>>,
    pub(super) synced: (bool, bool, bool),
    pub(super) dirty: BTreeSet<Subject>,
    /// Subjects with a write or a live GET under way, and who they were when it began.
    pub(super) inflight: BTreeMap<Subject, Identity>,
    /// Writes under way that annotations wait for.
    pub(super) asked: BTreeMap<Subject, Asked>,
    pub(super) trouble: BTreeMap<Subject, Trouble>,
    /// What is told once the write under way is done: one that lost a race would tell of what never was.
    pub(super) news: BTreeMap<Subject, Event>,
    wall: BTreeSet<(Timestamp, Subject)>,
    mono: BTreeSet<(Duration, Subject)>,
    wakes: IndexMap<Subject, Wake>,
    pub(super) actions: Vec<Action>,
    pub(super) visits: Visits,
}

/// Who a subject is, beyond its name: an answer says nothing of another that has the name by then, and nothing of whom the
/// subject names by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// Empty if it is not known.
    pub uid: String,
    /// What it names: a dispatch its worker, a worker its dispatch. Uid, and number of the attempt.
    pub names: Option<(String, i32)>,
}

impl Identity {
    fn of(uid: &str, names: Option<(&str, i32)>) -> Self {
        Self { uid: uid.to_owned(), names: names.map(|(uid, attempt)| (uid.to_owned(), attempt)) }
    }
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
            workers: IndexMap::new(),
            dispatches: IndexMap::new(),
            creds: BTreeMap::new(),
            hosts,
            instances: IndexMap::new(),
            leases: BTreeMap::new(),
            named: IndexMap::new(),
            claims: BTreeMap::new(),
            orphan_ops: BTreeMap::new(),
            stopping: BTreeSet::new(),
            open_on: IndexMap::new(),
            synced: (false, false, false),
            dirty: BTreeSet::new(),
            inflight: BTreeMap::new(),
            asked: BTreeMap::new(),
            trouble: BTreeMap::new(),
            news: BTreeMap::new(),
            wall: BTreeSet::new(),
            mono: BTreeSet::new(),
            wakes: IndexMap::new(),
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
            if self.inflight.contains_key(&subject) {
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
        if let Some(old) = self.wakes.swap_remove(&subject) {
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

    pub(super) fn mark_pool(&mut self, key: &ObjectKey) {
        self.dirty.insert(Subject::Pool(key.clone()));
    }
    pub(super) fn mark_worker(&mut self, key: &ObjectKey) {
        self.dirty.insert(Subject::Worker(key.clone()));
    }
    pub(super) fn mark_dispatch(&mut self, key: &ObjectKey) {
        self.dirty.insert(Subject::Dispatch(key.clone()));
    }

    /// Emits a write and locks its subject until the write has ended.
    pub(super) fn write(&mut self, subject: Subject, verb: Verb) {
        self.inflight.insert(subject.clone(), self.identity(&subject));
        self.actions.push(Action::Write(subject, verb));
    }

    /// Who a subject is now.
    pub(super) fn identity(&self, subject: &Subject) -> Identity {
        match subject {
            Subject::Pool(key) => self.pool_obj(key).map(|p| Identity::of(p.uid_str(), None)),
            Subject::Worker(key) => self.workers.get(key).map(|e| {
                let named = e.obj.status.as_ref().and_then(|s| s.dispatch.as_ref());
                Identity::of(e.obj.uid_str(), named.map(|d| (d.uid.as_str(), d.attempt)))
            }),
            Subject::Dispatch(key) => self.dispatches.get(key).map(|e| {
                let status = e.obj.status.as_ref();
                let named = status.and_then(|s| Some((s.worker.as_ref()?.uid.as_str(), s.attempt)));
                Identity::of(e.obj.uid_str(), named)
            }),
            _ => None,
        }
        .unwrap_or_default()
    }

    pub(super) fn record<K: Object>(
        &mut self,
        kind: &'static str,
        object: &K,
        type_: EventType,
        reason: EventReason,
        text: impl Into<String>,
        now: Now,
    ) {
        let event = event_about(kind, object, type_, reason, text.into(), now);
        self.actions.push(Action::Record(event));
    }

    /// As [`Core::event`], once the write about this dispatch that is asked for now is done.
    pub(super) fn record_when_done<K: Object>(
        &mut self,
        object: &K,
        reason: EventReason,
        text: impl Into<String>,
        now: Now,
    ) {
        let event = event_about("Dispatch", object, EventType::Warning, reason, text.into(), now);
        self.news.insert(Subject::Dispatch(event.key.clone()), event);
    }

    /// The spec of a pool that is known.
    pub(super) fn pool_obj(&self, key: &ObjectKey) -> Option<Arc<ContainerPool>> {
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
        let meta = &worker.metadata;
        InstanceKey {
            namespace: meta.namespace.clone().unwrap_or_default(),
            worker: meta.name.clone().unwrap_or_default(),
            uid: worker.uid_str().to_owned(),
        }
    }

    /// The instance of a Worker, as far as it is known.
    pub(super) fn instance_view(&self, worker: &Worker) -> Option<&InstanceView> {
        self.instances.get(&Self::instance_key(worker)).map(|e| &e.view)
    }

    /// True if the runtime told that nothing of the Worker's instance runs any more.
    pub(super) fn is_dead(&self, worker: &Worker) -> bool {
        self.instance_view(worker).is_some_and(InstanceView::is_dead)
    }
}

fn event_about<K: Object>(
    kind: &'static str,
    object: &K,
    type_: EventType,
    reason: EventReason,
    mut text: String,
    now: Now,
) -> Event {
    if let Some((cut, _)) = text.char_indices().find(|(i, _)| *i > 1000) {
        text.truncate(cut);
        text.push('…');
    }
    Event { kind, key: ObjectKey::of(object), uid: object.uid_str().to_owned(), type_, reason, text, at: now.wall }
}
