//! A line of the log.

use std::fmt;

use tracing::Level;
use tracing::field::display;

use crate::api::vocabulary::EventReason;

/// Target of every line, whatever file it comes from.
pub(super) const TARGET: &str = "poolkeeper::controller";

/// One line. `what` is a short sentence; the rest are fields, left out if there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub what: &'static str,
    pub namespace: String,
    pub pool: Option<String>,
    pub worker: Option<String>,
    pub dispatch: Option<String>,
    pub attempt: Option<i32>,
    pub outcome: Option<String>,
    pub phase: Option<String>,
    pub event: Option<EventReason>,
    pub until: Option<String>,
    /// Words, perhaps from outside.
    pub reason: Option<String>,
}

impl Line {
    /// A sentence about something in a namespace.
    pub fn new(what: &'static str, namespace: &str) -> Self {
        Self { what, namespace: namespace.to_owned(), ..Self::default() }
    }

    /// Writes it at a level.
    pub fn write(&self, level: Level) {
        fn plain<T: fmt::Display>(field: Option<&T>) -> Option<tracing::field::DisplayValue<&T>> {
            field.map(display)
        }
        macro_rules! at {
            ($level:expr) => {
                tracing::event!(
                    target: TARGET,
                    $level,
                    namespace = %self.namespace,
                    pool = plain(self.pool.as_ref()),
                    worker = plain(self.worker.as_ref()),
                    dispatch = plain(self.dispatch.as_ref()),
                    attempt = self.attempt,
                    outcome = plain(self.outcome.as_ref()),
                    phase = plain(self.phase.as_ref()),
                    event = plain(self.event.as_ref()),
                    until = plain(self.until.as_ref()),
                    reason = self.reason.as_deref().filter(|r| !r.is_empty()),
                    "{}",
                    self.what
                )
            };
        }
        match level {
            Level::WARN => at!(Level::WARN),
            Level::INFO => at!(Level::INFO),
            _ => at!(Level::DEBUG),
        }
    }

    /// The same objects, with another sentence.
    pub fn named(self, what: &'static str) -> Self {
        Self { what, ..self }
    }
}
