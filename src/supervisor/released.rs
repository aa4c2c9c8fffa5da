//! When the worker of a finished Dispatch is free of it. Until then a new Dispatch for the same task could run while the task of
//! the old one still runs, and the deletion of the old one would cost the worker.

use kube::Api;

use crate::api::dispatch::{DispatchStatus, Outcome};
use crate::api::{Dispatch, Worker};

/// True once the worker of a finished Dispatch is free of it: after a report it names something else, after any other end
/// the Worker with this uid is gone, and its container with it.
///
/// # Errors
/// The server fails.
pub async fn is_released(workers: &Api<Worker>, dispatch: &Dispatch) -> kube::Result<bool> {
    let status = dispatch.status.clone().unwrap_or_default();
    let Some(worker) = &status.worker else { return Ok(true) };
    let Some(now) = workers.get_opt(&worker.name).await? else { return Ok(true) };
    let names_it =
        now.status.as_ref().and_then(|s| s.dispatch.as_ref()).map(|d| &d.uid) == dispatch.metadata.uid.as_ref();
    Ok(now.metadata.uid.as_ref() != Some(&worker.uid) || (task_is_over(&status) && !names_it))
}

/// True if nothing of the last attempt runs any more.
fn task_is_over(status: &DispatchStatus) -> bool {
    let last = status.last_result.as_ref().filter(|last| last.attempt == status.attempt);
    last.is_some_and(|last| last.outcome.is_reported() || last.outcome == Outcome::NotStarted)
}
