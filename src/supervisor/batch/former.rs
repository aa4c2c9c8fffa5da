//! What an earlier run of the same directory left on the server. It ends before its tasks run again: no task may run twice at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::ResourceExt;
use kube::api::{ListParams, Patch};
use serde_json::json;

use super::ids;
use super::source::TaskSource;
use crate::api::{Dispatch, names};
use crate::supervisor::patience::Patience;
use crate::supervisor::released::is_released;
use crate::supervisor::report::params;
use crate::supervisor::tracker::Tracker;
use crate::supervisor::{Error, Place, lease};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Dispatches of earlier runs that this one goes on with: their tasks live on without a client.
#[derive(Debug, Default)]
pub struct Adopted {
    /// The earlier runs, as they stand in names and labels.
    pub runs: BTreeSet<String>,
    /// Names of Dispatches, by what they say of the task.
    names: BTreeMap<String, String>,
}

impl Adopted {
    /// Finds what can be gone on with: unfinished Dispatches of these runs in this pool. Their Leases are renewed for as long as
    /// `lasts`.
    ///
    /// # Errors
    /// The server refuses, or was away for too long.
    pub async fn find(
        place: &Place,
        runs: impl Iterator<Item = &String>,
        pool: &str,
        patience: &Patience,
        renew: impl AsyncFn(&str) -> kube::Result<()>,
    ) -> Result<Self, Error> {
        let (what, mut adopted) = ("looking for tasks of the earlier run", Self::default());
        for run in runs.map(|id| ids::run(id)) {
            let found = list(place, &run, what, patience).await?;
            let mut names: Vec<String> = found
                .into_iter()
                .filter(|d| !is_final(d) && !d.spec.cancel && d.spec.pool == pool)
                .map(|d| d.name_any())
                .collect();
            if names.is_empty() {
                continue;
            }
            patience.repeat("renewing the Lease of the earlier run", || renew(&run)).await?;
            let part =
                |name: &String| name.strip_prefix(&run).and_then(|rest| rest.strip_prefix('-')).map(str::to_owned);
            adopted.names.extend(names.drain(..).filter_map(|name| Some((part(&name)?, name))));
            adopted.runs.insert(run);
        }
        Ok(adopted)
    }

    /// Leaves out the tasks that need not run any more.
    ///
    /// # Errors
    /// That of reading them.
    pub fn retain(&mut self, tasks: TaskSource) -> Result<(), Error> {
        let mut names = BTreeMap::new();
        // Of tasks that come later it is not known which those are.
        if let TaskSource::There(tasks) = tasks {
            for task in tasks {
                let task = task?;
                names.extend(self.names.remove_entry(&ids::task_part(task.line, &task.id)));
            }
        }
        self.names = names;
        Ok(())
    }

    /// The Dispatch of a task, if there is one.
    pub fn take(&mut self, line: u64, id: &str) -> Option<String> {
        self.names.remove(&ids::task_part(line, id))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    fn has(&self, dispatch: &Dispatch) -> bool {
        let name = dispatch.name_any();
        self.names.values().any(|adopted| *adopted == name)
    }
}

/// Cancels every unfinished Dispatch of these runs that is not adopted, and waits until nothing of them runs any more.
///
/// # Errors
/// The server refuses, or was away for too long.
pub async fn end(
    place: &Place,
    runs: &[String],
    adopted: &Adopted,
    patience: &Patience,
    tracker: &Tracker,
) -> Result<(), Error> {
    let what = "ending what the earlier run left";
    let mut said = false;
    for run in runs.iter().map(|id| ids::run(id)) {
        loop {
            let mut left = cancel(place, &run, adopted, patience).await?;
            left.retain(|dispatch| !adopted.has(dispatch));
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
        if !adopted.runs.contains(&run) {
            patience.repeat(what, || lease::remove(place, &run)).await?;
        }
    }
    Ok(())
}

/// Cancels every unfinished Dispatch of a run that is not adopted, and answers all there are.
///
/// # Errors
/// The server refuses, or was away for too long.
pub async fn cancel(place: &Place, run: &str, adopted: &Adopted, patience: &Patience) -> Result<Vec<Dispatch>, Error> {
    let what = "cancelling the tasks of a run";
    let api = &place.dispatches();
    let all = list(place, run, what, patience).await?;
    for dispatch in all.iter().filter(|d| !is_final(d) && !d.spec.cancel && !adopted.has(d)) {
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

/// All Dispatches of a run.
async fn list(place: &Place, run: &str, what: &str, patience: &Patience) -> Result<Vec<Dispatch>, Error> {
    let (api, of_run) = (&place.dispatches(), &ListParams::default().labels(&format!("{}={run}", names::RUN)));
    Ok(patience.repeat(what, || api.list(of_run)).await?.items)
}

fn is_final(dispatch: &Dispatch) -> bool {
    dispatch.status.as_ref().is_some_and(|status| status.phase.is_final())
}
