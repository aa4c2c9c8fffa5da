//! What is known of the requests in a pool's annotations.

use std::collections::BTreeMap;

use crate::api::Time;
use crate::core::agenda::{Attempted, RetryWait};
use crate::core::time::Now;

/// A bad request.
#[derive(Clone)]
pub(in crate::core) struct Bad {
    /// The annotation's value.
    pub value: String,
    /// What is wrong, in the newest words.
    pub text: String,
    /// True if the answer was no. False: the write fails.
    pub refused: bool,
}

/// Requests by their annotation, each with the annotation's value: another value is another request.
#[derive(Default)]
pub(in crate::core) struct Requests {
    bad: BTreeMap<String, Bad>,
    /// Rests that are being set, and the time computed for each.
    pending: BTreeMap<String, (String, Time)>,
    /// Requests whose write did not succeed. The wait is the request's own: other writes about the same object do not wait
    /// for it.
    retries: BTreeMap<String, (String, RetryWait)>,
}

impl Requests {
    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.bad.len() + self.pending.len() + self.retries.len()
    }

    /// Bad requests by their annotation.
    pub fn bad(&self) -> &BTreeMap<String, Bad> {
        &self.bad
    }

    /// All requests in these annotations were looked at, and these are bad.
    pub fn judged(&mut self, bad: BTreeMap<String, Bad>, annotations: &BTreeMap<String, String>) {
        self.bad = bad;
        self.pending.retain(|k, (v, _)| annotations.get(k) == Some(v));
        self.retries.retain(|k, (v, _)| annotations.get(k) == Some(v));
    }

    /// The time that a request asks for: computed when the request is first seen.
    pub fn time_of(&mut self, annotation: &str, value: &str, compute: impl FnOnce() -> Time) -> Time {
        if let Some((_, at)) = self.pending.get(annotation).filter(|(v, _)| v == value) {
            return at.clone();
        }
        let at = compute();
        self.pending.insert(annotation.to_owned(), (value.to_owned(), at.clone()));
        at
    }

    /// The write of a request failed, or was refused.
    pub fn failed(&mut self, annotation: &str, value: &str, why: &str, refused: bool, now: Now) {
        let (old, retry) = self.retries.entry(annotation.to_owned()).or_default();
        if old != value {
            (*old, *retry) = (value.to_owned(), RetryWait::default());
        }
        retry.again(Attempted::Write { refused }, why, now);
    }

    /// The write of a request succeeded.
    pub fn succeeded(&mut self, annotation: &str) {
        self.retries.remove(annotation);
    }

    /// The failures of a request's write, if there are any.
    pub fn retry_of(&self, annotation: &str, value: &str) -> Option<&RetryWait> {
        self.retries.get(annotation).filter(|(v, _)| v == value).map(|(_, retry)| retry)
    }
}
