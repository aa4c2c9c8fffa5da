//! Shows the progress of a run on standard error, and what its tasks print.
//!
//! - `lines`: for people, one line for each step. `bars`: for people on a terminal. `json`: for programs.

mod bars;
mod json;
mod lines;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::io::AsyncWriteExt;

use self::bars::Bars;
use super::args::ProgressKind;
use crate::cli::exit::Failure;
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

/// Shows progress and output.
pub struct Renderer {
    how: How,
    /// Held while both outputs of a task are printed, so outputs of tasks do not mix.
    printing: Mutex<()>,
}

impl Renderer {
    /// `batch`: there is more than one task. `width`: the most workers.
    pub fn new(kind: ProgressKind, batch: bool, width: i32) -> Self {
        let bars = || Bars::new(width).map_or(How::Lines, How::Bars);
        let how = match kind {
            ProgressKind::Auto if !batch => How::Unusual,
            ProgressKind::Auto | ProgressKind::Bar => bars(),
            ProgressKind::Lines => How::Lines,
            ProgressKind::Json => How::Json,
            ProgressKind::None => How::Nothing,
        };
        Self { how, printing: Mutex::default() }
    }

    /// Shows why the run ends before its time. This is shown whatever `--progress` says.
    pub fn fail(&self, failure: &Failure, now: Timestamp) {
        let text = failure.to_string();
        match &self.how {
            How::Nothing => output::say(&text),
            _ => self.report(&Progress::Note { text }, now),
        }
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
            How::Json => output::line(&json::summary(summary, now, took).to_string()),
            How::Unusual | How::Nothing => {}
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
            How::Json => output::line(&json::step(progress, now).to_string()),
            How::Unusual if !lines::is_unusual(progress) => {}
            How::Lines | How::Unusual => {
                if let Some(line) = lines::line(progress, now) {
                    output::say(&line);
                }
            }
            How::Nothing => {}
        }
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

/// Opens a file. None: there is none, or it is empty.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok((file.metadata()?.len() > 0).then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
