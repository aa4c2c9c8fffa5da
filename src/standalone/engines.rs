//! Whether the engine that answers for a Docker host is the one that has the workers of that host.

use std::collections::BTreeSet;

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::names::some;
use crate::api::{RuntimeKind, Worker};
use crate::runtime::LOCAL_HOST;
use crate::runtime::docker::EngineGate;

/// Lets an engine be used only if no worker of its host is on another engine, as the handles of the Workers say. For a controller
/// that keeps nothing on a disk.
pub fn gate(client: &Client) -> EngineGate {
    let client = client.clone();
    EngineGate::new(move |host, id| {
        let client = client.clone();
        Box::pin(async move { check(&client, &host, &id, None).await })
    })
}

/// Fails if a worker of this host is on another engine than the one with this id. `recorded`: the engine of Workers whose handle has
/// none.
///
/// # Errors
/// There are such workers, or the Workers cannot be listed.
pub(super) async fn check(client: &Client, host: &str, id: &str, recorded: Option<&str>) -> Result<(), String> {
    let workers: Api<Worker> = Api::all(client.clone());
    let workers = workers.list(&ListParams::default()).await.map_err(|e| format!("looking for workers: {e}"))?.items;
    let here = workers.iter().filter(|worker| worker.spec.host.as_deref().unwrap_or(LOCAL_HOST) == host);
    let elsewhere: Vec<(&Worker, String)> = here
        .filter_map(|worker| Some((worker, engine_of(worker, recorded)?)))
        .filter(|(_, engine)| engine != id)
        .collect();
    if elsewhere.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = elsewhere.iter().map(|(worker, _)| worker.name_any()).collect();
    let engines: BTreeSet<&str> = elsewhere.iter().map(|(_, engine)| engine.as_str()).collect();
    let engines: Vec<&str> = engines.into_iter().collect();
    Err(format!(
        "another Docker Engine answers at the address of host {host}: its id is {id}, and the engine with the id {} has {}; start that one again; if \
         it is gone for good, run `poolkeeper delete worker NAME --host-gone` for each of them",
        engines.join(" or "),
        some(&names)
    ))
}

/// The engine that has the container of a worker: as its handle says, else the recorded one. None: it has no container on an engine.
fn engine_of(worker: &Worker, recorded: Option<&str>) -> Option<String> {
    if worker.spec.runtime != RuntimeKind::Docker {
        return None;
    }
    let handle = worker.status.as_ref().and_then(|status| status.handle.as_ref());
    handle.and_then(|handle| handle.engine.clone()).or_else(|| recorded.map(str::to_owned))
}
