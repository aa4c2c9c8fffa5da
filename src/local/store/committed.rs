//! The state that readers and watches see: the last committed version of every object, the events, and the records.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::local::options::History;
use crate::local::record::{Change, Record};
use crate::local::schema::meta;
use crate::local::store::log::{Batch, Log};
use crate::local::store::object::{ObjectKey, Stored};

/// The rest of a list that is read in pages.
pub(crate) struct Page {
    pub id: u64,
    pub revision: u64,
    pub items: Arc<[Arc<Stored>]>,
    /// Whether the client may know how many are left: not if a selector chose them.
    pub counted: bool,
}

/// All committed objects.
pub(crate) struct Committed {
    objects: BTreeMap<ObjectKey, Arc<Stored>>,
    /// The number of the last change.
    revision: u64,
    /// By [`Kind::store`](crate::local::schema::kind::Kind::store).
    logs: Vec<Log>,
    history: History,
    records: Vec<Record>,
    /// The objects that name an owner with that uid.
    dependents: BTreeMap<String, BTreeSet<ObjectKey>>,
    pages: VecDeque<Page>,
    next_page: u64,
}

/// How many lists may be read in pages at once. The oldest expires.
const PAGES: usize = 16;

/// Takes the lock. It is never held for longer than one look, or one batch in memory.
pub(crate) fn lock(committed: &Mutex<Committed>) -> MutexGuard<'_, Committed> {
    // A panic while the lock is held leaves at worst a change without its event, so the state stays usable.
    committed.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Committed {
    /// Empty. Revisions start above 0, which means "any" in requests.
    pub fn new(stores: usize, history: History) -> Self {
        Self {
            objects: BTreeMap::new(),
            revision: 1,
            logs: (0..stores).map(|_| Log::new()).collect(),
            history,
            records: Vec::new(),
            dependents: BTreeMap::new(),
            pages: VecDeque::new(),
            next_page: 1,
        }
    }

    /// Puts objects in place that a store held, and goes on at a revision. What came before is unknown: a watch from there
    /// is too old.
    pub fn restore(&mut self, revision: u64, objects: impl Iterator<Item = (ObjectKey, Stored)>) {
        for (key, stored) in objects {
            self.index(&key, None, Some(&stored));
            self.objects.insert(key, Arc::new(stored));
        }
        self.revision = revision;
        self.logs.iter_mut().for_each(|log| log.forget(revision));
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Stored>> {
        self.objects.get(key).cloned()
    }

    /// The objects of one store, in all namespaces or one, in the order of their keys.
    pub fn list(&self, store: u16, namespace: Option<&str>) -> Vec<Arc<Stored>> {
        let first = ObjectKey { store, namespace: namespace.unwrap_or_default().into(), name: String::new() };
        self.objects
            .range(first..)
            .take_while(|(key, _)| key.store == store && namespace.is_none_or(|ns| key.namespace == ns))
            .map(|(_, stored)| Arc::clone(stored))
            .collect()
    }

    pub fn log(&self, store: u16) -> &Log {
        &self.logs[usize::from(store)]
    }

    pub fn records_after(&self, known: usize) -> Vec<Record> {
        self.records.get(known..).unwrap_or_default().to_vec()
    }

    /// Drops the events that watches read, and the pages of lists. The records stay.
    pub fn compact(&mut self) {
        let revision = self.revision;
        self.logs.iter_mut().for_each(|log| log.forget(revision));
        self.pages.clear();
    }

    /// The objects that name an owner with that uid.
    pub fn dependents(&self, uid: &str) -> BTreeSet<ObjectKey> {
        self.dependents.get(uid).cloned().unwrap_or_default()
    }

    /// The objects in a namespace, in all stores.
    pub fn in_namespace(&self, namespace: &str) -> BTreeSet<ObjectKey> {
        self.objects.keys().filter(|key| key.namespace == namespace).cloned().collect()
    }

    /// Applies a batch that the store has committed: every version is in place, and watches see the events. `now` is the
    /// monotonic time.
    pub fn apply(&mut self, batch: Batch, now: Duration) {
        for (key, event) in batch.events {
            let version = (event.change != Change::Deleted).then_some(&event.now);
            self.index(&key, event.before.as_deref(), version.map(|version| &**version));
            self.revision = event.now.revision;
            match version {
                Some(version) => self.objects.insert(key.clone(), Arc::clone(version)),
                None => self.objects.remove(&key),
            };
            self.logs[usize::from(key.store)].push(event, now);
        }
        match self.history {
            History::Full => self.records.extend(batch.records),
            // All of them: a kind that is no longer written must not hold its last burst.
            History::Window(most) => self.logs.iter_mut().for_each(|log| log.trim(most, now)),
        }
    }

    fn index(&mut self, key: &ObjectKey, before: Option<&Stored>, now: Option<&Stored>) {
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

    /// Stores a list for later pages.
    pub fn keep_page(&mut self, items: Arc<[Arc<Stored>]>, counted: bool) -> &Page {
        let id = self.next_page;
        self.next_page += 1;
        if self.pages.len() == PAGES {
            self.pages.pop_front();
        }
        self.pages.push_back(Page { id, revision: self.revision, items, counted });
        &self.pages[self.pages.len() - 1]
    }

    pub fn page(&self, id: u64) -> Option<&Page> {
        self.pages.iter().find(|p| p.id == id)
    }
}
