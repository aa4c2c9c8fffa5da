//! What follows when the write under way about a subject ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::input::{Event, Subject};
use crate::core::object::ObjectKey;

/// One request, by its annotation.
pub(in crate::core) struct Requester {
    pub pool: ObjectKey,
    pub annotation: String,
    pub value: String,
}

/// The requests that wait for the end of a write.
#[derive(Default)]
pub(in crate::core) struct RequestWrite {
    /// The request that the write is for.
    pub by: Option<Requester>,
    /// Pools with requests that come after it. The object that is written may not lead to these pools.
    pub awaited_by: BTreeSet<ObjectKey>,
}

/// See the module's page.
#[derive(Default)]
pub(in crate::core) struct Pending {
    requests: BTreeMap<Subject, RequestWrite>,
    /// Events to record once the pending write succeeds, so a lost race never reports something that did not happen.
    events: BTreeMap<Subject, Event>,
}

impl Pending {
    /// Records an Event about a dispatch once its pending write succeeds.
    pub fn record(&mut self, dispatch: &ObjectKey, event: Event) {
        self.events.insert(Subject::Dispatch(dispatch.clone()), event);
    }

    /// The Event to record if the write succeeded.
    pub fn take_event(&mut self, subject: &Subject) -> Option<Event> {
        self.events.remove(subject)
    }

    /// A write begins that a request asked for.
    pub fn requested(&mut self, subject: Subject, by: Requester) {
        let awaited_by = [by.pool.clone()].into();
        self.requests.insert(subject, RequestWrite { by: Some(by), awaited_by });
    }

    /// A request of a pool waits until the write about this subject has ended.
    pub fn await_end(&mut self, subject: Subject, pool: &ObjectKey) {
        self.requests.entry(subject).or_default().awaited_by.insert(pool.clone());
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.requests.values().map(|r| 1 + r.awaited_by.len()).sum::<usize>() + self.events.len()
    }

    /// The requests that waited for this write.
    pub fn take_requests(&mut self, subject: &Subject) -> RequestWrite {
        self.requests.remove(subject).unwrap_or_default()
    }
}
