//! `poolkeeper timeline DIR`: the page of a run again, from what the run recorded.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output;
use super::run::report::{ReportKind, write};

/// Write the page of a run again, DIR/report.html, from what the run recorded
///
/// `run --out DIR` writes it by itself when it ends. This is for a run that was killed, for one that goes on, and for a page with or
/// without outputs. The values of credentials are not known here: of what a full page shows only that is masked which looks like a secret.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  poolkeeper timeline results")]
pub struct TimelineArgs {
    /// The directory of the run, its --out
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// What the page holds: attempts alone (no-output), or with the ends of their outputs (full)
    #[arg(long, value_name = "WHAT", default_value = "no-output", value_parser = ["no-output", "full"])]
    report: String,
}

impl Run for TimelineArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let kind = if self.report == "full" { ReportKind::Full } else { ReportKind::NoOutput };
        let dir = self.dir.display().to_string();
        let written = tokio::task::spawn_blocking(move || write(&self.dir, kind, &[])).await;
        let path = written.map_err(io::Error::other).flatten().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(
                Exit::NotFound,
                format!("{dir}: no run recorded its steps there: name the directory that `run --out` had"),
            ),
            _ => Failure::poolkeeper(format!("writing the page of {dir}"), error),
        })?;
        output::data(format!("{}\n", path.display()).as_bytes())
            .map_err(|error| Failure::poolkeeper("printing", error))?;
        Ok(Exit::Success)
    }
}
