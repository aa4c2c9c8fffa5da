//! Workers, and what is known of each.

use std::ops::Index;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::life::Life;
use super::slots::Slot;
use crate::api::worker::DispatchRef;
use crate::api::{Dispatch, Worker};
use crate::core::object::{Object, ObjectKey};
use crate::core::time::Now;
use crate::runtime::InstanceKey;

/// One Worker.
pub(in crate::core) struct WorkerEntry {
    pub obj: Arc<Worker>,
    pub pool: ObjectKey,
    /// `None`: its name is not one that its pool gives.
    pub ordinal: Option<i32>,
    /// The index of its pool that it stands in.
    pub slot: Option<Slot>,
    /// The dispatch that a write under way reserves it for.
    pub reserving: Option<DispatchRef>,
    /// Its instance: orders, start, checks.
    pub life: Life,
    /// Uid of a dispatch that a live GET showed to be gone.
    pub dispatch_gone: Option<String>,
    /// The dispatch that it names, as it was last seen before it was deleted.
    pub left_by: Option<Arc<Dispatch>>,
    /// A live GET showed that its pool does not exist.
    pub pool_gone: bool,
    /// When it is due to be replaced, while it is idle.
    pub due: Option<Timestamp>,
    /// Monotonic time at which it became Ready, for a while after that.
    pub young: Option<Duration>,
}

impl WorkerEntry {
    /// A Worker that is seen for the first time.
    pub fn new(obj: Arc<Worker>, pool: ObjectKey, ordinal: Option<i32>, now: Now) -> Self {
        Self {
            obj,
            pool,
            ordinal,
            slot: None,
            reserving: None,
            life: Life::new(now.mono),
            dispatch_gone: None,
            left_by: None,
            pool_gone: false,
            due: None,
            young: None,
        }
    }
}

/// Every Worker, by its key.
#[derive(Default)]
pub(in crate::core) struct Workers(IndexMap<ObjectKey, Box<WorkerEntry>>);

impl Workers {
    /// One Worker.
    pub fn get(&self, key: &ObjectKey) -> Option<&WorkerEntry> {
        self.0.get(key).map(|e| &**e)
    }

    /// One Worker, to change what is known of it.
    pub fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut WorkerEntry> {
        self.0.get_mut(key).map(|e| &mut **e)
    }

    /// The Worker of an instance: it has the name and the uid that the instance was made for.
    pub fn of_instance(&self, instance: &InstanceKey) -> Option<&WorkerEntry> {
        self.get(&ObjectKey::of_instance(instance)).filter(|e| e.obj.uid_str() == instance.uid)
    }

    /// As [`Workers::of_instance`], to change what is known of it.
    pub fn of_instance_mut(&mut self, instance: &InstanceKey) -> Option<&mut WorkerEntry> {
        self.get_mut(&ObjectKey::of_instance(instance)).filter(|e| e.obj.uid_str() == instance.uid)
    }

    /// The key of a Worker as it is stored. Clones of it share their strings.
    pub fn shared_key(&self, key: ObjectKey) -> ObjectKey {
        self.0.get_key_value(&key).map_or(key, |(known, _)| known.clone())
    }

    /// All Workers. Only a listing may walk them.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &WorkerEntry)> {
        self.0.iter().map(|(key, e)| (key, &**e))
    }

    /// A Worker is seen for the first time.
    pub fn insert(&mut self, key: ObjectKey, entry: WorkerEntry) {
        self.0.insert(key, Box::new(entry));
    }

    /// A Worker is gone.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Box<WorkerEntry>> {
        self.0.swap_remove(key)
    }
}

impl Index<&ObjectKey> for Workers {
    type Output = WorkerEntry;

    fn index(&self, key: &ObjectKey) -> &WorkerEntry {
        &self.0[key]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::input::Subject;
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
