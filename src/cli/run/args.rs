//! The arguments of `poolkeeper run`.
//!
//! - `tasks`: the flags about tasks. `help`: the end of the help text.

mod help;
mod tasks;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::api::Period;
use crate::cli::pool_flags::PoolFlags;
use crate::cli::server::ServerArgs;
use crate::supervisor::lease;

use self::help::HELP;
pub use self::tasks::TaskFlags;

/// Run a command, or one for each task, in the workers of a pool
///
/// It is `xargs -P` that knows about rate limits. Each task runs in a worker of its own for as long as it takes. A command
/// that exits with 75, or writes {"outcome":"RateLimited","retryAfter":"90s"} to the file named by $POOLKEEPER_RESULT,
/// met a rate limit: its worker rests, and the task goes on in another one.
///
/// The pool is one of the local server or of a cluster, and others may use it too. With --local it is made for this run, and
/// the flags under "Pool" describe it.
///
/// The task is in $TASK and on standard input. Each command also has POOLKEEPER_TASK_ID, POOLKEEPER_ATTEMPT,
/// POOLKEEPER_WORKER and POOLKEEPER_RESULT. Without --tasks all of standard input is read first, and the command gets it in
/// each attempt; </dev/null is for none.
#[derive(Args, Debug, Clone, Default)]
#[command(after_long_help = HELP)]
pub struct RunArgs {
    /// Name of the pool on the server [default with --local: that of --file, else "pool"]
    #[arg(value_name = "POOL")]
    pub pool: Option<String>,

    /// Make a pool for this run alone, in this process, without a server
    #[arg(long)]
    pub local: bool,

    /// The pool.
    #[command(flatten)]
    pub flags: PoolFlags,

    /// The tasks.
    #[command(flatten)]
    pub batch: TaskFlags,

    /// How long to wait for a server that is away
    #[arg(long, value_name = "TIME", default_value = "5m", conflicts_with = "local", help_heading = "Server")]
    pub patience: Period,
    /// Let tasks in Pods live on for so long when contact with them, or this run, is lost; --resume attaches to them again.
    /// At least 60s, at most 1h [default: they end with their connection, and what a dead run held is freed after 60s]
    #[arg(long, value_name = "TIME", value_parser = lease_duration, conflicts_with = "local", help_heading = "Server")]
    pub lease_duration: Option<Period>,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,

    /// How to show what happens: bars on a terminal, else lines; all of it goes to standard error
    #[arg(long, value_enum, default_value_t, value_name = "HOW", help_heading = "Output")]
    pub progress: ProgressKind,

    /// Write every step as JSON to this file too; it is appended to, and /dev/fd/N is an open descriptor
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub progress_file: Option<PathBuf>,

    /// Run a command here for each of these events, with the event as JSON on standard input; may be repeated
    #[arg(long, num_args = 2, value_names = ["EVENT[,EVENT]", "CMD"], help_heading = "Output", long_help = ON)]
    pub on: Vec<String>,

    /// The command and its arguments, found and run in the worker. No shell is involved
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

const ON: &str = "\
Run a command here for each of these events, with the event as JSON on standard input; may be repeated

The events are those of --progress json, and `limited`: an attempt that ended as RateLimited or Unauthorized. `sh -c CMD` runs \
for one event at a time. A slow or failing CMD neither delays nor ends the run: up to 256 events wait for it, and what is \
dropped beyond that is said at the end. After the end of the run CMD has 10s.";

/// How to show what happens.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressKind {
    /// Bars on a terminal, else lines. For a single command only what is unusual.
    #[default]
    Auto,
    /// A bar for each worker, and one for all tasks; lines where no terminal shows them.
    Bar,
    /// A line for each step.
    Lines,
    /// A JSON object for each step, on a line.
    Json,
    /// Nothing but errors.
    None,
}

fn lease_duration(text: &str) -> Result<Period, String> {
    let period = text.parse::<Period>().map_err(|error| error.to_string())?;
    let (least, most) = (lease::LASTS, Duration::from_secs(3600));
    if !(least..=most).contains(&period.get()) || period.get().subsec_nanos() > 0 {
        return Err(format!("must be whole seconds, from {} to {}", Period::from(least), Period::from(most)));
    }
    Ok(period)
}
