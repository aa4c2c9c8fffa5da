//! The dispatches of a pool: those that wait, and those that are finished.
//!
//! `queueLimit` counts dispatches that wait for a first attempt. One that had an attempt was accepted before it, and takes
//! no place.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

/// Place of a dispatch in its pool's queue: priority, then creation, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::core) struct Place {
    pub priority: Reverse<i32>,
    pub created: Timestamp,
    pub name: Arc<str>,
}

/// What a dispatch waits for that does not wait for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Delay {
    /// A time, after Overloaded.
    Overloaded(Timestamp),
    /// A time after another outcome, or the end of the worker of a Lost attempt.
    Other,
}

/// See the module's page.
#[derive(Default)]
pub(in crate::core) struct Queue {
    /// Dispatches that can be assigned.
    places: BTreeSet<Place>,
    /// Those of them that come back after Overloaded.
    returned: BTreeSet<Place>,
    /// Every dispatch that waits, oldest first.
    waiting: BTreeSet<(Timestamp, Arc<str>)>,
    /// How many of these wait for something else than a worker.
    delayed: usize,
    /// Those of them that wait after Overloaded, by the time until which they do.
    overloaded: BTreeSet<(Timestamp, Arc<str>)>,
    /// Finished dispatches, by the time at which they finished.
    finished: BTreeSet<(Timestamp, Arc<str>)>,
    /// Which dispatches may wait.
    pub admission: Admission,
}

impl Queue {
    /// A dispatch can be assigned. `returned`: it comes back after Overloaded.
    pub fn enqueue(&mut self, place: Place, returned: bool) {
        if returned {
            self.returned.insert(place.clone());
        }
        self.places.insert(place);
    }

    /// A dispatch can no longer be assigned.
    pub fn unqueue(&mut self, place: &Place) {
        self.places.remove(place);
        self.returned.remove(place);
    }

    /// The first of the queue.
    pub fn head(&self) -> Option<&Place> {
        self.places.first()
    }

    /// The dispatch that is assigned next, of `usable` workers that are not busy. Each that waits after Overloaded keeps one of
    /// them: during an outage of the service all the others would only meet it too, and lose their retries.
    pub fn next(&self, usable: usize) -> Option<&Place> {
        if usable > self.overloaded.len() { self.places.first() } else { self.returned.first() }
    }

    /// How many dispatches wait after Overloaded, and until when the first does.
    pub fn overloaded(&self) -> (usize, Option<Timestamp>) {
        (self.overloaded.len(), self.overloaded.first().map(|(t, _)| *t))
    }

    /// Names of the dispatches that are assigned next, at most `n`.
    pub fn first(&self, n: usize) -> Vec<Arc<str>> {
        self.places.iter().take(n).map(|place| place.name.clone()).collect()
    }

    /// Dispatches that can be assigned.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        let times = [&self.waiting, &self.overloaded, &self.finished, &self.admission.fresh];
        self.places.len() + self.returned.len() + times.into_iter().map(BTreeSet::len).sum::<usize>()
    }

    /// A dispatch waits, or no longer does.
    pub fn set_waiting(&mut self, place: &Place, waits: bool) {
        let at = (place.created, place.name.clone());
        if waits {
            self.waiting.insert(at);
        } else {
            self.waiting.remove(&at);
        }
    }

    /// Every dispatch that waits, oldest first.
    pub fn waiting(&self) -> &BTreeSet<(Timestamp, Arc<str>)> {
        &self.waiting
    }

    /// Changes what a dispatch that waits does so for, if that is something else than a worker.
    pub fn set_delay(&mut self, name: &Arc<str>, old: Option<Delay>, new: Option<Delay>) {
        self.delayed = self.delayed.saturating_sub(usize::from(old.is_some())) + usize::from(new.is_some());
        if let Some(Delay::Overloaded(until)) = old {
            self.overloaded.remove(&(until, name.clone()));
        }
        if let Some(Delay::Overloaded(until)) = new {
            self.overloaded.insert((until, name.clone()));
        }
    }

    /// How many of those that wait do so for something else than a worker.
    pub const fn delayed(&self) -> usize {
        self.delayed
    }

    /// Changes when a dispatch finished.
    pub fn set_finished(&mut self, name: &Arc<str>, old: Option<Timestamp>, new: Option<Timestamp>) {
        if let Some(t) = old {
            self.finished.remove(&(t, name.clone()));
        }
        if let Some(t) = new {
            self.finished.insert((t, name.clone()));
        }
    }

    /// Finished dispatches, by the time at which they finished.
    pub fn finished(&self) -> &BTreeSet<(Timestamp, Arc<str>)> {
        &self.finished
    }
}

/// Which dispatches a pool's queue has accepted, and which have not been judged yet.
#[derive(Default)]
pub(in crate::core) struct Admission {
    /// Not judged yet, oldest first.
    fresh: BTreeSet<(Timestamp, Arc<str>)>,
    /// How many have a place.
    accepted: usize,
    /// One was refused since that was last asked for.
    refused: bool,
    /// How many waited before this controller became the leader.
    inherited: usize,
}

impl Admission {
    /// A dispatch is seen for the first time. It has to be judged.
    pub fn comes(&mut self, created: Timestamp, name: &Arc<str>) {
        self.fresh.insert((created, name.clone()));
    }

    /// True if a dispatch was refused since that was last taken.
    pub const fn has_refused(&self) -> bool {
        self.refused
    }

    /// As [`Self::has_refused`], and forgets it.
    pub fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// A dispatch no longer waits for its first attempt.
    pub fn goes(&mut self, created: Timestamp, name: &Arc<str>, accepted: bool) {
        if accepted {
            self.accepted = self.accepted.saturating_sub(1);
        } else if !self.fresh.is_empty() {
            self.fresh.remove(&(created, name.clone()));
        }
    }

    /// Takes over how many dispatches waited, from the pool's status as this controller first saw it. The number may be a few
    /// seconds old. That lets in one too many at most, and never refuses one that was accepted under a higher limit.
    pub fn inherit(&mut self, queued: i32) {
        self.inherited = usize::try_from(queued).unwrap_or(0);
    }

    /// All dispatches that waited at the start were judged.
    pub fn started(&mut self) {
        self.inherited = 0;
    }

    /// Judges the dispatches that are not judged yet, oldest first, while there is room. `accept` is called for each that has
    /// a place, and returns false if that one no longer exists. Returns true if the dispatch `own` has a place.
    pub fn judge(&mut self, own: (Timestamp, Arc<str>), limit: i32, mut accept: impl FnMut(Arc<str>) -> bool) -> bool {
        // It may have been refused in a write that failed.
        self.fresh.insert(own.clone());
        let limit = usize::try_from(limit).unwrap_or(0).max(self.inherited);
        while self.accepted < limit {
            let Some((_, name)) = self.fresh.pop_first() else { break };
            self.accepted += usize::from(accept(name));
        }
        let refused = self.fresh.remove(&own);
        self.refused |= refused;
        !refused
    }
}
