//! Events: those of one commit, and the newest of each kind, which watches read.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

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

/// How long an event stays for watches that are behind. A Kubernetes API server compacts its history as often
/// (`--etcd-compaction-interval`). Without it a pool, which is large and written five times a second, would fill the memory with
/// versions that no watch asks for.
const LIFETIME: Duration = Duration::from_mins(5);

/// The newest events of one kind, by revision.
pub(crate) struct Log {
    /// Each with the monotonic time of its commit.
    events: VecDeque<(Duration, WatchEvent)>,
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
        let first = self.events.partition_point(|(_, e)| e.now.revision <= revision);
        self.events.range(first..).map(|(_, event)| event)
    }

    /// Adds an event that is committed now, by the monotonic clock, and wakes the watches.
    pub fn push(&mut self, event: WatchEvent, now: Duration) {
        self.events.push_back((now, event));
        self.changed.notify_waiters();
    }

    /// Drops the oldest events: those above a number, and those whose lifetime is over.
    pub fn trim(&mut self, most: usize, now: Duration) {
        let over = |at: Duration| now.saturating_sub(at) > LIFETIME;
        while self.events.len() > most || self.events.front().is_some_and(|(at, _)| over(*at)) {
            if let Some((_, old)) = self.events.pop_front() {
                self.dropped = old.now.revision;
                self.forgotten = self.forgotten.max(self.dropped);
            }
        }
    }

    /// Drops all events. The newest has at most that revision.
    pub fn forget(&mut self, revision: u64) {
        if let Some((_, last)) = self.events.back() {
            self.dropped = last.now.revision;
        }
        self.events.clear();
        self.forgotten = revision;
        self.changed.notify_waiters();
    }
}
