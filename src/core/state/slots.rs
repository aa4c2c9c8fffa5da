//! The workers of a pool, indexed by what they can do now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

/// The index that a worker stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) enum Slot {
    /// It can take work. Its credential may still rest.
    Idle { cred: Option<String>, last: Option<Timestamp>, since: Timestamp },
    /// Idle, but the worker itself rests. `up`: its instance runs.
    Resting { until: Timestamp, up: bool },
    /// It names a dispatch, or is about to.
    Busy { cred: Option<String>, assigned_at: Timestamp },
    /// Not Ready yet.
    Starting,
    /// A write about it is under way, and its end will show what the worker is. Or a write failed, and the wait before the
    /// next try is not over. Until then it takes no work, and counts as what it was.
    Held(Standing),
    /// Idle, and has served as many dispatches as it may.
    Spent,
    /// Idle, and cannot take work.
    Unavailable,
}

/// What a worker with a write under way counts as: what is known of it without that write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::core) enum Standing {
    /// Idle, on this credential.
    Idle(Option<String>),
    Resting,
    Starting,
    Unavailable,
}

impl Slot {
    /// What a worker of this slot counts as while a write about it is under way. `None`: as busy.
    pub fn standing(&self) -> Option<Standing> {
        match self {
            Self::Idle { cred, .. } => Some(Standing::Idle(cred.clone())),
            Self::Resting { up: true, .. } => Some(Standing::Resting),
            Self::Starting => Some(Standing::Starting),
            Self::Held(standing) => Some(standing.clone()),
            Self::Resting { up: false, .. } | Self::Spent | Self::Unavailable => Some(Standing::Unavailable),
            Self::Busy { .. } => None,
        }
    }
}

/// The index. A worker is named by its ordinal.
#[derive(Default)]
pub(in crate::core) struct Slots {
    /// By credential, and then by the time of the last dispatch.
    idle: BTreeMap<Option<String>, BTreeSet<(Option<Timestamp>, i32)>>,
    idle_since: BTreeSet<(Timestamp, i32)>,
    resting: BTreeSet<(Timestamp, i32)>,
    /// Those of them whose instance does not run.
    resting_down: BTreeSet<i32>,
    busy: BTreeSet<i32>,
    starting: BTreeSet<i32>,
    held: BTreeSet<i32>,
    /// How many of them count as what. No entry is 0.
    held_as: BTreeMap<Standing, usize>,
    spent: BTreeSet<i32>,
    unavailable: BTreeSet<i32>,
    /// Workers that may be replaced, by the time at which they are due.
    due: BTreeSet<(Timestamp, i32)>,
    /// Workers that became Ready a short while ago, by that time.
    young: BTreeSet<(Duration, i32)>,
}

impl Slots {
    /// Puts a worker into the index.
    pub fn insert(&mut self, ordinal: i32, slot: Slot) {
        match slot {
            Slot::Idle { cred, last, since } => {
                self.idle.entry(cred).or_default().insert((last, ordinal));
                self.idle_since.insert((since, ordinal));
            }
            Slot::Resting { until, up } => {
                self.resting.insert((until, ordinal));
                if !up {
                    self.resting_down.insert(ordinal);
                }
            }
            Slot::Busy { .. } => drop(self.busy.insert(ordinal)),
            Slot::Starting => drop(self.starting.insert(ordinal)),
            Slot::Held(standing) => {
                if self.held.insert(ordinal) {
                    *self.held_as.entry(standing).or_default() += 1;
                }
            }
            Slot::Spent => drop(self.spent.insert(ordinal)),
            Slot::Unavailable => drop(self.unavailable.insert(ordinal)),
        }
    }

    /// Takes a worker out of the index.
    pub fn remove(&mut self, ordinal: i32, slot: &Slot) {
        match slot {
            Slot::Idle { cred, last, since } => {
                if let Some(set) = self.idle.get_mut(cred) {
                    set.remove(&(*last, ordinal));
                    if set.is_empty() {
                        self.idle.remove(cred);
                    }
                }
                self.idle_since.remove(&(*since, ordinal));
            }
            Slot::Resting { until, .. } => {
                self.resting.remove(&(*until, ordinal));
                self.resting_down.remove(&ordinal);
            }
            Slot::Busy { .. } => drop(self.busy.remove(&ordinal)),
            Slot::Starting => drop(self.starting.remove(&ordinal)),
            Slot::Held(standing) => {
                if self.held.remove(&ordinal)
                    && let Some(n) = self.held_as.get_mut(standing)
                {
                    *n -= 1;
                    if *n == 0 {
                        self.held_as.remove(standing);
                    }
                }
            }
            Slot::Spent => drop(self.spent.remove(&ordinal)),
            Slot::Unavailable => drop(self.unavailable.remove(&ordinal)),
        }
    }

    /// Idle workers by their credential: the time of the last dispatch, and the ordinal.
    pub fn idle(&self) -> &BTreeMap<Option<String>, BTreeSet<(Option<Timestamp>, i32)>> {
        &self.idle
    }

    /// Idle workers by the time since which they are idle.
    pub fn idle_since(&self) -> &BTreeSet<(Timestamp, i32)> {
        &self.idle_since
    }

    /// Workers that rest, by the end of their rest.
    pub fn resting(&self) -> &BTreeSet<(Timestamp, i32)> {
        &self.resting
    }

    /// Workers that rest and whose instance does not run.
    pub fn resting_down(&self) -> &BTreeSet<i32> {
        &self.resting_down
    }

    /// Workers that name a dispatch, or are about to.
    pub fn busy(&self) -> &BTreeSet<i32> {
        &self.busy
    }

    /// Workers that are not Ready yet.
    pub fn starting(&self) -> &BTreeSet<i32> {
        &self.starting
    }

    /// Workers with a write under way.
    pub fn held(&self) -> &BTreeSet<i32> {
        &self.held
    }

    /// How many of them count as what. At most one entry for each credential and for each other standing.
    pub fn held_as(&self) -> &BTreeMap<Standing, usize> {
        &self.held_as
    }

    /// How many of them count as this.
    pub fn held_standing(&self, standing: &Standing) -> usize {
        self.held_as.get(standing).copied().unwrap_or_default()
    }

    /// Idle workers that have served as many dispatches as they may.
    pub fn spent(&self) -> &BTreeSet<i32> {
        &self.spent
    }

    /// Takes the spent workers out, to remove them.
    pub fn take_spent(&mut self) -> BTreeSet<i32> {
        std::mem::take(&mut self.spent)
    }

    /// Puts a spent worker back that cannot be removed now.
    pub fn put_back_spent(&mut self, ordinal: i32) {
        self.spent.insert(ordinal);
    }

    /// Workers that cannot take work.
    pub fn unavailable(&self) -> &BTreeSet<i32> {
        &self.unavailable
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        let ordinals = [&self.resting_down, &self.busy, &self.starting, &self.held, &self.spent, &self.unavailable];
        let times = [&self.idle_since, &self.resting, &self.due].into_iter().map(BTreeSet::len);
        let idle = self.idle.values().map(BTreeSet::len);
        let all = ordinals.into_iter().map(BTreeSet::len).chain(times).chain(idle);
        all.sum::<usize>() + self.held_as.len() + self.young.len()
    }

    /// Changes when a worker is due to be replaced.
    pub fn set_due(&mut self, ordinal: i32, old: Option<Timestamp>, new: Option<Timestamp>) {
        if let Some(t) = old {
            self.due.remove(&(t, ordinal));
        }
        if let Some(t) = new {
            self.due.insert((t, ordinal));
        }
    }

    /// The worker that is due to be replaced first.
    pub fn first_due(&self) -> Option<(Timestamp, i32)> {
        self.due.first().copied()
    }

    /// The worker that is due to be replaced after `n` others.
    pub fn nth_due(&self, n: usize) -> Option<(Timestamp, i32)> {
        self.due.iter().nth(n).copied()
    }

    /// A worker became Ready.
    pub fn became_ready(&mut self, ordinal: i32, at: Duration) {
        self.young.insert((at, ordinal));
    }

    /// A worker that became Ready at that time is no longer young, or is gone.
    pub fn not_young(&mut self, ordinal: i32, at: Duration) {
        self.young.remove(&(at, ordinal));
    }

    /// The young worker that became Ready first.
    pub fn oldest_young(&self) -> Option<(Duration, i32)> {
        self.young.first().copied()
    }

    /// How many workers became Ready a short while ago.
    pub fn young(&self) -> usize {
        self.young.len()
    }
}
