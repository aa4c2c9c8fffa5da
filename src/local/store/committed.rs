//! All that changes, behind one lock: the store, the history that watches read, the auditor's record.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use crate::local::options::History;
use crate::local::record::{Change, Record};
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;
use crate::local::store::object::{Key, MemoryStore, Store, Stored};

/// A change as watches see it.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub change: Change,
    pub namespace: String,
    /// The new version; for [`Change::Deleted`] the last one, with the revision of the deletion.
    pub now: Arc<Stored>,
    pub before: Option<Arc<Stored>>,
}

/// What is to be written.
pub(crate) struct Version {
    pub object: Value,
    /// [`Stored::unsettled`].
    pub unsettled: bool,
}

impl From<Value> for Version {
    fn from(object: Value) -> Self {
        Self { object, unsettled: false }
    }
}

/// The newest events of one kind, by revision.
pub(crate) struct Log {
    events: VecDeque<Event>,
    /// Events up to this revision may be missing.
    forgotten: u64,
    /// The revision of the last event that is missing.
    dropped: u64,
    pub changed: Arc<Notify>,
}

impl Log {
    fn new() -> Self {
        Self { events: VecDeque::new(), forgotten: 0, dropped: 0, changed: Arc::new(Notify::new()) }
    }

    /// Whether a new watch may start after that revision.
    pub fn reaches(&self, revision: u64) -> bool {
        revision >= self.forgotten
    }

    /// Whether a running watch that has seen that revision has missed nothing.
    pub fn follows(&self, revision: u64) -> bool {
        revision >= self.dropped
    }

    /// The events after a revision, oldest first.
    pub fn after(&self, revision: u64) -> impl Iterator<Item = &Event> {
        self.events.range(self.events.partition_point(|e| e.now.revision <= revision)..)
    }

    fn push(&mut self, event: Event, keep: usize) {
        self.events.push_back(event);
        while self.events.len() > keep {
            if let Some(old) = self.events.pop_front() {
                self.dropped = old.now.revision;
                self.forgotten = self.forgotten.max(self.dropped);
            }
        }
        self.changed.notify_waiters();
    }

    fn forget(&mut self, revision: u64) {
        if let Some(last) = self.events.back() {
            self.dropped = last.now.revision;
        }
        self.events.clear();
        self.forgotten = revision;
        self.changed.notify_waiters();
    }
}

/// The rest of a list that is read in pages.
pub(crate) struct Page {
    pub id: u64,
    pub revision: u64,
    pub items: Arc<[Arc<Stored>]>,
    /// Whether clients are told how many are left: not where a selector chose them.
    pub counted: bool,
}

pub(crate) struct State {
    store: Box<dyn Store>,
    /// By [`Kind::store`].
    logs: Vec<Log>,
    history: History,
    records: Vec<Record>,
    /// Who names an owner with that uid.
    dependents: BTreeMap<String, BTreeSet<Key>>,
    pages: VecDeque<Page>,
    next_page: u64,
}

/// How many lists may be read in pages at once. The oldest expires.
const PAGES: usize = 16;

impl State {
    pub fn new(stores: usize, history: History) -> Self {
        Self {
            store: Box::new(MemoryStore::new()),
            logs: (0..stores).map(|_| Log::new()).collect(),
            history,
            records: Vec::new(),
            dependents: BTreeMap::new(),
            pages: VecDeque::new(),
            next_page: 1,
        }
    }

    pub fn revision(&self) -> u64 {
        self.store.revision()
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.store.get(key)
    }

    pub fn list(&self, store: u16, namespace: Option<&str>) -> Vec<Arc<Stored>> {
        self.store.list(store, namespace)
    }

    pub fn log(&self, store: u16) -> &Log {
        &self.logs[usize::from(store)]
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.clone()
    }

    /// Forgets what watches read. The auditor's record stays.
    pub fn compact(&mut self) {
        let revision = self.revision();
        self.logs.iter_mut().for_each(|log| log.forget(revision));
        self.pages.clear();
    }

    /// The objects that name an owner with that uid.
    pub fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Writes one version: gives it the next revision, puts it in place, and tells watches and auditor.
    /// For a deletion `object` is the last version.
    pub fn commit(
        &mut self,
        kind: &Kind,
        key: Key,
        change: Change,
        version: impl Into<Version>,
        before: Option<Arc<Stored>>,
        time: Timestamp,
    ) -> Arc<Stored> {
        let revision = self.revision() + 1;
        let Version { mut object, unsettled } = version.into();
        meta::of(&mut object).insert("resourceVersion".into(), revision.to_string().into());
        let now = Arc::new(Stored { unsettled, ..Stored::new(revision, object) });
        self.index(&key, before.as_deref(), (change != Change::Deleted).then_some(&*now));
        if self.history == History::Full {
            self.records.push(Record {
                resource_version: revision,
                time,
                change,
                resource: kind.resource(),
                namespace: kind.namespaced.then(|| key.namespace.clone()),
                name: key.name.clone(),
                uid: meta::text(&now.object, "uid").into(),
                object: Arc::clone(&now.object),
            });
        }
        let keep = match self.history {
            History::Full => usize::MAX,
            History::Window(n) => n,
        };
        let event = Event { change, namespace: key.namespace.clone(), now: Arc::clone(&now), before };
        let log = &mut self.logs[usize::from(key.store)];
        self.store.write(key, (change != Change::Deleted).then(|| Arc::clone(&now)), revision);
        log.push(event, keep);
        now
    }

    fn index(&mut self, key: &Key, before: Option<&Stored>, now: Option<&Stored>) {
        let uids = |s: Option<&Stored>| -> Vec<String> {
            s.map_or(&[][..], |s| meta::owners(&s.object))
                .iter()
                .filter_map(|o| o["uid"].as_str().map(str::to_owned))
                .collect()
        };
        let (before, now) = (uids(before), uids(now));
        for uid in before.iter().filter(|u| !now.contains(u)) {
            if let Some(keys) = self.dependents.get_mut(uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(uid);
                }
            }
        }
        for uid in now {
            self.dependents.entry(uid).or_default().insert(key.clone());
        }
    }

    /// Keeps a list for later pages.
    pub fn keep_page(&mut self, items: Arc<[Arc<Stored>]>, counted: bool) -> &Page {
        let id = self.next_page;
        self.next_page += 1;
        if self.pages.len() == PAGES {
            self.pages.pop_front();
        }
        let page = Page { id, revision: self.revision(), items, counted };
        self.pages.push_back(page);
        &self.pages[self.pages.len() - 1]
    }

    pub fn page(&self, id: u64) -> Option<&Page> {
        self.pages.iter().find(|p| p.id == id)
    }
}
