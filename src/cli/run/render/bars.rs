//! Bars on a terminal: one for each worker, and one for all tasks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::lines::{self, time};
use crate::api::dispatch::Outcome;
use crate::cli::output;
use crate::supervisor::progress::Progress;

/// At most this many workers get a bar. More bars would fill the terminal.
const MOST_BARS: usize = 16;
const TOTAL: &str = "{bar:30.green} {pos}/{len} tasks  {elapsed}  {msg}";
const WORKER: &str = "{spinner} {prefix} {elapsed:>4} {wide_msg}";
/// Time between two redraws.
const TICK: Duration = Duration::from_millis(120);

/// The bars.
pub struct Bars {
    multi: MultiProgress,
    total: ProgressBar,
    workers: Mutex<BTreeMap<String, ProgressBar>>,
    room: usize,
}

impl Bars {
    /// For at most `width` workers. None: standard error is no terminal. Without one the bars would be hidden, and so would
    /// everything that is printed above them.
    pub fn new(width: i32) -> Option<Self> {
        let multi = MultiProgress::new();
        if multi.is_hidden() {
            return None;
        }
        let total = multi.add(ProgressBar::new(0));
        total.set_style(style(TOTAL));
        let room = usize::try_from(width).unwrap_or(0).min(MOST_BARS);
        Some(Self { multi, total, workers: Mutex::default(), room })
    }

    /// Draws one step.
    pub fn show(&self, progress: &Progress, now: Timestamp) {
        match progress {
            Progress::Run { tasks, .. } => {
                self.total.set_length(tasks.unwrap_or(1));
                self.total.enable_steady_tick(TICK);
            }
            Progress::WorkerReady { worker, .. } => self.with(worker, |bar| bar.set_message("ready")),
            Progress::WorkerGone { worker } => self.remove(worker),
            Progress::Started { task, attempt, worker, .. } => self.with(worker, |bar| {
                let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
                bar.reset_elapsed();
                bar.set_message(format!("{}{again}", output::escape(task)));
            }),
            Progress::Ended { worker, outcome, until, .. } => {
                let rest = until.filter(|until| *until > now && *outcome == Outcome::RateLimited);
                self.with(worker, |bar| {
                    bar.reset_elapsed();
                    match rest {
                        Some(until) => {
                            let rest = until.duration_since(now).try_into().unwrap_or_default();
                            bar.set_message(format!("rests {}", time(rest)));
                        }
                        None => bar.set_message("ready"),
                    }
                });
                if !matches!(outcome, Outcome::Succeeded | Outcome::RateLimited) {
                    self.line(progress, now);
                }
            }
            Progress::Task { .. } => {
                self.total.inc(1);
                self.estimate();
            }
            Progress::Came { .. } => self.total.inc_length(1),
            Progress::StartFailed { .. } | Progress::Note { .. } | Progress::Mistake { .. } => self.line(progress, now),
        }
    }

    /// Shows the estimated time left.
    fn estimate(&self) {
        let eta = self.total.eta();
        let left = self.total.length().unwrap_or_default() > self.total.position();
        self.total.set_message(if left { format!("about {} left", time(eta)) } else { String::new() });
    }

    fn line(&self, progress: &Progress, now: Timestamp) {
        if let Some(line) = lines::line(progress, now) {
            // A terminal that is gone is no reason to stop.
            let _ = self.multi.println(output::message(&line));
        }
    }

    fn with(&self, worker: &str, change: impl FnOnce(&ProgressBar)) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if !workers.contains_key(worker) {
            if workers.len() >= self.room {
                return;
            }
            let bar = self.multi.insert_before(&self.total, ProgressBar::new_spinner());
            bar.set_style(style(WORKER));
            bar.set_prefix(worker.to_owned());
            bar.enable_steady_tick(TICK);
            workers.insert(worker.to_owned(), bar);
        }
        if let Some(bar) = workers.get(worker) {
            change(bar);
        }
    }

    fn remove(&self, worker: &str) {
        let bar = self.workers.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
        if let Some(bar) = bar {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }

    /// Removes the bars from the terminal while `f` prints something else.
    pub fn suspend<T>(&self, f: impl FnOnce() -> T) -> T {
        self.multi.suspend(f)
    }

    /// Removes the bars.
    pub fn clear(&self) {
        let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        for bar in workers.values() {
            bar.finish_and_clear();
        }
        self.total.finish_and_clear();
        let _ = self.multi.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; a test makes each of them.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_valid() {
        for template in [TOTAL, WORKER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
