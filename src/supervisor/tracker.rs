//! Adds up the progress of a run, and passes it on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::progress::{Progress, Reporter};
use super::summary::Summary;
use crate::clock::Clock;

/// Adds up the progress and passes it to a reporter. Every part of a run shares one.
pub struct Tracker {
    reporter: Arc<dyn Reporter>,
    clock: Arc<dyn Clock>,
    started: Duration,
    summary: Mutex<Summary>,
}

impl Tracker {
    /// For a run that begins now.
    pub fn new(reporter: Arc<dyn Reporter>, clock: Arc<dyn Clock>) -> Self {
        let started = clock.mono();
        Self { reporter, clock, started, summary: Mutex::default() }
    }

    /// Takes in one step.
    pub fn report(&self, progress: &Progress) {
        let now = self.clock.now();
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).add(progress, now);
        self.reporter.report(progress, now);
    }

    /// Reports something that is not a step of the run.
    pub fn note(&self, text: impl Into<String>) {
        self.report(&Progress::Note { text: text.into() });
    }

    /// The sums so far.
    pub fn summary(&self) -> Summary {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long the run has taken.
    pub fn elapsed(&self) -> Duration {
        self.clock.mono().saturating_sub(self.started)
    }

    /// What shows the progress.
    pub fn reporter(&self) -> &dyn Reporter {
        &*self.reporter
    }
}
