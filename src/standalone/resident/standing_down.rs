//! Stopping all workers, and keeping the objects. Nothing may be assigned meanwhile: the controller has stopped.
//!
//! An idle worker is deleted, as the controller does it: the deletion first, then its instance, then its finalizer. Of a worker
//! that rests only the instance goes, as in a reboot, because the Worker remembers the rest. With `force` that holds for a
//! worker with an open attempt too: the next server sees that its instance is gone, and closes the attempt as WorkerLost.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::parts::Parts;
use super::refusal::Refusal;
use crate::api::dispatch::DispatchPhase;
use crate::api::{Dispatch, Worker, names};
use crate::core::is_settled;
use crate::runtime::{Instance, InstanceKey, LOCAL_HOST, Observation, Runtime};
use crate::standalone::names::some;

/// Workers that are stopped at a time.
const STOPS: usize = 16;
/// How long a host may take to say what is on it.
const LISTING: Duration = Duration::from_secs(30);

impl Parts {
    /// Why the workers may not be stopped: attempts are open. None: they may.
    pub async fn refusal(&self, force: bool) -> Option<Refusal> {
        if force {
            return None;
        }
        match self.open_attempts().await {
            Ok(open) if open.is_empty() => None,
            Ok(open) => Some(Refusal::busy(&open)),
            Err(error) => Some(Refusal::failed(error.to_string())),
        }
    }

    /// The dispatches with an open attempt.
    async fn open_attempts(&self) -> kube::Result<Vec<String>> {
        let (workers, dispatches): (Api<Worker>, Api<Dispatch>) =
            (Api::all(self.client.clone()), Api::all(self.client.clone()));
        let workers = workers.list(&ListParams::default()).await?;
        // After the workers: an attempt that begins in between is seen here.
        Ok(open_attempts(&workers.items, &dispatches.list(&ListParams::default()).await?.items))
    }

    /// Stops all workers.
    ///
    /// # Errors
    /// Some cannot be stopped; the text names them. The next server goes on with them.
    pub async fn stand_down(&self) -> Result<(), String> {
        let workers: Api<Worker> = Api::all(self.client.clone());
        let workers = workers.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        let stops = stream::iter(&workers).map(|worker| async move {
            self.stop(worker).await.map_err(|why| format!("{}: {why}", worker.name_any()))
        });
        let mut failed: Vec<String> =
            stops.buffer_unordered(STOPS).filter_map(|stopped| async { stopped.err() }).collect().await;
        for runtime in &self.runtimes {
            for host in runtime.hosts() {
                failed.extend(self.stop_orphans(&**runtime, &host, &workers).await);
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        failed.sort();
        let workers = if failed.len() == 1 { "worker" } else { "workers" };
        Err(format!("{} {workers} cannot be stopped: {}", failed.len(), some(&failed)))
    }

    async fn stop(&self, worker: &Worker) -> Result<(), String> {
        let host = worker.spec.host.clone().unwrap_or_else(|| LOCAL_HOST.to_owned());
        let runtime = self.runtimes.iter().find(|runtime| runtime.kind() == worker.spec.runtime);
        let runtime = runtime.ok_or_else(|| format!("this server has no runtime {}", worker.spec.runtime))?;
        let key = InstanceKey {
            namespace: worker.namespace().unwrap_or_default(),
            worker: worker.name_any(),
            uid: worker.uid().unwrap_or_default(),
        };
        let workers: Api<Worker> = Api::namespaced(self.client.clone(), &key.namespace);
        let status = worker.status.as_ref();
        let rest = status.and_then(|status| status.cooldown.as_ref()).and_then(|rest| rest.until.as_ref());
        let stays =
            status.is_some_and(|status| status.dispatch.is_some()) || rest.is_some_and(|end| end.0 > self.clock.now());
        if !stays {
            let preconditions = Preconditions { uid: worker.uid(), resource_version: worker.resource_version() };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            gone_is_fine(workers.delete(&key.worker, &params).await)?;
        }
        runtime.stop(&host, &key).await.map_err(|e| e.to_string())?;
        if !stays {
            let others: Vec<&String> =
                worker.metadata.finalizers.iter().flatten().filter(|f| *f != names::WORKER_FINALIZER).collect();
            let patch = json!({"metadata": {"uid": worker.uid(), "finalizers": others}});
            gone_is_fine(workers.patch(&key.worker, &PatchParams::default(), &Patch::Merge(&patch)).await)?;
        }
        Ok(())
    }

    /// Stops the instances of this installation on a host that belong to no Worker. A host without workers need not answer.
    async fn stop_orphans(&self, runtime: &dyn Runtime, host: &str, workers: &[Worker]) -> Vec<String> {
        let seen = tokio::time::timeout(LISTING, runtime.observe(host).next()).await;
        let Ok(Some(Observation::Listed(instances))) = seen else { return Vec::new() };
        let is_orphan = |i: &Instance| i.own && !workers.iter().any(|w| w.uid().as_deref() == Some(&*i.key.uid));
        let mut failed = Vec::new();
        for instance in instances.iter().filter(|instance| is_orphan(instance)) {
            if let Err(error) = runtime.stop(host, &instance.key).await {
                failed.push(format!("{}: {error}", instance.key.instance_name()));
            }
        }
        failed
    }
}

/// A Worker that is not there needs nothing more: its finalizer may have been taken off by hand.
fn gone_is_fine<T>(answer: kube::Result<T>) -> Result<(), String> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message),
        answer => answer.map(drop).map_err(|e| e.to_string()),
    }
}

/// The dispatches with an open attempt, or reserved for one. A worker whose attempt is closed names it until it is freed.
fn open_attempts(workers: &[Worker], dispatches: &[Dispatch]) -> Vec<String> {
    let mut open = Vec::new();
    for worker in workers {
        let Some(named) = worker.status.as_ref().and_then(|status| status.dispatch.as_ref()) else { continue };
        let is_named = |d: &&Dispatch| d.namespace() == worker.namespace() && d.name_any() == named.name;
        let uid = worker.uid().unwrap_or_default();
        if dispatches.iter().find(is_named).is_some_and(|dispatch| !is_settled(&uid, named, dispatch)) {
            open.push(format!("{} on {}", named.name, worker.name_any()));
        }
    }
    for dispatch in dispatches {
        let status = dispatch.status.as_ref().filter(|status| status.phase == DispatchPhase::Assigned);
        if let Some(worker) = status.and_then(|status| status.worker.as_ref()) {
            let text = format!("{} on {}", dispatch.name_any(), worker.name);
            if !open.contains(&text) {
                open.push(text);
            }
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> Worker {
        serde_json::from_value(json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker",
            "metadata": {"name": "agents-0", "namespace": "default", "uid": "w"},
            "spec": {"pool": "agents", "poolGeneration": 1, "runtime": "Process", "templateHash": "h"},
            "status": {"dispatch": {"name": "job", "uid": "d", "attempt": 1, "assignedAt": "2026-11-30T06:00:00.000000Z"}},
        }))
        .unwrap()
    }

    fn dispatch(uid: &str, status: &serde_json::Value) -> Dispatch {
        serde_json::from_value(json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch",
            "metadata": {"name": "job", "namespace": "default", "uid": uid}, "spec": {"pool": "agents"}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn an_attempt_is_open_from_its_reservation_to_its_close() {
        let on = json!({"name": "agents-0", "uid": "w"});
        let closed = json!({
            "phase": "Succeeded", "attempt": 1, "worker": on,
            "lastResult": {"attempt": 1, "outcome": "Succeeded", "closedAt": "2026-11-30T06:00:01.000000Z"},
        });
        for (what, dispatch, open) in [
            ("reserved", dispatch("d", &json!({"phase": "Pending", "attempt": 0})), true),
            ("runs", dispatch("d", &json!({"phase": "Assigned", "attempt": 1, "worker": on})), true),
            ("closed, and the worker is not free yet", dispatch("d", &closed), false),
            ("deleted, and made again", dispatch("another", &json!({"phase": "Pending", "attempt": 0})), false),
        ] {
            assert_eq!(open_attempts(&[worker()], &[dispatch]).is_empty(), !open, "{what}");
        }
        assert!(open_attempts(&[worker()], &[]).is_empty(), "deleted");
    }
}
