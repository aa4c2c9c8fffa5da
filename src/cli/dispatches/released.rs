//! When the worker of a finished Dispatch is free of it. Until then a new Dispatch for the same task could run while the task of
//! the old one still runs, and the deletion of the old one would cost the worker.

use std::time::Duration;

use kube::Api;

use crate::api::dispatch::{DispatchStatus, Outcome};
use crate::api::{Dispatch, Worker};
use crate::cli::exit::Failure;
use crate::cli::server::{Server, is_not_found};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until the worker of a finished Dispatch is free of it: after a report it names something else, after any other end
/// the Worker with this uid is gone, and its container with it.
///
/// # Errors
/// The server fails.
pub async fn released(server: &Server, dispatch: &Dispatch) -> Result<(), Failure> {
    let status = dispatch.status.clone().unwrap_or_default();
    let Some(worker) = &status.worker else { return Ok(()) };
    let (api, may_stay): (Api<Worker>, bool) = (server.api(), task_is_over(&status));
    loop {
        let now = match api.get(&worker.name).await {
            Ok(now) => now,
            Err(error) if is_not_found(&error) => return Ok(()),
            Err(error) => return Err(server.failed(&error)),
        };
        let names_it =
            now.status.as_ref().and_then(|s| s.dispatch.as_ref()).map(|d| &d.uid) == dispatch.metadata.uid.as_ref();
        if now.metadata.uid.as_ref() != Some(&worker.uid) || (may_stay && !names_it) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// True if nothing of the last attempt runs any more.
fn task_is_over(status: &DispatchStatus) -> bool {
    let last = status.last_result.as_ref().filter(|last| last.attempt == status.attempt);
    last.is_some_and(|last| last.outcome.is_reported() || last.outcome == Outcome::NotStarted)
}
