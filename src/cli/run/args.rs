//! The arguments of `poolkeeper run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::api::Period;
use crate::cli::pool_flags::PoolFlags;
use crate::cli::server::ServerArgs;

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

    /// Run the command once for each line of a file that is not blank; `-` is standard input
    #[arg(short, long, value_name = "FILE", help_heading = "Tasks")]
    pub tasks: Option<PathBuf>,
    /// Each line is a JSON object, which may have an `id`; so it is for names that end in .jsonl, .ndjson or .jsonlines
    #[arg(long, requires = "tasks", help_heading = "Tasks")]
    pub jsonl: bool,
    /// Keep outputs and results in this directory
    #[arg(short, long, value_name = "DIR", help_heading = "Tasks")]
    pub out: Option<PathBuf>,
    /// Go on with the run whose results are in --out: skip what has succeeded, failed or timed out
    #[arg(long, requires_all = ["out", "tasks"], help_heading = "Tasks")]
    pub resume: bool,
    /// Try a task that failed again, at most N times
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(i32).range(0..=1_000_000),
          allow_negative_numbers = true, help_heading = "Tasks")]
    pub retry_failed: i32,
    /// End a task this long after its first start, all attempts and rests counted
    #[arg(long, value_name = "TIME", value_parser = above_zero, allow_hyphen_values = true, help_heading = "Tasks")]
    pub timeout: Option<Period>,

    /// How long to wait for a server that is away
    #[arg(long, value_name = "TIME", default_value = "5m", conflicts_with = "local", help_heading = "Server")]
    pub patience: Period,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,

    /// How to show what happens: bars on a terminal, else lines; all of it goes to standard error
    #[arg(long, value_enum, default_value_t, value_name = "HOW", help_heading = "Output")]
    pub progress: ProgressKind,

    /// Write every step as JSON to this file too; it is appended to, and /dev/fd/N is an open descriptor
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub progress_file: Option<PathBuf>,

    /// The command and its arguments, found and run in the worker. No shell is involved
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

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

const HELP: &str = "\
Exit codes:
  before the command starts  2 usage, 3 not found, 4 conflict, 6 no server or Docker Engine, 7 forbidden
  one command                its own; 128 + signal; 124 timed out
  a batch (--tasks)          0 all succeeded, 1 some failed, 75 only rate limits are left;
                             with --resume, tasks that failed before count too
  both                       125 Poolkeeper failed, 126 or 127 the command cannot be run,
                             130 Ctrl-C, 141 standard output was closed

Results: --out DIR holds DIR/ID/stdout, stderr and result.json of the last attempt of each task.
ID is the JSON `id` of the task, else line-N. What a task of a batch prints is printed whole,
when the task has ended.

--progress json and --progress-file: each object has `time` and `event`, which is one of
  run          runId, pool, runtime, workers, tasks, skipped, skippedFailed
  started      task, attempt, worker
  ended        task, attempt, worker, outcome, seconds; exitCode, message, restsUntil
  task         task, outcome, attempts: it is over
  workerReady, workerGone    worker
  startFailed  failures, message: no worker can be started, for now
  note         message
  summary      succeeded, failed, rateLimited, notRun, skipped, skippedFailed,
               attempts, rateLimits, workers

Examples:
  poolkeeper run agents --tasks tasks.txt --out results -- agent -
  poolkeeper run --local --workers 3 --tasks urls.txt -- ./fetch.sh
  poolkeeper run --local --image agent:1 --credential a=env:TOKEN --tasks t.jsonl -- agent -";

fn above_zero(text: &str) -> Result<Period, String> {
    match text.parse::<Period>() {
        Ok(period) if period.is_zero() => Err("must be above 0s; leave --timeout out for no limit".to_owned()),
        Ok(period) => Ok(period),
        Err(error) => Err(error.to_string()),
    }
}
