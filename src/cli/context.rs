//! What every command needs: time, random ids, and the tokio runtime that it runs in.

use std::sync::Arc;

use super::exit::{Exit, Failure};
use crate::clock::{Clock, Ids, SystemClock};

/// A command of `poolkeeper`.
pub(super) trait Run {
    /// Runs it to its end.
    async fn run(self, cx: &Context) -> Result<Exit, Failure>;
}

/// What a command is given.
pub struct Context {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Random ids.
    pub ids: Ids,
}

impl Context {
    /// The context of this process.
    pub(super) fn new() -> Self {
        Self { clock: Arc::new(SystemClock::new()), ids: Ids::random() }
    }
}

/// Runs a command in a tokio runtime of its own.
pub(super) fn block_on(command: impl Run) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::poolkeeper("starting", error))?;
    let cx = Context::new();
    let ended = runtime.block_on(Box::pin(command.run(&cx)));
    // A thread may be in a read or a write that never returns: it is not waited for.
    runtime.shutdown_background();
    ended
}
