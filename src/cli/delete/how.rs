//! The flags of `poolkeeper delete`, and the wait that they ask for.

use clap::{ArgAction, Args};

use crate::api::Period;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;

/// How objects are deleted.
#[derive(Args, Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct How {
    /// End open attempts as Forced, of a dispatch as Cancelled. Their tasks are killed with their workers
    #[arg(long)]
    pub(super) force: bool,
    /// Wait until the object is gone; a busy worker or a running dispatch may end its task first. --wait=false returns at once
    /// [default: true for what is idle]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL")]
    pub(super) wait: Option<bool>,
    /// How long to wait; 0s: without a limit
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub(super) timeout: Period,
    /// Lower spec.min of the worker's pool as well: no other worker takes its place then
    #[arg(long)]
    pub(super) shrink: bool,
    /// The host of the worker does not answer and never will: end its attempt as Forced and forget the worker
    #[arg(long, conflicts_with_all = ["force", "wait"])]
    pub(super) host_gone: bool,
    /// With --host-gone: do not ask
    #[arg(long, requires = "host_gone")]
    pub(super) yes: bool,
}

impl How {
    /// True unless the command is to return at once.
    pub(super) fn waits(&self) -> bool {
        self.wait != Some(false)
    }
}

/// The end of a wait: what is gone is said, and a wait that was too long is a failure.
pub(super) fn waited(what: &str, gone: Option<()>, how: &How, left: &str) -> Result<(), Failure> {
    if gone.is_some() {
        say(&format!("{what} is gone"));
        return Ok(());
    }
    Err(Failure::new(
        Exit::WaitedTooLong,
        format!("{what} is being deleted and still there after {} (--timeout): {left}", how.timeout),
    ))
}
