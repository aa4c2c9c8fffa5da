//! Telling what happens, on standard error; and printing what tasks printed, whole and never into the middle of a line.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::args::ProgressKind;
use super::bars::Bars;
use super::event::Event;
use super::summary::Summary;
use crate::cli::exit::Failure;
use crate::cli::output;
use crate::clock::Clock;

/// How it is told.
enum How {
    Bars(Bars),
    Lines,
    Unusual,
    Json,
    Nothing,
}

/// Tells what happens and sums it up. Shared by all that has something to say.
pub struct Progress {
    how: How,
    clock: Arc<dyn Clock>,
    started: Duration,
    summary: Mutex<Summary>,
    /// Held while both outputs of a task are printed.
    printing: Mutex<()>,
}

impl Progress {
    /// `batch`: there is more than one task. `width`: most workers.
    pub fn new(kind: ProgressKind, batch: bool, width: i32, clock: Arc<dyn Clock>) -> Self {
        let bars = || Bars::new(width).map_or(How::Lines, How::Bars);
        let how = match kind {
            ProgressKind::Auto if !batch => How::Unusual,
            ProgressKind::Auto | ProgressKind::Bar => bars(),
            ProgressKind::Lines => How::Lines,
            ProgressKind::Json => How::Json,
            ProgressKind::None => How::Nothing,
        };
        let started = clock.mono();
        Self { how, clock, started, summary: Mutex::default(), printing: Mutex::default() }
    }

    /// Tells one step.
    pub fn tell(&self, event: &Event) {
        let now = self.clock.now();
        self.summary(|s| s.add(event, now));
        match &self.how {
            How::Bars(bars) => bars.show(event, now),
            How::Lines => self.line(event, now),
            How::Unusual if event.is_unusual() => self.line(event, now),
            How::Json => Self::say(&event.json(now).to_string()),
            How::Unusual | How::Nothing => {}
        }
    }

    /// Says something beside all steps, if anything is to be said.
    pub fn note(&self, text: impl Into<String>) {
        self.tell(&Event::Note { text: text.into() });
    }

    /// Tells why the run ends before its time; however little else is told.
    pub fn fail(&self, failure: &Failure) {
        let text = failure.to_string();
        match &self.how {
            How::Nothing => Self::say(&format!("poolkeeper: {text}")),
            _ => self.note(text),
        }
    }

    /// Looks at, or changes, the sums.
    pub fn summary<T>(&self, f: impl FnOnce(&mut Summary) -> T) -> T {
        f(&mut self.summary.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the bars away and prints the summary. Nothing is told afterwards.
    pub fn finish(&self) {
        let now = self.clock.now();
        let took = self.clock.mono().saturating_sub(self.started);
        let summary = self.summary(|s| s.clone());
        match &self.how {
            How::Bars(bars) => {
                bars.clear();
                Self::say(&summary.text(now, took));
            }
            How::Lines => Self::say(&summary.text(now, took)),
            How::Unusual if summary.attempts > 1 => Self::say(&summary.text(now, took)),
            How::Json => Self::say(&summary.json(now, took).to_string()),
            How::Unusual | How::Nothing => {}
        }
    }

    /// Copies what a task printed to where it would have printed it. Blocks for as long as nobody reads.
    ///
    /// # Errors
    /// Standard output cannot be written, or a file not be read. What happens to standard error is not looked at.
    pub fn print(&self, stdout: &Path, stderr: &Path) -> io::Result<()> {
        let _whole = self.printing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut text) = open(stderr)? {
            self.without_bars(|| output::copy_to_stderr(&mut text));
        }
        let Some(mut data) = open(stdout)? else { return Ok(()) };
        let mut copy = || output::copy_to_stdout(&mut data);
        // Bars are only in the way where both streams end on one terminal; a slow pipe must not hold them up.
        if output::is_stdout_a_terminal() { self.without_bars(copy) } else { copy() }
    }

    fn without_bars<T>(&self, f: impl FnOnce() -> T) -> T {
        match &self.how {
            How::Bars(bars) => bars.suspend(f),
            _ => f(),
        }
    }

    fn line(&self, event: &Event, now: Timestamp) {
        if let Some(line) = event.line(now) {
            Self::say(&format!("poolkeeper: {line}"));
        }
    }

    /// Prints a line, or several that belong together. A closed standard error is no reason to stop working.
    fn say(text: &str) {
        output::line(text);
    }
}

/// None: there is none, or nothing in it.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok((file.metadata()?.len() > 0).then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
