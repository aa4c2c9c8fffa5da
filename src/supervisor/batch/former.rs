//! What an earlier run of the same directory left on the server. It ends before its tasks run again: no task may run twice at a time.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{ListParams, Patch};
use serde_json::json;

use super::ids;
use crate::api::{Dispatch, names};
use crate::supervisor::patience::Patience;
use crate::supervisor::released::is_released;
use crate::supervisor::report::params;
use crate::supervisor::tracker::Tracker;
use crate::supervisor::{Error, Place, lease};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Cancels every unfinished Dispatch of these runs, and waits until nothing of them runs any more.
///
/// # Errors
/// The server refuses, or was away for too long.
pub async fn end(place: &Place, runs: &[String], patience: &Patience, tracker: &Tracker) -> Result<(), Error> {
    let what = "ending what the earlier run left";
    let mut said = false;
    for run in runs.iter().map(|id| ids::run(id)) {
        loop {
            let left = cancel(place, &run, patience).await?;
            let workers = place.workers();
            let mut waits = left.iter().any(|d| !is_final(d));
            for dispatch in left.iter().filter(|d| is_final(d)) {
                waits |= !patience.repeat(what, || is_released(&workers, dispatch)).await?;
            }
            if !waits {
                break;
            }
            if !std::mem::replace(&mut said, true) {
                tracker.note("waiting for the end of what the earlier run left");
            }
            tokio::time::sleep(PAUSE).await;
        }
        patience.repeat(what, || lease::remove(place, &run)).await?;
    }
    Ok(())
}

/// Cancels every unfinished Dispatch of a run, and answers all there are.
///
/// # Errors
/// The server refuses, or was away for too long.
pub async fn cancel(place: &Place, run: &str, patience: &Patience) -> Result<Vec<Dispatch>, Error> {
    let what = "cancelling the tasks of a run";
    let api = &place.dispatches();
    let of_run = ListParams::default().labels(&format!("{}={run}", names::RUN));
    let all = patience.repeat(what, || api.list(&of_run)).await?.items;
    for dispatch in all.iter().filter(|d| !is_final(d) && !d.spec.cancel) {
        let (name, patch) =
            (dispatch.name_any(), json!({"metadata": {"uid": dispatch.uid()}, "spec": {"cancel": true}}));
        let patch = &Patch::Merge(&patch);
        patience
            .repeat(what, || async {
                match api.patch(&name, &params(), patch).await {
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                    patched => patched.map(drop),
                }
            })
            .await?;
    }
    Ok(all)
}

fn is_final(dispatch: &Dispatch) -> bool {
    dispatch.status.as_ref().is_some_and(|status| status.phase.is_final())
}
