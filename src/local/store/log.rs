//! Events: those of one commit, and the newest of each kind, which watches read.
use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::local::record::{Change, Record};
use crate::local::store::object::{ObjectKey, Stored};

/// A change as watches see it.
#[derive(Debug, Clone)]
pub(crate) struct WatchEvent {
    pub change: Change,
    pub namespace: String,
    /// The new version; for [`Change::Deleted`] the last one, with the revision of the deletion.
    pub now: Arc<Stored>,
    pub before: Option<Arc<Stored>>,
}

/// Changes that are committed together, in the order of their revisions.
#[derive(Default)]
pub(crate) struct Batch {
    pub records: Vec<Record>,
    pub events: Vec<(ObjectKey, WatchEvent)>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// The newest events of one kind, by revision.
pub(crate) struct Log {
    events: VecDeque<WatchEvent>,
    /// Events up to this revision may be missing.
    forgotten: u64,
    /// The revision of the last event that is missing.
    dropped: u64,
    pub changed: Arc<Notify>,
}

impl Log {
    pub fn new() -> Self {
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
    pub fn after(&self, revision: u64) -> impl Iterator<Item = &WatchEvent> {
        self.events.range(self.events.partition_point(|e| e.now.revision <= revision)..)
    }

    /// Adds an event, drops the oldest if there are more than `keep`, and wakes the watches.
    pub fn push(&mut self, event: WatchEvent, keep: usize) {
        self.events.push_back(event);
        while self.events.len() > keep {
            if let Some(old) = self.events.pop_front() {
                self.dropped = old.now.revision;
                self.forgotten = self.forgotten.max(self.dropped);
            }
        }
        self.changed.notify_waiters();
    }

    /// Drops all events. The newest has at most that revision.
    pub fn forget(&mut self, revision: u64) {
        if let Some(last) = self.events.back() {
            self.dropped = last.now.revision;
        }
        self.events.clear();
        self.forgotten = revision;
        self.changed.notify_waiters();
    }
}
