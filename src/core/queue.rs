//! The queue of a pool: whom it takes, and who stands in it.
//!
//! `queueLimit` counts who waits for a first attempt. Whoever had an attempt was accepted before it, and takes nobody's place.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Core, ObjectKey};

/// Whom a pool's queue has taken, and who is to be judged.
#[derive(Default)]
pub(super) struct Admission {
    /// Not judged yet, oldest first.
    fresh: BTreeSet<(Timestamp, Arc<str>)>,
    /// How many have a place.
    accepted: usize,
    /// Those whose creation was asked for here have a place too.
    coming: BTreeSet<Arc<str>>,
    /// How many waited before this controller led.
    inherited: usize,
}

impl Admission {
    /// True if one more may come.
    pub fn has_room(&self, limit: i32) -> bool {
        self.accepted + self.coming.len() + self.fresh.len() < usize::try_from(limit).unwrap_or(0)
    }

    /// The creation of a Dispatch was asked for.
    pub fn expect(&mut self, name: Arc<str>) {
        self.coming.insert(name);
    }

    /// It ended. Whoever was seen meanwhile has that place already.
    pub fn expected(&mut self, name: &str) {
        self.coming.remove(name);
    }

    /// One is seen for the first time. Returns true if it has a place.
    pub fn comes(&mut self, created: Timestamp, name: &Arc<str>) -> bool {
        let expected = self.coming.remove(name);
        if expected {
            self.accepted += 1;
        } else {
            self.fresh.insert((created, name.clone()));
        }
        expected
    }

    /// One waits for a first attempt no longer.
    pub fn goes(&mut self, created: Timestamp, name: &Arc<str>, accepted: bool) {
        if accepted {
            self.accepted = self.accepted.saturating_sub(1);
        } else if !self.fresh.is_empty() {
            self.fresh.remove(&(created, name.clone()));
        }
    }

    /// What the pool's status told when this controller first saw it. It may be a few seconds old: that lets in one too many at
    /// most, and never refuses who was accepted under a limit that was higher.
    pub fn inherit(&mut self, queued: i32) {
        self.inherited = usize::try_from(queued).unwrap_or(0);
    }

    /// All who waited at the start were judged.
    pub fn started(&mut self) {
        self.inherited = 0;
    }
}

impl Core {
    /// True if a dispatch that had no attempt yet may wait: it was accepted, or there is room for it. Of those that are not
    /// judged the oldest go first; and each is passed by once, however many there are.
    pub(super) fn accept(&mut self, key: &ObjectKey, limit: i32) -> bool {
        let Some(e) = self.dispatches.get(key) else { return false };
        if e.accepted {
            return true;
        }
        let own = (e.place.created, key.name.clone());
        let Some(p) = self.pools.get_mut(&e.pool) else { return false };
        let admission = &mut p.admission;
        // It may have been refused in a write that failed.
        admission.fresh.insert(own.clone());
        let limit = usize::try_from(limit).unwrap_or(0).max(admission.inherited);
        while admission.accepted + admission.coming.len() < limit {
            let Some((_, name)) = admission.fresh.pop_first() else { break };
            self.visits.0 += 1;
            if let Some(e) = self.dispatches.get_mut(&key.sibling(name)) {
                e.accepted = true;
                admission.accepted += 1;
            }
        }
        !admission.fresh.remove(&own)
    }

    pub(super) fn enqueue(&mut self, key: &ObjectKey) {
        if let Some(e) = self.dispatches.get_mut(key).filter(|e| !e.queued) {
            e.queued = true;
            let (pool, place) = (e.pool.clone(), e.place.clone());
            self.pools.entry(pool.clone()).or_default().queue.insert(place);
            self.agenda.mark_pool(&pool);
        }
    }

    pub(super) fn unqueue(&mut self, key: &ObjectKey) {
        if let Some(e) = self.dispatches.get_mut(key).filter(|e| e.queued) {
            e.queued = false;
            let (pool, place) = (e.pool.clone(), e.place.clone());
            if let Some(p) = self.pools.get_mut(&pool) {
                p.queue.remove(&place);
            }
        }
    }
}
