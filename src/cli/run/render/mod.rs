//! Shows the progress of a run on standard error, and what its tasks print.
//!
//! - `lines`: for people, one line for each step. `bars`: for people on a terminal. `json`: for programs. `hooks`: commands
//!   that get events.

mod bars;
mod hooks;
mod json;
mod lines;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use self::bars::Bars;
pub use self::hooks::Hook;
use super::args::ProgressKind;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::runtime::exec::Output;
use crate::supervisor::progress::{Progress, Reporter};
use crate::supervisor::summary::Summary;

/// How progress is shown.
enum How {
    Bars(Bars),
    Lines,
    /// Lines, and only for what is unusual.
    Unusual,
    Json,
    Nothing,
}

/// What gets every step as JSON, however progress is shown.
#[derive(Default)]
pub struct Extra {
    /// The file of `--progress-file`, and the steps in the directory of the run.
    pub files: Vec<File>,
    /// The commands of `--on`.
    pub hooks: Vec<Hook>,
}

/// Shows progress and output.
pub struct Renderer {
    how: How,
    /// Get every step as JSON, whatever `how` is.
    files: Mutex<Vec<File>>,
    hooks: Vec<Hook>,
    /// Held while both outputs of a task are printed, so outputs of tasks do not mix.
    printing: Mutex<()>,
}

impl Renderer {
    /// `batch`: there is more than one task. `width`: the most workers. `extra`: what gets every step as JSON too.
    pub fn new(kind: ProgressKind, batch: bool, width: i32, extra: Extra) -> Self {
        let bars = || Bars::new(width).map_or(How::Lines, How::Bars);
        let how = match kind {
            ProgressKind::Auto if !batch => How::Unusual,
            ProgressKind::Auto | ProgressKind::Bar => bars(),
            ProgressKind::Lines => How::Lines,
            ProgressKind::Json => How::Json,
            ProgressKind::None => How::Nothing,
        };
        Self { how, files: Mutex::new(extra.files), hooks: extra.hooks, printing: Mutex::default() }
    }

    /// Shows why the run ends before its time. This is shown whatever `--progress` says.
    pub fn fail(&self, failure: &Failure, now: Timestamp) {
        let text = failure.to_string();
        if matches!(self.how, How::Nothing) {
            output::say(&text);
        }
        self.report(&Progress::Note { text }, now);
    }

    /// Removes the bars and prints the summary. Nothing is shown afterwards.
    pub fn finish(&self, summary: &Summary, now: Timestamp, took: Duration) {
        match &self.how {
            How::Bars(bars) => {
                bars.clear();
                output::line(&lines::summary(summary, now, took));
            }
            How::Lines => output::line(&lines::summary(summary, now, took)),
            How::Unusual if summary.attempts > 1 => output::line(&lines::summary(summary, now, took)),
            How::Json => output::line(&json::text(&json::summary(summary, now, took))),
            How::Unusual | How::Nothing => {}
        }
        self.pass(|| json::summary(summary, now, took));
        self.hooks.iter().for_each(Hook::finish);
    }

    /// Says where the page of the run is, where people read what is shown.
    pub fn show_report(&self, path: &Path) {
        if matches!(self.how, How::Bars(_) | How::Lines) {
            output::line(&format!("report: {}", output::escape(&path.display().to_string())));
        }
    }

    /// Writes a step to the files, with one write each, and passes it to commands. A file that cannot be written any more is no reason to
    /// stop working.
    fn pass(&self, step: impl FnOnce() -> Value) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.is_empty() && self.hooks.is_empty() {
            return;
        }
        let step = step();
        self.hooks.iter().for_each(|hook| hook.send(&step));
        if !files.is_empty() {
            let line = format!("{}\n", json::text(&step));
            files.iter_mut().for_each(|file| drop(file.write_all(line.as_bytes())));
        }
    }

    fn without_bars<T>(&self, f: impl FnOnce() -> T) -> T {
        match &self.how {
            How::Bars(bars) => bars.suspend(f),
            _ => f(),
        }
    }
}

#[async_trait]
impl Reporter for Renderer {
    fn report(&self, progress: &Progress, now: Timestamp) {
        match &self.how {
            How::Bars(bars) => bars.show(progress, now),
            How::Json => output::line(&json::text(&json::step(progress, now))),
            How::Unusual if !lines::is_unusual(progress) => {}
            How::Lines | How::Unusual => {
                if let Some(line) = lines::line(progress, now) {
                    output::say(&line);
                }
            }
            How::Nothing => {}
        }
        self.pass(|| json::step(progress, now));
    }

    async fn pass_on(&self, piece: &Output) -> io::Result<()> {
        let (mut stdout, mut stderr) = output::live();
        match piece {
            Output::Stdout(data) => {
                stdout.write_all(data).await?;
                stdout.flush().await?;
            }
            // A closed standard error is no reason to stop working.
            Output::Stderr(data) => drop((stderr.write_all(data).await, stderr.flush().await)),
        }
        Ok(())
    }

    fn show_output(&self, stdout: &Path, stderr: &Path) -> io::Result<()> {
        let _whole = self.printing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut text) = open(stderr)? {
            self.without_bars(|| output::copy_to_stderr(&mut text));
        }
        let Some(mut data) = open(stdout)? else { return Ok(()) };
        let mut copy = || output::copy_to_stdout(&mut data);
        // Bars are in the way only if both streams end on one terminal. A slow pipe must not hold them up.
        if output::is_stdout_a_terminal() { self.without_bars(copy) } else { copy() }
    }
}

/// Opens the file of `--progress-file`. What it holds stays: a resumed run adds to it.
///
/// # Errors
/// It cannot be written.
pub fn open_progress_file(path: &Path) -> Result<File, Failure> {
    File::options().append(true).create(true).open(path).map_err(|error| {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Usage };
        Failure::new(exit, format!("--progress-file {}: {error}", path.display()))
    })
}

/// Opens a file. None: there is none, or it is empty.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok((file.metadata()?.len() > 0).then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
