//! What the rules ask for: writes, Events, and retries.

use jiff::Timestamp;

use super::Core;
use super::agenda::{Attempted, Identity, WARN_AFTER};
use super::input::{Action, Event, EventType, Subject, Verb};
use super::object::{Object, ObjectKey};
use super::time::Now;
use crate::api::vocabulary::EventReason;

impl Core {
    /// Emits a write and locks its subject until the write has ended.
    pub(super) fn write(&mut self, subject: Subject, verb: Verb) {
        self.agenda.lock(subject.clone(), self.identity(&subject));
        self.actions.push(Action::Write(subject, verb));
    }

    /// What a subject is now.
    pub(super) fn identity(&self, subject: &Subject) -> Identity {
        match subject {
            Subject::Pool(key) => self.pool_obj(key).map(|p| Identity::new(p.uid_str(), None)),
            Subject::Worker(key) => self.workers.get(key).map(|e| {
                let named = e.named();
                Identity::new(e.obj().uid_str(), named.map(|d| (d.uid.as_str(), d.attempt)))
            }),
            Subject::Dispatch(key) => self.dispatches.get(key).map(|e| {
                let status = e.obj().status.as_ref();
                let named = status.and_then(|s| Some((s.worker.as_ref()?.uid.as_str(), s.attempt)));
                Identity::new(e.obj().uid_str(), named)
            }),
            Subject::Lease(_) | Subject::Orphan(_) => None,
        }
        .unwrap_or_default()
    }

    /// Records a Kubernetes Event about an object.
    pub(super) fn record<K: Object>(
        &mut self,
        kind: &'static str,
        object: &K,
        type_: EventType,
        reason: EventReason,
        text: impl Into<String>,
        now: Now,
    ) {
        let event = event_about(kind, object, type_, reason, text.into(), now.wall);
        self.actions.push(Action::Record(event));
    }

    /// Records a warning about a dispatch once the write that is asked for now succeeds.
    pub(super) fn record_when_done<K: Object>(
        &mut self,
        object: &K,
        reason: EventReason,
        text: impl Into<String>,
        now: Now,
    ) {
        let event = event_about("Dispatch", object, EventType::Warning, reason, text.into(), now.wall);
        self.pending.record(&ObjectKey::of(object), event);
    }

    /// Something failed: the subject waits before it is decided about again. After a few failures in a row its pool gets one
    /// warning.
    pub(super) fn failed(&mut self, subject: &Subject, what: Attempted, why: &str, now: Now) {
        if self.agenda.failed(subject, what, why, now) != WARN_AFTER {
            return;
        }
        let pool = match subject {
            Subject::Pool(k) => self.pool_obj(k),
            Subject::Worker(k) => {
                let by_name = k.name.rsplit_once('-').map(|(pool, _)| k.sibling(pool));
                by_name.and_then(|p| self.pool_obj(&p))
            }
            Subject::Dispatch(k) => self.dispatches.get(k).and_then(|e| self.pool_obj(e.pool())),
            Subject::Lease(_) | Subject::Orphan(_) => None,
        };
        if let Some(pool) = pool {
            self.record("ContainerPool", &*pool, EventType::Warning, what.reason(), why.to_owned(), now);
        }
    }
}

fn event_about<K: Object>(
    kind: &'static str,
    object: &K,
    type_: EventType,
    reason: EventReason,
    mut text: String,
    at: Timestamp,
) -> Event {
    if let Some((cut, _)) = text.char_indices().find(|(i, _)| *i > 1000) {
        text.truncate(cut);
        text.push('…');
    }
    Event { kind, key: ObjectKey::of(object), uid: object.uid_str().to_owned(), type_, reason, text, at }
}
