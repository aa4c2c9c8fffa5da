//! Changes that are decided and not committed yet, and how requests that come together share one commit.
//!
//! A request decides under the lock of the [`Writer`], over the changes of those before it, and joins the group that forms.
//! The first request that gets the lock of the store takes that group and commits it; the others wait for its end. So a
//! store on a disk is waited for once for all requests that came while it worked, and nothing waits if it is idle.
use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::sync::Arc;

use tokio::sync::watch;

use crate::local::record::Change;
use crate::local::schema::meta;
use crate::local::store::StoreError;
use crate::local::store::log::Batch;
use crate::local::store::object::{ObjectKey, Stored};

/// Why a group was not committed. Every request of the group gets it.
pub(crate) type GroupError = Arc<StoreError>;

/// A group: how its commit ended, once it has.
pub(crate) struct Ticket(watch::Sender<Option<Result<(), GroupError>>>);

impl Default for Ticket {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Ticket {
    pub fn ended(&self) -> Option<Result<(), GroupError>> {
        self.0.borrow().clone()
    }

    /// Waits for the end.
    pub async fn wait(&self) -> Result<(), GroupError> {
        let mut ends = self.0.subscribe();
        match ends.wait_for(Option::is_some).await.map(|ended| ended.clone()) {
            Ok(Some(ended)) => ended,
            // Not while this ticket is there, which sends it.
            _ => Err(Arc::new(StoreError::Interrupted)),
        }
    }

    /// Answers every request of the group.
    pub fn end(&self, how: Result<(), GroupError>) {
        self.0.send_replace(Some(how));
    }
}

/// What later decisions must see although no reader may see it yet: the newest version of each object in a group that is
/// not committed.
#[derive(Default)]
pub(crate) struct Pending {
    changed: BTreeMap<ObjectKey, PendingVersion>,
    revision: u64,
}

struct PendingVersion {
    revision: u64,
    /// None: deleted.
    stored: Option<Arc<Stored>>,
}

impl Pending {
    /// The revision of the last change, if there is one.
    pub fn revision(&self) -> Option<u64> {
        (!self.changed.is_empty()).then_some(self.revision)
    }

    /// The newest version of an object: the pending one, else what is committed. None: there is none, or it is deleted.
    pub fn newest(&self, key: &ObjectKey, committed: impl FnOnce() -> Option<Arc<Stored>>) -> Option<Arc<Stored>> {
        self.changed.get(key).map_or_else(committed, |version| version.stored.clone())
    }

    /// The objects that name an owner with that uid.
    pub fn dependents(&self, uid: &str) -> BTreeSet<ObjectKey> {
        let names = |s: &Arc<Stored>| meta::owners(&s.object).iter().any(|o| o["uid"].as_str() == Some(uid));
        let named = self.changed.iter().filter(|(_, version)| version.stored.as_ref().is_some_and(names));
        named.map(|(key, _)| key.clone()).collect()
    }

    /// The objects that have such a version.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.changed.keys()
    }

    fn add(&mut self, batch: &Batch) {
        for (key, event) in &batch.events {
            self.revision = event.now.revision;
            let stored = (event.change != Change::Deleted).then(|| Arc::clone(&event.now));
            self.changed.insert(key.clone(), PendingVersion { revision: self.revision, stored });
        }
    }

    /// Forgets what a commit has made visible, unless a later group has changed it again.
    fn settle(&mut self, batch: &Batch) {
        for (key, event) in &batch.events {
            if self.changed.get(key).is_some_and(|version| version.revision == event.now.revision) {
                self.changed.remove(key);
            }
        }
    }
}

/// The right to decide.
#[derive(Default)]
pub(crate) struct Writer {
    pending: Pending,
    /// The changes of the group that forms.
    forming: Batch,
    ticket: Arc<Ticket>,
}

impl Writer {
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Adds what a request decided to the group that forms. None: the request changes nothing and saw nothing but what is
    /// committed. It need not wait then.
    pub fn join(&mut self, mut batch: Batch) -> Option<Arc<Ticket>> {
        if batch.is_empty() && self.pending.changed.is_empty() {
            return None;
        }
        self.pending.add(&batch);
        self.forming.records.append(&mut batch.records);
        self.forming.events.append(&mut batch.events);
        Some(Arc::clone(&self.ticket))
    }

    /// Takes the group that forms; the next request begins another.
    pub fn take(&mut self) -> (Batch, Arc<Ticket>) {
        (take(&mut self.forming), take(&mut self.ticket))
    }

    /// A group is committed. Its changes are shown to readers next, and then its ticket ends.
    pub fn committed(&mut self, batch: &Batch) {
        self.pending.settle(batch);
    }

    /// A group is not committed. The one that forms was decided over its changes, so it fails as well.
    pub fn failed(&mut self, ticket: &Ticket, why: StoreError) {
        let why = Arc::new(why);
        let (_, forming) = self.take();
        self.pending = Pending::default();
        ticket.end(Err(Arc::clone(&why)));
        forming.end(Err(why));
    }
}
