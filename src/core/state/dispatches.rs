//! Dispatches, and what is known of each.

use std::cmp::Reverse;
use std::ops::Index;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::claims::Claims;
use super::queue::{Delay, Place, Queue};
use crate::api::Dispatch;
use crate::api::dispatch::DispatchStatus;
use crate::api::vocabulary::DispatchAssigned;
use crate::core::config::HostKey;
use crate::core::object::ObjectKey;
use crate::core::time::Now;

/// One Dispatch. What stands in an index as well is changed together with the index.
pub(in crate::core) struct DispatchEntry {
    obj: Arc<Dispatch>,
    pool: ObjectKey,
    place: Place,
    /// It stands in the pool's [`Queue`], and can be assigned.
    queued: bool,
    /// It is Pending, as the pool's [`Queue`] has it.
    waiting: bool,
    /// What it waits for instead of a worker, as the pool's [`Queue`] counts it.
    delay: Option<Delay>,
    /// As the pool's [`Queue`] counts it.
    accepted: bool,
    /// Monotonic time at which `waiting` was first seen as it is now.
    since: Duration,
    /// Why it waits, if it is one of those that say so.
    wait: Option<SeenWait>,
    /// As it stands in the pool's [`Queue`].
    finished: Option<Timestamp>,
    /// Uid of the worker of its open attempt, as it stands in [`Claims`].
    open_on: Option<String>,
    /// Uid of the worker of its last attempt, if that was Lost and it waits, as it stands in [`Claims`].
    lost_on: Option<String>,
    released: i32,
    /// Uid of a worker that a live GET showed to be gone.
    worker_gone: Option<String>,
    /// Uid and host of the worker of its last attempt, which was Lost, if this controller saw that worker. Boxed, since it is rare.
    lost_worker: Option<Box<(String, HostKey)>>,
}

impl DispatchEntry {
    /// A Dispatch that is seen for the first time. It stands in no index yet.
    pub fn new(key: &ObjectKey, obj: Arc<Dispatch>, pool: ObjectKey, now: Now) -> Self {
        let created = obj.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |t| t.0);
        Self {
            place: Place { priority: Reverse(obj.spec.priority), created, name: key.name.clone() },
            obj,
            pool,
            queued: false,
            waiting: false,
            delay: None,
            accepted: false,
            since: now.mono,
            wait: None,
            finished: None,
            open_on: None,
            lost_on: None,
            released: 0,
            worker_gone: None,
            lost_worker: None,
        }
    }

    /// A newer version of the same Dispatch was seen.
    pub fn saw(&mut self, obj: Arc<Dispatch>) {
        self.obj = obj;
    }

    /// The Dispatch as it was last seen.
    pub const fn obj(&self) -> &Arc<Dispatch> {
        &self.obj
    }

    /// Its pool, which may not exist.
    pub const fn pool(&self) -> &ObjectKey {
        &self.pool
    }

    /// Its place in the queue, whether or not it stands there.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Monotonic time at which it was first seen Pending, while it is.
    pub fn waiting_since(&self) -> Option<Duration> {
        self.waiting.then_some(self.since)
    }

    /// It was looked at, and waits for this reason. Returns since when, by monotonic time, it does, and when its status was last
    /// written about its wait, or else when it was first looked at.
    pub fn waits_for(&mut self, reason: DispatchAssigned, now: Now) -> (Duration, Duration) {
        let seen = SeenWait::next(self.wait, reason, now.mono);
        self.wait = Some(seen);
        (seen.since, seen.written)
    }

    /// Its status is being written about its wait.
    pub const fn wait_is_written(&mut self, now: Now) {
        if let Some(seen) = &mut self.wait {
            seen.written = now.mono;
        }
    }

    /// It waits for nothing that is known.
    pub const fn forget_wait(&mut self) {
        self.wait = None;
    }

    /// It waits for an attempt, or no longer does. Returns false if that is no change.
    pub fn set_waiting(&mut self, waiting: bool, queue: &mut Queue, now: Now) -> bool {
        if self.waiting == waiting {
            return false;
        }
        (self.waiting, self.since) = (waiting, now.mono);
        queue.set_waiting(&self.place, waiting);
        true
    }

    /// True if it waits for its first attempt and has a place under the queue's limit. It keeps the place if the limit is
    /// lowered.
    pub const fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// It waits for its first attempt, and has to be judged.
    pub fn ask_for_place(&self, queue: &mut Queue) {
        queue.admission.comes(self.place.created, &self.place.name);
    }

    /// The queue gave it a place.
    pub const fn accept(&mut self) {
        self.accepted = true;
    }

    /// It no longer waits for its first attempt.
    pub fn give_up_place(&mut self, queue: &mut Queue) {
        queue.admission.goes(self.place.created, &self.place.name, std::mem::take(&mut self.accepted));
    }

    /// It can be assigned. Returns false if that is no change.
    pub fn enqueue(&mut self, queue: &mut Queue) -> bool {
        if !self.queued {
            let returned = self.obj.status.as_ref().is_some_and(DispatchStatus::follows_overloaded);
            queue.enqueue(self.place.clone(), returned);
        }
        !std::mem::replace(&mut self.queued, true)
    }

    /// It can no longer be assigned.
    pub fn unqueue(&mut self, queue: &mut Queue) {
        if std::mem::take(&mut self.queued) {
            queue.unqueue(&self.place);
            self.wait = None; // the next wait counts anew
        }
    }

    /// It waits for something else than a worker, or no longer does. Returns false if that is no change.
    pub fn set_delay(&mut self, delay: Option<Delay>, queue: &mut Queue) -> bool {
        if self.delay == delay {
            return false;
        }
        queue.set_delay(&self.place.name, self.delay, delay);
        self.delay = delay;
        true
    }

    /// Changes when it finished.
    pub fn set_finished(&mut self, finished: Option<Timestamp>, queue: &mut Queue) {
        if finished != self.finished {
            queue.set_finished(&self.place.name, self.finished, finished);
            self.finished = finished;
        }
    }

    /// It is gone: takes it out of every index of its pool.
    pub fn leave_queue(&mut self, queue: &mut Queue) {
        self.unqueue(queue);
        self.set_delay(None, queue);
        queue.set_waiting(&self.place, false);
        self.give_up_place(queue);
        self.set_finished(None, queue);
    }

    /// Changes the worker of its open attempt, by the worker's uid. Returns the one before it, if that is another one.
    pub fn set_open_on(&mut self, key: &ObjectKey, open_on: Option<String>, claims: &mut Claims) -> Option<String> {
        if self.open_on == open_on {
            return None;
        }
        if let Some(uid) = &self.open_on {
            claims.close(uid, key);
        }
        if let Some(uid) = &open_on {
            claims.open(uid, key);
        }
        std::mem::replace(&mut self.open_on, open_on)
    }

    /// Changes the worker of its last attempt, if that was Lost and it waits.
    pub fn set_lost_on(&mut self, key: &ObjectKey, lost_on: Option<String>, claims: &mut Claims) {
        if self.lost_on == lost_on {
            return;
        }
        if let Some(uid) = &self.lost_on {
            claims.found(uid, key);
        }
        if let Some(uid) = &lost_on {
            claims.lose(uid, key);
        }
        self.lost_on = lost_on;
    }

    /// True if the worker of this attempt was seen not to name it any more.
    pub const fn is_released(&self, attempt: i32) -> bool {
        self.released >= attempt
    }

    /// The worker of this attempt was seen not to name it any more.
    pub fn release(&mut self, attempt: i32) {
        self.released = self.released.max(attempt);
    }

    /// True if a live GET showed that the worker with this uid is gone.
    pub fn is_worker_gone(&self, uid: &str) -> bool {
        self.worker_gone.as_deref() == Some(uid)
    }

    /// A live GET showed that the worker with this uid is gone.
    pub fn found_worker_gone(&mut self, uid: String) {
        self.worker_gone = Some(uid);
    }

    /// The worker with this uid, on which its last attempt was Lost, is on this host.
    pub fn saw_lost_worker(&mut self, uid: String, host: HostKey) {
        self.lost_worker = Some(Box::new((uid, host)));
    }

    /// The host of the worker with this uid, if it was seen since its attempt was Lost.
    pub fn host_of_lost(&self, uid: &str) -> Option<&HostKey> {
        self.lost_worker.as_deref().filter(|(seen, _)| seen == uid).map(|(_, host)| host)
    }
}

/// Why a dispatch waits, as it was last looked at. By monotonic time.
#[derive(Clone, Copy)]
struct SeenWait {
    reason: DispatchAssigned,
    /// Since when this is the reason.
    since: Duration,
    /// When the status was last written about the wait, or else when it was first looked at.
    written: Duration,
}

impl SeenWait {
    /// The reason as it is now, after it was `before`.
    fn next(before: Option<Self>, reason: DispatchAssigned, now: Duration) -> Self {
        let written = before.map_or(now, |b| b.written);
        let since = before.filter(|b| b.reason == reason).map_or(now, |b| b.since);
        Self { reason, since, written }
    }
}

/// Every Dispatch, by its key.
#[derive(Default)]
pub(in crate::core) struct Dispatches(IndexMap<ObjectKey, DispatchEntry>);

impl Dispatches {
    /// One Dispatch.
    pub fn get(&self, key: &ObjectKey) -> Option<&DispatchEntry> {
        self.0.get(key)
    }

    /// One Dispatch, to change what is known of it.
    pub fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut DispatchEntry> {
        self.0.get_mut(key)
    }

    /// True if it exists.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.0.contains_key(key)
    }

    /// All keys. Only a listing may walk them.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.0.keys()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A Dispatch is seen for the first time.
    pub fn insert(&mut self, key: ObjectKey, entry: DispatchEntry) {
        self.0.insert(key, entry);
    }

    /// A Dispatch is gone.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<DispatchEntry> {
        self.0.swap_remove(key)
    }
}

impl Index<&ObjectKey> for Dispatches {
    type Output = DispatchEntry;

    fn index(&self, key: &ObjectKey) -> &DispatchEntry {
        &self.0[key]
    }
}
