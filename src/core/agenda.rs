//! What is looked at next, and when: marked subjects, locks, retry waits, and wake-up times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::input::Subject;
use super::object::ObjectKey;
use super::time::Now;
use crate::api::vocabulary::EventReason;

/// First wait after a write or an order that was refused or failed. It doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Failures in a row after which people are warned. What passes within a moment is not worth a warning.
pub(super) const WARN_AFTER: u32 = 3;

/// See the module's page.
#[derive(Default)]
pub(super) struct Agenda {
    /// Subjects to decide about.
    marked: BTreeSet<Subject>,
    /// Subjects with a write or a live GET under way, and what they were when it began.
    locks: BTreeMap<Subject, Identity>,
    retries: BTreeMap<Subject, RetryWait>,
    wall: BTreeSet<(Timestamp, Subject)>,
    mono: BTreeSet<(Duration, Subject)>,
    /// When each subject stands in `wall` and in `mono`.
    wakes: IndexMap<Subject, Wake>,
}

/// What a subject is, beyond its name. The answer to a write or a GET says nothing about another object that has the name
/// by then, and nothing about what the subject names by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// Empty if it is not known.
    pub uid: String,
    /// What it names: a dispatch its worker, a worker its dispatch. Uid, and number of the attempt.
    pub names: Option<(String, i32)>,
}

impl Identity {
    /// From its parts.
    pub fn new(uid: &str, names: Option<(&str, i32)>) -> Self {
        Self { uid: uid.to_owned(), names: names.map(|(uid, attempt)| (uid.to_owned(), attempt)) }
    }
}

/// When a subject is looked at again without an input.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wake {
    wall: Option<Timestamp>,
    mono: Option<Duration>,
}

impl Wake {
    /// At this time of the wall clock, if not earlier.
    pub fn at(&mut self, t: Timestamp) {
        self.wall = Some(self.wall.map_or(t, |w| w.min(t)));
    }

    /// At this monotonic time, if not earlier.
    pub fn after(&mut self, t: Duration) {
        self.mono = Some(self.mono.map_or(t, |m| m.min(t)));
    }
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempted {
    /// A write to the API server.
    Write {
        /// The server's answer was no, which is more than a failure to get an answer.
        refused: bool,
    },
    /// The start of an instance.
    Start,
    /// The stop of an instance.
    Stop,
}

impl Attempted {
    /// Reason of the Event that reports it.
    pub const fn reason(self) -> EventReason {
        match self {
            Self::Write { .. } => EventReason::WriteFailed,
            Self::Start => EventReason::StartFailed,
            Self::Stop => EventReason::StopFailed,
        }
    }
}

/// Failures in a row of what is written or ordered about one subject, and the wait that follows.
#[derive(Default)]
pub(super) struct RetryWait {
    failures: u32,
    until: Duration,
    why: String,
    /// True if `why` is about a write.
    is_write: bool,
    refused: bool,
}

impl RetryWait {
    /// It failed again.
    pub fn again(&mut self, what: Attempted, why: &str, now: Now) {
        self.failures += 1;
        self.until = now.mono + (RETRY_MIN * 2u32.pow(self.failures.min(12) - 1)).min(RETRY_MAX);
        let refused = what == Attempted::Write { refused: true };
        // A server that does not answer for a while has not taken its refusal back.
        if refused || !self.refused {
            why.clone_into(&mut self.why);
            self.is_write = matches!(what, Attempted::Write { .. });
        }
        self.refused |= refused;
    }

    /// Monotonic time before which it is not retried.
    pub const fn until(&self) -> Duration {
        self.until
    }

    /// The message of the newest refusal, or of the newest failure if no write was refused.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Why a write fails, once people should see it.
    pub fn write_fails(&self) -> Option<&str> {
        (self.is_write && self.is_reported()).then_some(&*self.why)
    }

    /// True if a write was refused.
    pub const fn is_refused(&self) -> bool {
        self.refused
    }

    /// True once people should see it.
    pub const fn is_reported(&self) -> bool {
        self.refused || self.failures >= WARN_AFTER
    }
}

impl Agenda {
    /// Has a subject decided about in this round.
    pub fn mark(&mut self, subject: Subject) {
        self.marked.insert(subject);
    }

    /// As [`Agenda::mark`], for a pool.
    pub fn mark_pool(&mut self, key: &ObjectKey) {
        self.mark(Subject::Pool(key.clone()));
    }

    /// As [`Agenda::mark`], for a worker.
    pub fn mark_worker(&mut self, key: &ObjectKey) {
        self.mark(Subject::Worker(key.clone()));
    }

    /// As [`Agenda::mark`], for a dispatch.
    pub fn mark_dispatch(&mut self, key: &ObjectKey) {
        self.mark(Subject::Dispatch(key.clone()));
    }

    /// The next marked subject, in the order of decisions.
    pub fn next(&mut self) -> Option<Subject> {
        self.marked.pop_first()
    }

    /// Marks what is due.
    pub fn wake_due(&mut self, now: Now) {
        while let Some((_, s)) = self.wall.first().filter(|(t, _)| *t <= now.wall).cloned() {
            self.sleep(s.clone(), Wake::default());
            self.mark(s);
        }
        while let Some((_, s)) = self.mono.first().filter(|(t, _)| *t <= now.mono).cloned() {
            self.sleep(s.clone(), Wake::default());
            self.mark(s);
        }
    }

    /// Replaces the times at which a subject is looked at again.
    pub fn sleep(&mut self, subject: Subject, wake: Wake) {
        if let Some(old) = self.wakes.swap_remove(&subject) {
            if let Some(t) = old.wall {
                self.wall.remove(&(t, subject.clone()));
            }
            if let Some(t) = old.mono {
                self.mono.remove(&(t, subject.clone()));
            }
        }
        if let Some(t) = wake.wall {
            self.wall.insert((t, subject.clone()));
        }
        if let Some(t) = wake.mono {
            self.mono.insert((t, subject.clone()));
        }
        if wake.wall.is_some() || wake.mono.is_some() {
            self.wakes.insert(subject, wake);
        }
    }

    /// The earliest wake-up: by the wall clock, and by monotonic time.
    pub fn next_wake(&self) -> (Option<Timestamp>, Option<Duration>) {
        (self.wall.first().map(|(t, _)| *t), self.mono.first().map(|(t, _)| *t))
    }

    /// A write or a live GET about a subject begins. Nothing is decided about the subject until [`Agenda::unlock`].
    pub fn lock(&mut self, subject: Subject, identity: Identity) {
        self.locks.insert(subject, identity);
    }

    /// It ended. Returns what the subject was when it began.
    pub fn unlock(&mut self, subject: &Subject) -> Identity {
        self.locks.remove(subject).unwrap_or_default()
    }

    /// True while a write or a live GET about the subject is under way.
    pub fn is_locked(&self, subject: &Subject) -> bool {
        self.locks.contains_key(subject)
    }

    /// Writes and live GETs under way.
    pub fn locked(&self) -> usize {
        self.locks.len()
    }

    /// Something about a subject failed. Returns how often in a row.
    pub fn failed(&mut self, subject: &Subject, what: Attempted, why: &str, now: Now) -> u32 {
        let retry = self.retries.entry(subject.clone()).or_default();
        retry.again(what, why, now);
        retry.failures
    }

    /// Ends the wait of a subject, and its count of failures.
    pub fn forget_failures(&mut self, subject: &Subject) {
        self.retries.remove(subject);
    }

    /// The failures of a subject, if there are any.
    pub fn retry(&self, subject: &Subject) -> Option<&RetryWait> {
        self.retries.get(subject)
    }

    /// Monotonic time until which a subject waits after a failure. `None`: it does not wait.
    pub fn blocked_until(&self, subject: &Subject, now: Now) -> Option<Duration> {
        self.retries.get(subject).map(|r| r.until).filter(|until| *until > now.mono)
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        let tables = [self.marked.len(), self.locks.len(), self.retries.len(), self.wakes.len()];
        tables.iter().sum::<usize>() + self.wall.len() + self.mono.len()
    }

    /// Subjects with failures.
    #[cfg(test)]
    pub fn failing(&self) -> usize {
        self.retries.len()
    }
}
