//! What is kept about each object.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::ObjectKey;
use super::backoff::Backoff;
use super::doors::Doors;
use super::queue::Admission;
use super::tally::{Ordinals, Tally};
use super::update::Update;
use crate::api::worker::{DispatchRef, WorkerSpec};
use crate::api::{ContainerPool, Dispatch, Worker};

/// Place of a dispatch in its pool's queue: priority, then creation, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub priority: Reverse<i32>,
    pub created: Timestamp,
    pub name: Arc<str>,
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
    /// A write about it is under way: what it is will be known when that ends. Or one failed, and it is not the time to try
    /// again.
    Held,
    /// Idle, and served as often as it may.
    Spent,
    /// Idle, and can take no work.
    Unavailable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Start,
    Stop,
    Check,
}

pub(super) struct WorkerEntry {
    pub obj: Arc<Worker>,
    pub pool: ObjectKey,
    pub ordinal: Option<i32>,
    pub slot: Option<Slot>,
    /// What it is asked to do by a write under way.
    pub reserving: Option<DispatchRef>,
    /// A runtime order under way.
    pub op: Option<Op>,
    /// Its instance was observed since the newest order began.
    pub observed: bool,
    /// Monotonic time at which it was first seen in its present phase.
    pub since: Duration,
    /// Monotonic time of the last check.
    pub checked: Duration,
    /// Failed checks in a row.
    pub missed: u32,
    /// Uid of a dispatch that a live GET showed to be gone.
    pub dispatch_gone: Option<String>,
    /// The dispatch that it names, as it was last seen before it was deleted.
    pub left_by: Option<Arc<Dispatch>>,
    /// Why its start failed, while it is being removed for that.
    pub start_failed: Option<String>,
    /// The answer to its start was lost: whether it was made has to be asked.
    pub start_unknown: bool,
    /// The time that its start may take stands still: nothing can be done about it now.
    pub stands_still: bool,
    /// Why its start is put off: the runtime said that it is for now, or what came instead of an answer.
    pub not_now: Option<String>,
    /// A live GET showed that its pool does not exist.
    pub pool_gone: bool,
    /// When it is due to be replaced, while it is idle.
    pub due: Option<Timestamp>,
    /// Monotonic time at which it became Ready, for a while after that.
    pub young: Option<Duration>,
}

impl WorkerEntry {
    /// An order to the runtime begins.
    pub fn begin(&mut self, op: Op) {
        self.op = Some(op);
        self.observed = false;
    }
}

pub(super) struct DispatchEntry {
    pub obj: Arc<Dispatch>,
    pub pool: ObjectKey,
    pub place: Place,
    /// In which sets of the pool it stands.
    pub queued: bool,
    pub waiting: bool,
    /// It waits for its first attempt, and has a place under the queue's limit: it keeps that whatever the limit becomes.
    pub accepted: bool,
    /// Monotonic time at which it was first seen waiting, or not, as it is now.
    pub since: Duration,
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
    pub creating: BTreeMap<i32, WorkerSpec>,
    pub idle: BTreeMap<Option<String>, BTreeSet<(Option<Timestamp>, i32)>>,
    pub idle_since: BTreeSet<(Timestamp, i32)>,
    pub resting: BTreeSet<(Timestamp, i32)>,
    pub busy: BTreeSet<i32>,
    pub starting: BTreeSet<i32>,
    pub held: BTreeSet<i32>,
    pub unavailable: BTreeSet<i32>,
    pub deleting: BTreeSet<i32>,
    pub queue: BTreeSet<Place>,
    /// Every dispatch that waits, oldest first.
    pub waiting: BTreeSet<(Timestamp, Arc<str>)>,
    pub admission: Admission,
    pub finals: BTreeSet<(Timestamp, Arc<str>)>,
    /// Of the workers that exist.
    pub tally: Tally,
    /// Of those whose creation is under way.
    pub coming: Tally,
    pub ordinals: Ordinals,
    pub backoff: Backoff,
    pub update: Update,
    pub doors: Doors,
    /// Rests to be written, by identity.
    pub due_rests: BTreeMap<String, crate::api::pool::CredentialRest>,
    /// Workers that are freed only once a credential's rest is written.
    pub gated: BTreeSet<ObjectKey>,
    pub rolled_up: Option<Duration>,
    /// How long the newest start took.
    pub start_took: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Subject;
    use crate::core::state::instances::InstanceEntry;

    /// There is one of these for every worker, and three subjects: the memory of 10,000 workers at rest follows them
    /// (`docs/performance.md`). What is rare goes into a box.
    #[test]
    fn what_there_is_for_every_worker_is_small() {
        for (what, size, most) in [
            ("Worker", size_of::<Worker>(), 800),
            ("WorkerEntry", size_of::<WorkerEntry>(), 352),
            ("InstanceEntry", size_of::<InstanceEntry>(), 128),
            ("Subject", size_of::<Subject>(), 40),
            ("ObjectKey", size_of::<ObjectKey>(), 32),
        ] {
            assert!(size <= most, "{what}: {size} bytes");
        }
    }
}
