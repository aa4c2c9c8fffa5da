//! What a pool's status says: never more than is there, at once, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{ContainerPool, Worker};
use poolkeeper::local::Change;
use serde_json::json;

use crate::world::World;

fn is_up(w: &Worker) -> bool {
    w.metadata.deletion_timestamp.is_none()
        && w.status.as_ref().is_some_and(|s| matches!(s.phase, WorkerPhase::Ready | WorkerPhase::Busy))
}

/// Each stored status of a pool that counts more workers as up than are, or were before the newest write about them.
fn overstated(w: &World) -> Vec<String> {
    let mut workers: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    let mut found = Vec::new();
    for r in w.api.history() {
        if r.resource.plural == "workers" {
            let object: Worker = serde_json::from_value((*r.object).clone()).unwrap();
            let entry = workers.entry(r.uid.clone()).or_default();
            *entry = (entry.1, r.change != Change::Deleted && is_up(&object));
        } else if r.resource.plural == "containerpools" {
            let pool: ContainerPool = serde_json::from_value((*r.object).clone()).unwrap();
            let s = pool.status.unwrap_or_default();
            let up = workers.values().filter(|(before, now)| *before || *now).count();
            if usize::try_from(s.ready + s.busy + s.resting).unwrap() > up {
                found.push(format!("write {}: {} ready, {up} up", r.resource_version, s.ready));
            }
        }
    }
    found
}

/// `kubectl wait --for=condition=Ready` returned for a pool without a worker.
#[tokio::test(start_paused = true)]
async fn a_starting_worker_that_is_being_replaced_is_not_ready() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "command": ["wait", "no room"]})).await;
    w.until_pool("p", "starting", |p| p.status.as_ref().is_some_and(|s| s.starting == 1)).await;
    for n in 2..20 {
        tokio::time::sleep(Duration::from_secs(7)).await; // so that its next status is due
        w.patch_pool("p", json!({"spec": {"image": format!("worker:{n}")}})).await;
    }
    assert_eq!(overstated(&w), Vec::<String>::new());
}

/// A controller that starts writes to each worker that waits why it waits. None of them counted as starting meanwhile.
#[tokio::test(start_paused = true)]
async fn workers_that_wait_are_not_ready_after_a_restart_of_the_controller() {
    let mut w = World::new();
    w.pool("p", json!({"min": 3, "max": 3, "command": ["wait", "no room"]})).await;
    w.until_pool("p", "starting", |p| p.status.as_ref().is_some_and(|s| s.starting == 3)).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(7)).await;
        w.restart().await;
    }
    w.patch_pool("p", json!({"spec": {"command": null}})).await;
    w.until_workers("up", |ws| ws.len() == 3 && ws.iter().all(is_up)).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 3)).await;
    assert_eq!(overstated(&w), Vec::<String>::new());
}
