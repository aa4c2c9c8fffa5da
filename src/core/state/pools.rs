//! Pools, and what is known of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::backoff::Backoff;
use super::due_rests::DueRests;
use super::members::Members;
use super::new_values::NewValues;
use super::pauses::Pauses;
use super::queue::Queue;
use super::replacements::Replacements;
use super::requests::Requests;
use super::shown_rests::ShownRests;
use super::slots::Slots;
use crate::api::ContainerPool;
use crate::core::config::PatternFn;
use crate::core::object::{Object, ObjectKey};
use crate::core::template::Templates;

/// One pool. An entry may exist before its pool does, and after it: as long as Workers or Dispatches name the pool.
#[derive(Default)]
pub(in crate::core) struct PoolEntry {
    obj: Option<Arc<ContainerPool>>,
    /// Its workers by existence.
    pub members: Members,
    /// Its workers by what they can do now.
    pub slots: Slots,
    /// Its dispatches.
    pub queue: Queue,
    /// Rests to be written to its status.
    pub due_rests: DueRests,
    /// Rests of its credentials, as its workers show them.
    pub shown_rests: ShownRests,
    /// Times up to which its workers may have an old value of a credential, by its identity.
    pub stale: BTreeMap<String, Timestamp>,
    /// What the pauses of its workers depend on.
    pub pauses: Pauses,
    /// What was learned about this very object.
    pub learned: Learned,
    /// What was found out about its `spec.rateLimit.patterns`.
    pub patterns: Patterns,
    /// What its workers are made from.
    pub templates: Templates,
    /// Monotonic time at which its status was last written.
    pub status_written: Option<Duration>,
    /// Monotonic time at which its queue was last looked at to tell dispatches why they wait.
    pub queue_looked_at: Option<Duration>,
    /// Monotonic time at which an Event last said that its queue refuses dispatches.
    pub refusals_reported: Option<Duration>,
    /// What its conditions said in the newest write.
    pub said: String,
    /// Writes of its status that did not wait for the next roll-up.
    pub at_once: AtOnce,
    /// Monotonic time at which its status was first looked at.
    pub looked_at: Option<Duration>,
    /// How long the newest start took.
    pub start_took: Option<Duration>,
}

/// Entries of a pool's `spec.rateLimit.patterns`, and what is wrong with the first one that cannot be used.
#[derive(Default)]
pub(in crate::core) struct Patterns {
    entries: Vec<String>,
    problem: Option<String>,
}

impl Patterns {
    /// What is wrong with these entries. Each is looked at once: they seldom change.
    pub fn problem(&mut self, entries: &[String], check: PatternFn) -> Option<&str> {
        if self.entries != entries {
            let bad = (0..).zip(entries).find_map(|(i, entry): (usize, _)| Some((i, check(entry).err()?)));
            self.problem = bad.map(|(i, why)| format!("spec.rateLimit.patterns[{i}]: {why}"));
            self.entries = entries.to_vec();
        }
        self.problem.as_deref()
    }
}

/// How many writes of a pool's status in a row do not wait for the next roll-up.
const IN_A_ROW: u32 = 5;

/// Limits the writes of a pool's status that do not wait for the next roll-up: [`IN_A_ROW`], and one more for each interval
/// between roll-ups. So a condition that changes repeatedly costs no more than two writes in an interval.
#[derive(Default)]
pub(in crate::core) struct AtOnce {
    used: u32,
    /// Since when the oldest of these counts.
    since: Duration,
}

impl AtOnce {
    /// Takes one. False: none is left now.
    pub fn take(&mut self, interval: Duration, now: Duration) -> bool {
        let passed = now.saturating_sub(self.since).as_millis() / interval.as_millis().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.since = if passed < self.used { self.since + interval * passed } else { now };
        self.used = self.used.saturating_sub(passed);
        let left = self.used < IN_A_ROW;
        self.used += u32::from(left);
        left
    }
}

/// What was learned about a pool. It does not hold for another pool with the same name.
#[derive(Default)]
pub(in crate::core) struct Learned {
    pub backoff: Backoff,
    pub new_values: NewValues,
    pub requests: Requests,
    pub replacements: Replacements,
}

impl PoolEntry {
    /// The pool, if it exists.
    pub fn obj(&self) -> Option<&Arc<ContainerPool>> {
        self.obj.as_ref()
    }

    /// A version of the pool was seen. Returns the version before it.
    pub fn saw(&mut self, pool: &Arc<ContainerPool>) -> Option<Arc<ContainerPool>> {
        let old = self.obj.replace(pool.clone());
        if old.as_ref().is_some_and(|old| old.uid_str() != pool.uid_str()) {
            self.forget();
        }
        old
    }

    /// The pool is gone.
    pub fn lost(&mut self) {
        self.obj = None;
        self.forget();
    }

    /// Forgets what holds for one pool only. Every field is named, so a new one must be decided about here.
    fn forget(&mut self) {
        let Self {
            learned,
            // Indexes of Workers and Dispatches: they follow these objects, not the pool.
            members: _,
            slots: _,
            queue: _,
            // Follow the spec, and are replaced with it.
            obj: _,
            templates: _,
            patterns: _,
            due_rests: _,
            shown_rests: _,
            stale: _,
            pauses: _,
            // A name is enough for these: the last is a guess, the others limit rates.
            status_written: _,
            queue_looked_at: _,
            refusals_reported: _,
            said: _,
            at_once: _,
            looked_at: _,
            start_took: _,
        } = self;
        *learned = Learned::default();
    }

    /// Workers of the pool's present template.
    pub fn updated(&self) -> usize {
        self.templates.hashes().map(|hash| self.members.with_hash(hash)).sum()
    }

    /// True if a worker is of another template.
    pub fn has_outdated(&self) -> bool {
        self.members.len() > self.updated()
    }

    /// Entries of its tables, without those of its queue and its slots.
    pub fn entries(&self) -> usize {
        let Learned { backoff: _, new_values, requests, replacements } = &self.learned;
        let learned = new_values.entries() + requests.entries() + replacements.entries();
        let rests = self.due_rests.entries() + self.shown_rests.entries();
        self.members.entries() + learned + rests + self.stale.len() + self.pauses.credentials.len()
    }

    /// True if nothing leads to this entry.
    fn is_unused(&self) -> bool {
        self.members.is_empty() && self.queue.waiting().is_empty() && self.queue.finished().is_empty()
    }
}

/// Every pool, by its key.
#[derive(Default)]
pub(in crate::core) struct Pools(BTreeMap<ObjectKey, PoolEntry>);

impl Pools {
    /// One pool.
    pub fn get(&self, key: &ObjectKey) -> Option<&PoolEntry> {
        self.0.get(key)
    }

    /// One pool, to change what is known of it.
    pub fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut PoolEntry> {
        self.0.get_mut(key)
    }

    /// One pool, with an entry even if it does not exist.
    pub fn entry(&mut self, key: &ObjectKey) -> &mut PoolEntry {
        self.0.entry(key.clone()).or_default()
    }

    /// A pool that exists.
    pub fn obj(&self, key: &ObjectKey) -> Option<&Arc<ContainerPool>> {
        self.0.get(key)?.obj.as_ref()
    }

    /// The key of a pool as it is stored. Clones of it share their strings.
    pub fn shared_key(&self, key: ObjectKey) -> ObjectKey {
        self.0.get_key_value(&key).map_or(key, |(known, _)| known.clone())
    }

    /// All pools.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &PoolEntry)> {
        self.0.iter()
    }

    /// Forgets a pool that does not exist and that no Worker and no Dispatch names.
    pub fn forget_unused(&mut self, key: &ObjectKey) {
        if self.0.get(key).is_some_and(|p| p.obj.is_none() && p.is_unused()) {
            self.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_at_once_are_few_in_a_row_and_then_one_in_an_interval() {
        let interval = Duration::from_secs(5);
        let mut at_once = AtOnce::default();
        let taken: Vec<u64> = (1000..1100).filter(|s| at_once.take(interval, Duration::from_secs(*s))).collect();
        assert_eq!(taken[..7], [1000, 1001, 1002, 1003, 1004, 1005, 1010], "{taken:?}");
        assert_eq!(taken.len(), 5 + 99 / 5, "{taken:?}");
        assert!(
            (2000..2005).all(|s| at_once.take(interval, Duration::from_secs(s))),
            "after a long pause there are all again"
        );
    }
}
