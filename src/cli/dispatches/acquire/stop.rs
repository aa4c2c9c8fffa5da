//! What ends `acquire` before it has a worker: a signal, or a closed standard output.

use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, signals};

/// Listens for all of that.
pub(super) struct Stop {
    signal: CancellationToken,
    closed: CancellationToken,
}

impl Stop {
    /// Listens from now on. A second signal ends the process at once.
    pub(super) fn listen() -> Result<Self, Failure> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let left =
            Some("left at once; the Dispatch may be there, and may get a worker: see `poolkeeper get dispatches`");
        let signal = signals::listen(&signals::unless_ignored(&kinds), left);
        let signal = signal.map_err(|error| Failure::poolkeeper("listening for signals", error))?;
        let closed = CancellationToken::new();
        let reader_left = closed.clone();
        tokio::spawn(async move {
            output::stdout_closed().await;
            reader_left.cancel();
        });
        Ok(Self { signal, closed })
    }

    /// Waits for `work`, unless something ends it before.
    ///
    /// # Errors
    /// [`Exit::Interrupted`] or [`Exit::OutputClosed`].
    pub(super) async fn unless<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.signal.cancelled() => Err(Failure::new(Exit::Interrupted, "interrupted before a worker was claimed")),
            () = self.closed.cancelled() => Err(output_closed()),
            done = work => Ok(done),
        }
    }
}

/// The claim cannot be printed.
pub(super) fn output_closed() -> Failure {
    Failure::new(Exit::OutputClosed, "standard output was closed before the claim could be printed")
}
