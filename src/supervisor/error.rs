//! Why a run cannot start, or ends before its time.

use std::io;

use super::spent::Usd;
use crate::api::Period;

/// Why a run cannot start, or ends before its time. The command line turns each into an exit code.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// A task file or a directory is not usable as it is.
    #[error("{0}")]
    Input(String),
    /// A file is not there.
    #[error("{0}")]
    NotFound(String),
    /// The directory of results is in use, or holds something else.
    #[error("{0}")]
    Conflict(String),
    /// The controller does not allow the pool's runtime.
    #[error("the pool's runtime is refused: {0}")]
    RuntimeRefused(String),
    /// The command is not in the worker, or cannot be executed there.
    #[error("{command} cannot be run in a worker: {message}")]
    NoCommand {
        /// The program.
        command: String,
        /// What the runtime says.
        message: String,
        /// True: it is there, but cannot be executed.
        found: bool,
    },
    /// No worker starts, or each one ends before its task does.
    #[error("no worker can be started, or stays long enough to run a task: {message}{hint}")]
    NoWorker {
        /// What the runtime says.
        message: String,
        /// What may be the cause.
        hint: &'static str,
    },
    /// Every credential was refused.
    #[error("every credential was refused as unauthorized ({names}): replace them, and run the rest with --resume")]
    Unauthorized {
        /// Their names.
        names: String,
    },
    /// Every worker has rested for as long as a task may take.
    #[error(
        "gave up after {timeout} (--timeout): every worker is resting after a rate limit; rerun with --out and --resume to continue"
    )]
    AllRest {
        /// How long a task may take.
        timeout: Period,
        /// True if a task failed before.
        failed: bool,
    },
    /// As much was spent as may be.
    #[error(
        "stopped after {spent} (--max-cost {limit}): nothing more is started; rerun with --out, --resume and a higher --max-cost \
         to continue"
    )]
    CostReached {
        /// How much may be spent.
        limit: Usd,
        /// How much was spent: more than the limit, if attempts were still running.
        spent: Usd,
        /// True if a task failed before.
        failed: bool,
    },
    /// A signal, such as Ctrl-C.
    #[error("interrupted; stopping the workers (a second time: leave at once)")]
    Interrupted,
    /// Standard output was closed.
    #[error("standard output was closed; stopping the workers")]
    OutputClosed,
    /// The API refused a request, or did not answer.
    #[error("{what}: {source}")]
    Api {
        /// What the request was for.
        what: String,
        /// The answer.
        source: kube::Error,
    },
    /// The server was away for too long.
    #[error(
        "{what}: the server has been away for {limit} (--patience): {why}; rerun with --out and --resume to continue"
    )]
    Away {
        /// What could not be done.
        what: String,
        /// How long it may be away.
        limit: Period,
        /// What was heard last.
        why: String,
    },
    /// The pool of the run was deleted.
    #[error("pool {0} was deleted")]
    PoolGone(String),
    /// A watch fails repeatedly.
    #[error("a watch: {0}")]
    Watch(#[source] kube::runtime::watcher::Error),
    /// Output or a result cannot be written.
    #[error("{what}: {source}")]
    Write {
        /// What was to be written.
        what: String,
        /// Why it was not.
        source: io::Error,
    },
    /// What the workers depend on has ended, or a task of this process panicked.
    #[error("{what}: {why}")]
    Broken {
        /// What ended.
        what: String,
        /// Why.
        why: String,
    },
}

impl Error {
    /// A request failed.
    pub fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source }
    }

    /// Something cannot be written. A closed output is an error of its own.
    pub fn write(what: impl Into<String>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Write { what: what.into(), source },
        }
    }
}
