//! Why `run` ends without its command's own exit code, and every exit code in one place.

use std::fmt::Display;

/// Exit codes. Before the command starts: those of every `poolkeeper` command. After: those of xargs, timeout and shells.
pub mod exit {
    /// All is well.
    pub const OK: u8 = 0;
    /// Something of a batch failed.
    pub const FAILED: u8 = 1;
    /// Arguments, pool or task file are wrong.
    pub const USAGE: u8 = 2;
    /// A file or an image is not there.
    pub const NOT_FOUND: u8 = 3;
    /// The directory of results is in use, or of another run.
    pub const CONFLICT: u8 = 4;
    /// What was waited for did not come in time.
    pub const WAITED: u8 = 5;
    /// No Docker Engine, or no cluster, answers.
    pub const UNREACHABLE: u8 = 6;
    /// The Docker Engine or the cluster may not be used so.
    pub const FORBIDDEN: u8 = 7;
    /// Of a batch only rate limits are left: sysexits' `EX_TEMPFAIL`.
    pub const RATE_LIMITED: u8 = 75;
    /// `--timeout` ended the command.
    pub const TIMED_OUT: u8 = 124;
    /// Poolkeeper itself failed. 126 and 127, the command cannot be run, come from the runtime.
    pub const POOLKEEPER: u8 = 125;
    /// Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
    /// Nobody reads standard output: 128 + SIGPIPE.
    pub const OUTPUT_CLOSED: u8 = 141;
}

/// Why `run` ends. The text says what, where and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// With what code.
    pub exit: u8,
    /// For people.
    pub message: String,
}

impl Failure {
    /// With any code.
    pub fn new(exit: u8, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Arguments or files are wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }

    /// The directory of results cannot be used so.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(exit::CONFLICT, message)
    }

    /// Poolkeeper failed while it did `what`.
    pub fn poolkeeper(what: impl Display, error: impl Display) -> Self {
        Self::new(exit::POOLKEEPER, format!("{what}: {error}"))
    }
}
