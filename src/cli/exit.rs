//! How `poolkeeper` ends: every exit code, and the error of a command.

use std::fmt::Display;
use std::process::ExitCode;

use crate::api::dispatch::Outcome;
use crate::causes::with_causes;
use crate::standalone::resident;
use crate::supervisor::batch::engine::Last;
use crate::supervisor::summary::Summary;
use crate::{standalone, supervisor};

/// An exit code of `poolkeeper`.
///
/// | code | name | used by |
/// |---|---|---|
/// | 0 to 7 | [`Success`](Self::Success) to [`Forbidden`](Self::Forbidden) | every command, and `run` before its command starts |
/// | 1, 75 | [`Failed`](Self::Failed), [`RateLimited`](Self::RateLimited) | `run --tasks`: the end of a batch |
/// | 124 to 127 | [`TimedOut`](Self::TimedOut) to [`CommandNotFound`](Self::CommandNotFound) | `run`, as `timeout`, `xargs` and shells do |
/// | 130, 141 | [`Interrupted`](Self::Interrupted), [`OutputClosed`](Self::OutputClosed) | commands that run until a signal; `run` |
/// | any | [`Command`](Self::Command) | `run` with a single command |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is well; of a batch, every task succeeded.
    Success,
    /// 1: something failed; of a batch, at least one task.
    Failed,
    /// 2: an argument, a pool or a task file is wrong.
    Usage,
    /// 3: a file is not there.
    NotFound,
    /// 4: something is in the way, such as results of another run.
    Conflict,
    /// 5: what was waited for did not come in time.
    WaitedTooLong,
    /// 6: no Docker Engine, or no cluster, answers.
    Unreachable,
    /// 7: the Docker Engine or the cluster refuses this user.
    Forbidden,
    /// 75, sysexits' `EX_TEMPFAIL`: of a batch only rate-limited tasks are left.
    RateLimited,
    /// 124: `--timeout` ended the command.
    TimedOut,
    /// 125: Poolkeeper itself failed.
    Poolkeeper,
    /// 126: the command is there, but cannot be executed.
    CommandNotExecutable,
    /// 127: the command is not there.
    CommandNotFound,
    /// 130: a signal, such as Ctrl-C, stopped it.
    Interrupted,
    /// 141, which is 128 + SIGPIPE: standard output was closed.
    OutputClosed,
    /// The exit code of the command that `run` ran; 128 + signal number if a signal ended it.
    Command(u8),
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::WaitedTooLong => 5,
            Self::Unreachable => 6,
            Self::Forbidden => 7,
            Self::RateLimited => 75,
            Self::TimedOut => 124,
            Self::Poolkeeper => 125,
            Self::CommandNotExecutable => 126,
            Self::CommandNotFound => 127,
            Self::Interrupted => 130,
            Self::OutputClosed => 141,
            Self::Command(code) => code,
        }
    }
}

impl Exit {
    /// What each code means, for the documentation.
    pub(super) const MEANINGS: [(Self, &'static str); 15] = [
        (Self::Success, "Success. Of a batch: every task succeeded."),
        (Self::Failed, "Something failed. Of a batch: at least one task did."),
        (Self::Usage, "An argument, a file or an object is wrong."),
        (Self::NotFound, "There is no such object or file."),
        (Self::Conflict, "Something is in the way: a busy worker, an open attempt, results of another run."),
        (Self::WaitedTooLong, "What was waited for did not come in time."),
        (Self::Unreachable, "No server, or no Docker Engine, answers."),
        (Self::Forbidden, "The server, or the Docker Engine, refuses this user."),
        (Self::RateLimited, "Of a batch, only rate-limited tasks are left."),
        (Self::TimedOut, "`run` and `exec`: the time is up."),
        (Self::Poolkeeper, "Poolkeeper itself failed. `run` and `exec`: any failure that is not one of their command."),
        (Self::CommandNotExecutable, "`run` and `exec`: the command cannot be executed."),
        (Self::CommandNotFound, "`run` and `exec`: the command is not there."),
        (Self::Interrupted, "A signal stopped the command, such as Ctrl-C."),
        (Self::OutputClosed, "Standard output was closed."),
    ];
}

/// The exit codes of `run`, after its command started.
impl Exit {
    /// Of a batch that ran to its end. What an earlier run of it did counts too.
    pub const fn of_batch(summary: &Summary) -> Self {
        match (summary.all_failed(), summary.rate_limited) {
            (0, 0) => Self::Success,
            (0, _) => Self::RateLimited,
            _ => Self::Failed,
        }
    }

    /// Of a single command. What its result file says goes before its own code.
    pub fn of_command(last: Option<Last>) -> Self {
        let Some(last) = last else { return Self::Poolkeeper };
        let own = last.exit_code.map_or(1, |code| u8::try_from(code.clamp(1, 255)).unwrap_or(1));
        match last.outcome {
            Outcome::Succeeded => Self::Success,
            Outcome::TimedOut => Self::TimedOut,
            _ if last.timed_out => Self::TimedOut,
            Outcome::Failed | Outcome::RateLimited | Outcome::Unauthorized | Outcome::Overloaded => Self::Command(own),
            _ => Self::Poolkeeper,
        }
    }

    /// Of a run that could not start, or ended before its time.
    const fn of_supervisor(error: &supervisor::Error) -> Self {
        use supervisor::Error as E;
        match error {
            E::Input(_) | E::RuntimeRefused(_) => Self::Usage,
            E::NotFound(_) => Self::NotFound,
            E::Conflict(_) => Self::Conflict,
            E::NoCommand { found: true, .. } => Self::CommandNotExecutable,
            E::NoCommand { found: false, .. } => Self::CommandNotFound,
            E::Unauthorized { .. } | E::AllRest { failed: true, .. } | E::CostReached { failed: true, .. } => {
                Self::Failed
            }
            E::AllRest { failed: false, .. } | E::CostReached { failed: false, .. } => Self::RateLimited,
            E::Interrupted => Self::Interrupted,
            E::OutputClosed => Self::OutputClosed,
            E::NoWorker { .. }
            | E::Api { .. }
            | E::Away { .. }
            | E::PoolGone(_)
            | E::Watch(_)
            | E::Write { .. }
            | E::Broken { .. } => Self::Poolkeeper,
        }
    }

    /// Of a process that cannot start or stop its parts.
    const fn of_standalone(error: &standalone::Error) -> Self {
        use standalone::Error as E;
        match error {
            E::InvalidPool(_) => Self::Usage,
            E::DockerAddress(_) | E::Docker { forbidden: false, .. } => Self::Unreachable,
            E::Docker { forbidden: true, .. } => Self::Forbidden,
            E::Api(_) | E::CreatePool(_) | E::Process(_) | E::Runtime(_) | E::Stop { .. } => Self::Poolkeeper,
        }
    }
}

impl Exit {
    /// Of the local server.
    const fn of_resident(error: &resident::Error) -> Self {
        use crate::local::DiskError as D;
        use resident::Error as E;
        match error {
            E::InUse { .. } | E::OtherMachine { .. } | E::Port { .. } | E::Store(D::InUse { .. } | D::Newer { .. }) => {
                Self::Conflict
            }
            E::Hosts(_) | E::LocalHost | E::NoSuchHost { .. } => Self::Usage,
            E::Store(D::Damaged { .. }) | E::Home { .. } | E::StandingDown(_) => Self::Failed,
            E::Store(D::Io { .. })
            | E::File { .. }
            | E::Api(_)
            | E::Certificate(_)
            | E::Runtime(_)
            | E::Pause(_)
            | E::StoreFailed { .. }
            | E::Controller(_)
            | E::Removed { .. } => Self::Poolkeeper,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command fails, and the exit code that says so. The message says what happened, to what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The message for people.
    pub message: String,
}

impl Failure {
    /// A failure with any exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// An argument or a file is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Poolkeeper failed while it did `what`.
    pub fn poolkeeper(what: impl Display, error: impl Display) -> Self {
        Self::new(Exit::Poolkeeper, format!("{what}: {error}"))
    }
}

impl From<supervisor::Error> for Failure {
    fn from(error: supervisor::Error) -> Self {
        Self::new(Exit::of_supervisor(&error), with_causes(&error))
    }
}

impl From<standalone::Error> for Failure {
    fn from(error: standalone::Error) -> Self {
        Self::new(Exit::of_standalone(&error), with_causes(&error))
    }
}

impl From<resident::Error> for Failure {
    fn from(error: resident::Error) -> Self {
        Self::new(Exit::of_resident(&error), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_command_ends_as_its_command_did() {
        let exit =
            |outcome, exit_code, timed_out| Exit::of_command(Some(Last { outcome, exit_code, timed_out })).code();
        assert_eq!(exit(Outcome::Succeeded, Some(0), false), 0);
        assert_eq!(exit(Outcome::Succeeded, Some(3), false), 0);
        assert_eq!(exit(Outcome::Failed, Some(137), false), 137);
        assert_eq!(exit(Outcome::Failed, Some(0), false), 1);
        assert_eq!(exit(Outcome::RateLimited, Some(75), true), 124);
        assert_eq!(exit(Outcome::TimedOut, None, false), 124);
        assert_eq!(exit(Outcome::WorkerLost, None, false), 125);
        assert_eq!(Exit::of_command(None), Exit::Poolkeeper);
    }

    #[test]
    fn each_code_has_one_meaning() {
        let codes = Exit::MEANINGS.map(|(exit, _)| exit.code());
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 75, 124, 125, 126, 127, 130, 141]);
        assert_eq!(Exit::Command(3).code(), 3);
    }
}
