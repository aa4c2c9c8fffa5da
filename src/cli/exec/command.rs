//! What runs in a worker, and what ends it.

use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use super::failure::{Problem, Why};
use crate::cli::exit::Exit;
use crate::cli::signals;
use crate::runtime::process::protocol::ExecRequest;

/// What runs in a worker.
pub(super) struct Command {
    pub argv: Vec<String>,
    /// Variables that say which attempt it is.
    pub of_attempt: Vec<(String, String)>,
    /// Variables of --env.
    pub env: Vec<(String, String)>,
    pub workdir: Option<String>,
    pub input: bool,
    pub tty: bool,
}

impl Command {
    /// As a shim, or the helper in a Pod, is asked for it.
    pub(super) fn request(self) -> ExecRequest {
        ExecRequest { env: self.environment(), argv: self.argv, working_dir: self.workdir, ..ExecRequest::default() }
    }

    pub(super) fn environment(&self) -> Vec<(String, String)> {
        self.of_attempt.iter().chain(&self.env).cloned().collect()
    }
}

/// The exit code of the command, as this process has it too.
pub(super) fn passed_on(code: i32) -> Exit {
    Exit::Command(code.to_le_bytes()[0])
}

/// A signal that ends the command. The second one ends this process at once.
pub(super) struct Stop(CancellationToken);

impl Stop {
    pub(super) fn listen() -> Result<Self, Problem> {
        let kinds = signals::unless_ignored(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]);
        let token =
            signals::listen_or_exit(&kinds, Exit::Poolkeeper, Some("lost: left at once; the command may still run"));
        token.map(Self).map_err(|error| Problem::new(Why::Failed, format!("listening for signals: {error}")))
    }

    pub(super) async fn wait(&self) {
        self.0.cancelled().await;
    }
}
