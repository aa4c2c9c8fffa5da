//! Running a task in a worker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::api::dispatch::Target;

/// A task for a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Program and arguments. No shell is involved.
    pub argv: Vec<String>,
    /// Variables added to the worker's environment.
    pub env: Vec<(String, String)>,
    /// Standard input; the task sees its end.
    pub stdin: Bytes,
    /// Working directory in the worker. None: the worker's.
    pub working_dir: Option<String>,
}

/// A piece of a task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// From standard output.
    Stdout(Bytes),
    /// From standard error.
    Stderr(Bytes),
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// It exited with this code; 128 + signal number if a signal ended it.
    Exited(i32),
    /// Contact was lost, or the worker ended with it: whether and how the task ended is not known.
    Lost(String),
}

/// Why a task was not started. It certainly did not run.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum ExecError {
    /// The command does not exist in the worker, or cannot be executed there. Shells say 127 and 126.
    #[error("{message}")]
    Command {
        /// What was wrong, with the command's name.
        message: String,
        /// 127: not found. 126: not executable.
        code: i32,
    },
    /// The worker was not reached, or is gone.
    #[error("{0}")]
    Worker(String),
}

/// A task that was started.
pub struct Running {
    /// Its output, in order for each stream. Ends when both are closed.
    pub output: BoxStream<'static, Output>,
    /// Its end. Resolves after the output was read to its end.
    pub end: BoxFuture<'static, TaskEnd>,
}

impl Running {
    /// From its output and what its output sends when it was read to its end.
    pub(super) fn new(output: BoxStream<'static, Output>, end: oneshot::Receiver<TaskEnd>) -> Self {
        Self { output, end: Box::pin(async move { end.await.unwrap_or_else(|_| TaskEnd::hung_up()) }) }
    }
}

impl TaskEnd {
    /// The reader has hung up, so nothing more is known.
    pub(super) fn hung_up() -> Self {
        Self::Lost("its output was not read to the end".to_owned())
    }
}

/// Name of the result file of an attempt. A Dispatch may have a longer name than a file.
pub(super) fn result_name(dispatch: &str, attempt: i32) -> String {
    format!("{}-{attempt}.json", hex::encode(&Sha256::digest(dispatch)[..8]))
}

/// How a task is to outlive contact with its worker.
#[derive(Clone)]
pub struct Keep {
    /// How long the task waits for its client.
    pub lasts: Duration,
    /// True: the task may have been started before. Then it is attached to, and not started again.
    pub again: bool,
    /// Bytes of standard output and standard error that are here already.
    pub have: [u64; 2],
    /// Gets a line when contact is lost, and when it is there again.
    pub note: Arc<dyn Fn(String) + Send + Sync>,
}

/// Runs tasks in workers of one runtime. Dropping a [`Running`] hangs up: whether that ends the task is the
/// runtime's affair (Process: yes; Docker: no), so a caller that drops one early must end the attempt.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Makes contact with a worker in which a task is about to start, where that takes long. Failures are left to [`Self::exec`].
    async fn prepare(&self, target: &Target) {
        let _ = target;
    }

    /// A command that is in every worker of the runtime, and ends the processes with a variable in their environment: `NAME=VALUE`, which
    /// is to be its last word. It exits with 0 once there are none, and with 3 if there were none. None: there is no such command.
    async fn ending(&self, target: &Target) -> Option<Vec<String>> {
        let _ = target;
        None
    }

    /// Starts a task.
    async fn exec(&self, target: &Target, task: Task) -> Result<Running, ExecError>;

    /// Starts a task that outlives contact with its worker, where the runtime can do that, or attaches to one. True: it was there.
    /// The output that comes is what `have` leaves out. A piece counts as safe here when the next one is asked for. After the end was
    /// dealt with, [`Self::release`] must be called.
    async fn exec_durable(&self, target: &Target, task: Task, keep: Keep) -> Result<(Running, bool), ExecError> {
        if keep.again {
            return Err(ExecError::Worker("it cannot be attached to again".to_owned()));
        }
        Ok((self.exec(target, task).await?, false))
    }

    /// The end of such a task is known, and its worker may forget it. `path` is that of its result file.
    async fn release(&self, target: &Target, path: &str) {
        let _ = (target, path);
    }

    /// A path in the worker at which the task of `dispatch`, attempt `attempt`, may leave a result file.
    /// Makes what is needed for it to be writable by any user of the worker.
    async fn result_path(&self, target: &Target, dispatch: &str, attempt: i32) -> Result<String, ExecError>;

    /// True if the target's host answers, whether its worker does or not.
    async fn reaches_host(&self, target: &Target) -> bool;

    /// Takes the result file away. None: there is none. At most 64 KiB of it.
    async fn take_result(&self, target: &Target, path: &str) -> Result<Option<Vec<u8>>, ExecError>;
}

/// Finds what runs tasks in the worker of a target. That makes it an [`Executor`] for all of them.
pub trait Find: Send + Sync + 'static {
    /// The executor of the target's worker.
    ///
    /// # Errors
    /// There is none.
    fn of(&self, target: &Target) -> Result<Arc<dyn Executor>, ExecError>;
}

#[async_trait]
impl<F: Find> Executor for F {
    async fn prepare(&self, target: &Target) {
        if let Ok(executor) = self.of(target) {
            executor.prepare(target).await;
        }
    }

    async fn ending(&self, target: &Target) -> Option<Vec<String>> {
        self.of(target).ok()?.ending(target).await
    }

    async fn exec(&self, target: &Target, task: Task) -> Result<Running, ExecError> {
        self.of(target)?.exec(target, task).await
    }

    async fn exec_durable(&self, target: &Target, task: Task, keep: Keep) -> Result<(Running, bool), ExecError> {
        self.of(target)?.exec_durable(target, task, keep).await
    }

    async fn release(&self, target: &Target, path: &str) {
        if let Ok(executor) = self.of(target) {
            executor.release(target, path).await;
        }
    }

    async fn result_path(&self, target: &Target, dispatch: &str, attempt: i32) -> Result<String, ExecError> {
        self.of(target)?.result_path(target, dispatch, attempt).await
    }

    async fn reaches_host(&self, target: &Target) -> bool {
        match self.of(target) {
            Ok(executor) => executor.reaches_host(target).await,
            Err(_) => false,
        }
    }

    async fn take_result(&self, target: &Target, path: &str) -> Result<Option<Vec<u8>>, ExecError> {
        self.of(target)?.take_result(target, path).await
    }
}
