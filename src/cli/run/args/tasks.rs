//! The flags of `poolkeeper run` about tasks.

use std::path::PathBuf;

use clap::Args;

use crate::api::Period;
use crate::cli::run::report::ReportKind;
use crate::supervisor::batch::tasks::Form;
use crate::supervisor::spent::Usd;

/// What is run, and for how long.
#[derive(Args, Debug, Clone, Default)]
pub struct TaskFlags {
    /// Run the command once for each line of a file that is not blank; `-` is standard input
    #[arg(short, long, value_name = "FILE", help_heading = "Tasks")]
    pub tasks: Option<PathBuf>,
    /// Each line is a JSON object, which may have an `id`; so it is for names that end in .jsonl, .ndjson or .jsonlines
    #[arg(long, requires = "tasks", help_heading = "Tasks")]
    pub jsonl: bool,
    /// Tasks end with NUL instead of a newline, as `find -print0` writes them
    #[arg(short = '0', long = "null", requires = "tasks", conflicts_with = "jsonl", help_heading = "Tasks")]
    pub null: bool,
    /// Keep outputs and results in this directory
    #[arg(short, long, value_name = "DIR", help_heading = "Tasks")]
    pub out: Option<PathBuf>,
    /// What DIR/report.html holds, a page that shows the run over time: with the ends of outputs (full) or without them
    #[arg(long, value_enum, default_value_t, requires = "out", value_name = "WHAT", help_heading = "Tasks")]
    pub report: ReportKind,
    /// Give each task a directory below this one that all its attempts see, as $POOLKEEPER_STATE
    #[arg(long, value_name = "DIR", help_heading = "Tasks", long_help = STATE)]
    pub state: Option<PathBuf>,
    /// Go on with the run whose results are in --out: skip what has succeeded, failed or timed out
    #[arg(long, requires_all = ["out", "tasks"], help_heading = "Tasks")]
    pub resume: bool,
    /// With --resume: run tasks again that failed or timed out
    #[arg(long, requires = "resume", help_heading = "Tasks")]
    pub failed: bool,
    /// Try a task that failed again, at most N times
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(i32).range(0..=1_000_000),
          allow_negative_numbers = true, help_heading = "Tasks")]
    pub retry_failed: i32,
    /// Wait at least this long before a retry after a failure, a lost worker or an overloaded service; doubles up to 5m
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Tasks")]
    pub backoff: Period,
    /// Start nothing more once attempts cost this many US dollars, those of resumed runs included [default: no limit]
    #[arg(long, value_name = "USD", requires = "tasks", value_parser = amount, help_heading = "Tasks")]
    pub max_cost: Option<Usd>,
    /// End an attempt that prints nothing for this long; it counts as failed [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = above_zero, allow_hyphen_values = true, help_heading = "Tasks")]
    pub silence: Option<Period>,
    /// End a task this long after its first start, all attempts and rests counted
    #[arg(long, value_name = "TIME", value_parser = above_zero, allow_hyphen_values = true, help_heading = "Tasks")]
    pub timeout: Option<Period>,
}

impl TaskFlags {
    /// What separates the tasks.
    pub const fn form(&self) -> Form {
        match (self.null, self.jsonl) {
            (true, _) => Form::Nul,
            (_, true) => Form::Json,
            _ => Form::Lines,
        }
    }
}

const STATE: &str = "\
Give each task a directory below this one that all its attempts see, as $POOLKEEPER_STATE

It is DIR/ID, with the names that --out uses, and it stays when the run ends: a task that is retried can go on where it was. \
Containers of --local get DIR as a mount. A pool of a server must have a mount of it already. On a cluster DIR is a path in \
the workers, on a volume that all of them share.";

fn amount(text: &str) -> Result<Usd, String> {
    match text.parse::<Usd>() {
        Ok(amount) if amount.is_zero() => Err("must be above 0; leave it out for no limit".to_owned()),
        Ok(amount) => Ok(amount),
        Err(error) => Err(error.to_string()),
    }
}

fn above_zero(text: &str) -> Result<Period, String> {
    match text.parse::<Period>() {
        Ok(period) if period.is_zero() => Err("must be above 0s; leave it out for no limit".to_owned()),
        Ok(period) => Ok(period),
        Err(error) => Err(error.to_string()),
    }
}
