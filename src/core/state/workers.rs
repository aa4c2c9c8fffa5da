//! Workers, and what is known of each.

use std::ops::Index;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::claims::Claims;
use super::life::Life;
use super::slots::{Slot, Slots};
use crate::api::worker::{DispatchRef, WorkerPhase};
use crate::api::{Dispatch, Worker, names};
use crate::core::object::{Object, ObjectKey, worker_status};
use crate::core::time::Now;
use crate::runtime::InstanceKey;

/// One Worker. What stands in an index as well is changed together with the index.
pub(in crate::core) struct WorkerEntry {
    obj: Arc<Worker>,
    pool: ObjectKey,
    ordinal: Option<i32>,
    /// As it stands in the pool's [`Slots`].
    slot: Option<Slot>,
    /// As it stands in [`Claims`].
    reserving: Option<DispatchRef>,
    life: Life,
    /// Uid of a dispatch that a live GET showed to be gone.
    dispatch_gone: Option<String>,
    /// The dispatch that it names, as it was last seen before it was deleted.
    left_by: Option<Arc<Dispatch>>,
    pool_gone: bool,
    /// As it stands in the pool's [`Slots`].
    due: Option<Timestamp>,
    /// As it stands in the pool's [`Slots`].
    young: Option<Duration>,
}

/// What a new version of a Worker changed.
#[derive(Default)]
pub(in crate::core) struct WorkerChange {
    /// It was Starting, and is Ready.
    pub became_ready: bool,
    /// The attempt that it no longer names.
    pub unnamed: Option<DispatchRef>,
}

impl WorkerEntry {
    /// A Worker that is seen for the first time.
    pub fn new(key: &ObjectKey, obj: Arc<Worker>, pool: ObjectKey, claims: &mut Claims, now: Now) -> Self {
        let entry = Self {
            ordinal: names::ordinal(&pool.name, &key.name),
            obj,
            pool,
            slot: None,
            reserving: None,
            life: Life::new(now.mono),
            dispatch_gone: None,
            left_by: None,
            pool_gone: false,
            due: None,
            young: None,
        };
        if let Some(named) = entry.named() {
            claims.name(&named.uid, key);
        }
        entry
    }

    /// A newer version of the same Worker was seen.
    pub fn saw(&mut self, key: &ObjectKey, obj: Arc<Worker>, claims: &mut Claims, now: Now) -> WorkerChange {
        let old = std::mem::replace(&mut self.obj, obj);
        let mut change = WorkerChange::default();
        let (was, is) = (worker_status(&old).phase, worker_status(&self.obj).phase);
        if (was == WorkerPhase::Starting) != (is == WorkerPhase::Starting) {
            self.life.changed_phase(now.mono);
            change.became_ready = is == WorkerPhase::Ready;
        }
        let (before, after) = (named(&old), named(&self.obj));
        if before != after {
            if let Some(b) = before {
                claims.unname(&b.uid, key);
            }
            if let Some(a) = after {
                claims.name(&a.uid, key);
            }
            change.unnamed = before.cloned();
            (self.dispatch_gone, self.left_by) = (None, None);
        }
        change
    }

    /// The Worker as it was last seen.
    pub const fn obj(&self) -> &Arc<Worker> {
        &self.obj
    }

    /// Its pool, which may not exist.
    pub const fn pool(&self) -> &ObjectKey {
        &self.pool
    }

    /// Its number in its pool. `None`: its name is not one that its pool gives.
    pub const fn ordinal(&self) -> Option<i32> {
        self.ordinal
    }

    /// The dispatch and the attempt that its status names.
    pub fn named(&self) -> Option<&DispatchRef> {
        named(&self.obj)
    }

    /// Its instance: orders, start, checks.
    pub const fn life(&self) -> &Life {
        &self.life
    }

    /// Its instance, to record what happened to it.
    pub const fn life_mut(&mut self) -> &mut Life {
        &mut self.life
    }

    /// The index of its pool that it stands in. `None`: none yet.
    pub const fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// Moves it to an index of its pool. Returns the one that it stood in. One without an ordinal has no place in the pool: what
    /// it can do is known, and it stands in no index.
    pub fn move_to(&mut self, slot: Slot, slots: &mut Slots) -> Option<Slot> {
        let old = self.slot.replace(slot.clone());
        if let Some(ordinal) = self.ordinal {
            if let Some(old) = &old {
                slots.remove(ordinal, old);
            }
            slots.insert(ordinal, slot);
        }
        old
    }

    /// Changes when it is due to be replaced. Returns false if that is no change. One without an ordinal is never replaced.
    pub fn set_due(&mut self, due: Option<Timestamp>, slots: &mut Slots) -> bool {
        let Some(ordinal) = self.ordinal else { return false };
        let old = std::mem::replace(&mut self.due, due);
        if old != due {
            slots.set_due(ordinal, old, due);
        }
        old != due
    }

    /// It became Ready, and is young for a while. Only a Worker with an ordinal is.
    pub fn became_ready(&mut self, slots: &mut Slots, now: Now) {
        if let Some(ordinal) = self.ordinal {
            self.young = Some(now.mono);
            slots.became_ready(ordinal, now.mono);
        }
    }

    /// It is no longer young.
    pub fn aged(&mut self, slots: &mut Slots) {
        if let (Some(ordinal), Some(at)) = (self.ordinal, self.young.take()) {
            slots.not_young(ordinal, at);
        }
    }

    /// It is gone: takes it out of every index of its pool. Returns the one that it stood in.
    pub fn leave_slots(&mut self, slots: &mut Slots) -> Option<Slot> {
        self.aged(slots);
        self.set_due(None, slots);
        let slot = self.slot.take();
        if let (Some(ordinal), Some(slot)) = (self.ordinal, &slot) {
            slots.remove(ordinal, slot);
        }
        slot
    }

    /// The dispatch that a write under way reserves it for.
    pub const fn reserving(&self) -> Option<&DispatchRef> {
        self.reserving.as_ref()
    }

    /// A write that reserves it begins.
    pub fn reserve(&mut self, named: DispatchRef, claims: &mut Claims) {
        claims.reserve(&named.uid, named.attempt);
        self.reserving = Some(named);
    }

    /// The write ended. Returns what it was to reserve the Worker for, if it was such a write.
    pub fn end_reservation(&mut self, claims: &mut Claims) -> Option<DispatchRef> {
        let reserved = self.reserving.take();
        if let Some(named) = &reserved {
            claims.reserved(&named.uid);
        }
        reserved
    }

    /// It is gone: takes it out of the claims. Returns the dispatch that a write under way reserved it for, and the one that it
    /// named.
    pub fn leave_claims(&mut self, key: &ObjectKey, claims: &mut Claims) -> (Option<DispatchRef>, Option<DispatchRef>) {
        let named = self.named().cloned();
        if let Some(named) = &named {
            claims.unname(&named.uid, key);
        }
        (self.end_reservation(claims), named)
    }

    /// True if a live GET showed that the dispatch with this uid, which it names, is gone.
    pub fn is_dispatch_gone(&self, uid: &str) -> bool {
        self.dispatch_gone.as_deref() == Some(uid)
    }

    /// A live GET showed that the dispatch with this uid is gone.
    pub fn found_dispatch_gone(&mut self, uid: String) {
        self.dispatch_gone = Some(uid);
    }

    /// The dispatch with this uid, which it names, as it was last seen before it was deleted.
    pub fn left_by(&self, uid: &str) -> Option<&Arc<Dispatch>> {
        self.left_by.as_ref().filter(|d| d.uid_str() == uid)
    }

    /// The dispatch that it names was deleted.
    pub fn dispatch_deleted(&mut self, last: Arc<Dispatch>) {
        self.left_by = Some(last);
    }

    /// True if a live GET showed that its pool does not exist.
    pub const fn is_pool_gone(&self) -> bool {
        self.pool_gone
    }

    /// A live GET showed that its pool does not exist.
    pub const fn found_pool_gone(&mut self) {
        self.pool_gone = true;
    }
}

fn named(worker: &Worker) -> Option<&DispatchRef> {
    worker.status.as_ref()?.dispatch.as_ref()
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

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
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
            ("Worker", size_of::<Worker>(), 832),
            ("WorkerEntry", size_of::<WorkerEntry>(), 360),
            ("InstanceEntry", size_of::<InstanceEntry>(), 152),
            ("Subject", size_of::<Subject>(), 40),
            ("ObjectKey", size_of::<ObjectKey>(), 32),
        ] {
            assert!(size <= most, "{what}: {size} bytes");
        }
    }
}
