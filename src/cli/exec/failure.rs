//! Every way in which `exec` fails: the exit code is 125, and the last line on standard error names the way.

use std::fmt;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::runtime::exec::ExecError;

/// A failure of `exec`, or a command that cannot be run.
#[derive(Debug)]
pub struct Problem {
    exit: Exit,
    name: &'static str,
    message: String,
}

/// What kind of failure it is. All but `Lost` mean that the command did not run, or has certainly ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The arguments are wrong.
    Usage,
    /// Something is in the way, such as an attempt that has ended.
    Conflict,
    /// The worker, or the program that reaches it, cannot be reached.
    Unreachable,
    /// It is not known whether the command still runs.
    Lost,
    /// Anything else.
    Failed,
}

impl Problem {
    /// A failure of Poolkeeper: exit code 125.
    pub fn new(why: Why, message: impl Into<String>) -> Self {
        let name = match why {
            Why::Usage => "usage",
            Why::Conflict => "conflict",
            Why::Unreachable => "unreachable",
            Why::Lost => "lost",
            Why::Failed => "failed",
        };
        Self { exit: Exit::Poolkeeper, name, message: message.into() }
    }

    /// Says it on standard error.
    pub fn say(&self) -> Exit {
        output::say(&self.to_string());
        self.exit
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It is one line, and the last one.
        let lines: Vec<&str> = self.message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        write!(f, "{}: {}", self.name, lines.join("; "))
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let name = match failure.exit {
            Exit::Usage => "usage",
            Exit::NotFound => "not found",
            Exit::Conflict => "conflict",
            Exit::Unreachable => "unreachable",
            Exit::Forbidden => "forbidden",
            _ => "failed",
        };
        Self { exit: Exit::Poolkeeper, name, message: failure.message }
    }
}

impl From<ExecError> for Problem {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Command { message, code: 127 } => {
                Self { exit: Exit::CommandNotFound, name: "command not found", message }
            }
            ExecError::Command { message, .. } => {
                Self { exit: Exit::CommandNotExecutable, name: "command not executable", message }
            }
            ExecError::Worker(message) => Self::new(Why::Unreachable, message),
        }
    }
}
