//! A node that is cordoned: idle workers leave it, busy ones finish and take nothing more.

use std::time::Duration;

use poolkeeper::api::Worker;
use poolkeeper::runtime::InstanceKey;
use serde_json::json;

use crate::world::{NS, World};

fn key(w: &Worker) -> InstanceKey {
    let (worker, uid) = (w.metadata.name.clone().unwrap(), w.metadata.uid.clone().unwrap());
    InstanceKey { namespace: NS.to_owned(), worker, uid }
}

fn is_ready(w: &Worker) -> bool {
    w.metadata.deletion_timestamp.is_none()
        && w.status.as_ref().is_some_and(|s| s.phase == poolkeeper::api::worker::WorkerPhase::Ready)
}

async fn one(w: &World) -> Worker {
    w.until_workers("ready", |ws| ws.len() == 1 && is_ready(&ws[0])).await.remove(0)
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_leaves_a_cordoned_node_at_once_also_in_a_paused_pool() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 2})).await;
    let old = one(&w).await;
    assert!(w.fake.cordon(&key(&old), true));
    let new = w.until_workers("replaced", |ws| ws.len() == 1 && is_ready(&ws[0]) && key(&ws[0]) != key(&old)).await;
    w.patch_pool("p", json!({"spec": {"paused": true}})).await;
    w.until_pool("p", "paused", |p| p.status.as_ref().is_some_and(|s| s.observed_generation == p.metadata.generation))
        .await;
    assert!(w.fake.cordon(&key(&new[0]), true));
    w.until_workers("gone", <[Worker]>::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_worker_on_a_cordoned_node_finishes_and_takes_no_other_dispatch() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    let old = one(&w).await;
    w.dispatch("a", "p", json!({})).await;
    w.dispatch("b", "p", json!({})).await;
    w.until_assigned("a").await;
    assert!(w.fake.cordon(&key(&old), true));
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    assert_eq!(w.all_workers().await.len(), 1, "its attempt goes on");
    w.report("a", json!({"outcome": "Succeeded"})).await;
    w.until_assigned("b").await;
    let on = w.dispatches().get("b").await.unwrap().status.unwrap().worker.unwrap();
    assert_ne!(Some(on.uid), old.metadata.uid, "the next goes elsewhere");
}

#[tokio::test(start_paused = true)]
async fn a_resting_worker_keeps_its_rest_on_a_cordoned_node() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    let old = one(&w).await;
    w.dispatch("a", "p", json!({})).await;
    w.until_assigned("a").await;
    w.report("a", json!({"outcome": "RateLimited", "retryAfter": "20m"})).await;
    w.until_final("a").await;
    assert!(w.fake.cordon(&key(&old), true));
    tokio::time::sleep(Duration::from_secs(19 * 60)).await;
    assert_eq!(key(&w.all_workers().await[0]), key(&old), "a new one would not be rested");
    w.until_workers("replaced", |ws| ws.len() == 1 && is_ready(&ws[0]) && key(&ws[0]) != key(&old)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_uncordoned_in_time_keeps_its_busy_worker() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    let old = one(&w).await;
    w.dispatch("a", "p", json!({})).await;
    w.dispatch("b", "p", json!({})).await;
    w.until_assigned("a").await;
    assert!(w.fake.cordon(&key(&old), true));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(w.fake.cordon(&key(&old), false));
    tokio::time::sleep(Duration::from_secs(1)).await;
    w.report("a", json!({"outcome": "Succeeded"})).await;
    w.until_assigned("b").await;
    let on = w.dispatches().get("b").await.unwrap().status.unwrap().worker.unwrap();
    assert_eq!(Some(on.uid), old.metadata.uid);
}
