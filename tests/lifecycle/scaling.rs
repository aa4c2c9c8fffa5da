//! How many workers there are.

use std::time::Duration;

use poolkeeper::api::worker::WorkerPhase;
use serde_json::json;

use crate::world::World;

fn is_ready(w: &poolkeeper::api::Worker) -> bool {
    w.status.as_ref().is_some_and(|s| s.phase == WorkerPhase::Ready)
}

fn is_going(w: &poolkeeper::api::Worker) -> bool {
    w.metadata.deletion_timestamp.is_some()
}

#[tokio::test(start_paused = true)]
async fn min_and_warm_and_max_hold() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "warm": 2, "max": 4, "idleTimeout": "1m"})).await;
    w.until_workers("warm", |ws| ws.len() == 2 && ws.iter().all(is_ready)).await;
    for t in ["a", "b", "c", "d", "e"] {
        w.dispatch(t, "p", json!({})).await;
    }
    w.until_workers("at max", |ws| ws.len() == 4).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(w.all_workers().await.len(), 4);
    for t in ["a", "b", "c", "d", "e"] {
        w.until_assigned(t).await;
        w.report(t, json!({"outcome": "Succeeded"})).await;
        w.until_final(t).await;
    }
    w.until_workers("back to warm", |ws| ws.len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_lowered_max_lets_idle_surplus_go_at_once_and_busy_when_done() {
    let w = World::new();
    w.pool("p", json!({"min": 3, "max": 3})).await;
    w.until_workers("ready", |ws| ws.len() == 3 && ws.iter().all(is_ready)).await;
    w.dispatch("a", "p", json!({})).await;
    w.dispatch("b", "p", json!({})).await;
    w.until_assigned("a").await;
    w.until_assigned("b").await;
    w.patch_pool("p", json!({"spec": {"min": 0, "max": 1}})).await;
    w.until_workers("idle gone", |ws| ws.len() == 2).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    w.dispatch("c", "p", json!({})).await;
    w.report("a", json!({"outcome": "Succeeded"})).await;
    w.until_workers("surplus gone", |ws| ws.len() == 1).await;
    w.report("b", json!({"outcome": "Succeeded"})).await;
    w.until_assigned("c").await;
    assert_eq!(w.all_workers().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_counts_partition_the_workers() {
    let w = World::new();
    w.pool("p", json!({"min": 3, "max": 3})).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 3)).await;
    w.dispatch("a", "p", json!({})).await;
    w.until_assigned("a").await;
    w.annotate("p", "cooldown.poolkeeper.dev/p-1", "10m").await;
    let p = w.until_pool("p", "mixed", |p| {
        let s = p.status.clone().unwrap();
        (s.ready, s.busy, s.resting) == (1, 1, 1)
    });
    let s = p.await.status.unwrap();
    assert_eq!(s.workers, s.ready + s.busy + s.resting + s.starting + s.unavailable);
    assert_eq!(s.updated, 3);
}

/// Working ones stay, starting ones are removed.
#[tokio::test(start_paused = true)]
async fn a_lowered_max_lets_go_first_who_is_not_there_yet() {
    let w = World::new();
    w.pool("p", json!({"min": 4, "max": 8, "health": {"startTimeout": "2h"}})).await;
    let ready = w.until_workers("ready", |ws| ws.len() == 4 && ws.iter().all(is_ready)).await;
    w.fake.set_start_time(Duration::from_secs(3600)..Duration::from_secs(3601));
    w.patch_pool("p", json!({"spec": {"min": 8}})).await;
    w.until_workers("starting", |ws| ws.len() == 8).await;
    w.patch_pool("p", json!({"spec": {"min": 4, "max": 4}})).await;
    // An instance that is being made is gone when it was made.
    let all = w.until_workers("at max", |ws| ws.iter().filter(|w| !is_going(w)).count() == 4).await;
    let left = all.iter().filter(|w| !is_going(w)).map(|w| &w.metadata.uid);
    assert!(left.eq(ready.iter().map(|w| &w.metadata.uid)), "{all:#?}");
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
}

/// A worker that is no longer needed does not wait for room for ever.
#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_come_leaves_when_it_is_no_longer_wanted() {
    let w = World::new();
    w.fake.set_start_time(Duration::from_secs(36_000)..Duration::from_secs(36_001));
    w.pool("p", json!({"health": {"startTimeout": "20h"}, "idleTimeout": "10m"})).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_workers("starting", |ws| ws.len() == 1).await;
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!(w.all_workers().await.len(), 1, "it is wanted");
    let cancel = json!({"spec": {"cancel": true}});
    let params = kube::api::PatchParams::default();
    w.dispatches().patch("t", &params, &kube::api::Patch::Merge(cancel)).await.unwrap();
    w.until_workers("removed", |ws| ws.iter().all(is_going)).await;
}
