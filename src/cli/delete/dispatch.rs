//! Deletion of a dispatch.

use kube::ResourceExt;
use serde_json::json;

use super::how::{How, waited};
use super::worker::dispatch_of;
use crate::api::dispatch::{DispatchPhase, DispatchStatus};
use crate::api::{Dispatch, Worker};
use crate::cli::change::{self, Deletion};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;
use crate::cli::server::Server;

/// Deletes a dispatch once it is over and no worker names it: a worker whose dispatch disappears is taken for lost.
pub(super) async fn delete(server: &Server, name: &str, how: &How) -> Result<(), Failure> {
    let first = change::read::<Dispatch>(server, name).await?;
    let status = first.status.clone().unwrap_or_default();
    let worker = status.worker.as_ref().map(|worker| worker.name.clone()).unwrap_or_default();
    let runs = status.phase == DispatchPhase::Assigned;
    if runs && !how.force && how.wait != Some(true) {
        return Err(Failure::new(
            Exit::Conflict,
            format!(
                "dispatch {name} runs on worker {worker}: add --wait to let it finish first, or --force to cancel it, which removes the worker"
            ),
        ));
    }
    if !status.phase.is_final() && (how.force || !runs) {
        cancel(server, &first).await?;
    }
    if !status.phase.is_final() && !how.waits() {
        say(&format!("dispatch {name} is cancelled; delete it once more when it has ended"));
        return Ok(());
    }
    if runs {
        say(&format!("waiting for dispatch {name}: it runs on worker {worker}"));
    }
    let gone = change::until(how.timeout, async || {
        let found = change::find::<Dispatch>(server, name).await?.filter(|now| now.uid() == first.uid());
        let Some(now) = found else { return Ok(Some(())) };
        if !is_over(server, &now).await? {
            return Ok(None);
        }
        Ok((change::delete(server, &now, true).await? != Deletion::Changed).then_some(()))
    })
    .await?;
    waited(&format!("dispatch {name}"), gone, how, "it has not ended")
}

/// Cancels a dispatch that is not final.
pub(super) async fn cancel(server: &Server, dispatch: &Dispatch) -> Result<(), Failure> {
    let cancelled = change::patch::<Dispatch>(server, &dispatch.name_any(), |now| {
        let status = now.status.clone().unwrap_or_default();
        let cancel = now.uid() == dispatch.uid() && !now.spec.cancel && !status.phase.is_final();
        Ok(cancel.then(|| json!({"spec": {"cancel": true}})))
    })
    .await;
    match cancelled {
        Err(failure) if failure.exit != Exit::NotFound => Err(failure),
        _ => Ok(()),
    }
}

/// True if a dispatch is final, and the worker of its last attempt does not name it any more.
pub(crate) async fn is_over(server: &Server, dispatch: &Dispatch) -> Result<bool, Failure> {
    let DispatchStatus { phase, worker, .. } = dispatch.status.clone().unwrap_or_default();
    if !phase.is_final() {
        return Ok(false);
    }
    let Some(worker) = worker else { return Ok(true) };
    let found = change::find::<Worker>(server, &worker.name).await?;
    let names =
        |found: &Worker| dispatch_of(found).is_some_and(|named| Some(&named.uid) == dispatch.metadata.uid.as_ref());
    Ok(!found.is_some_and(|found| found.metadata.uid.as_ref() == Some(&worker.uid) && names(&found)))
}
