//! From a request to a freed worker.

use poolkeeper::api::dispatch::{DispatchPhase, Outcome};
use poolkeeper::api::worker::WorkerPhase;
use serde_json::json;

use crate::world::{World, phase};

#[tokio::test(start_paused = true)]
async fn a_dispatch_gets_a_worker_and_frees_it() {
    let w = World::new();
    w.pool("agents", json!({"max": 3})).await;
    w.dispatch("t1", "agents", json!({})).await;
    assert_eq!(w.until_assigned("t1").await, "agents-0");
    let busy = w.workers().get("agents-0").await.unwrap().status.unwrap();
    assert_eq!((busy.phase, busy.dispatch.unwrap().name), (WorkerPhase::Busy, "t1".to_owned()));
    w.report("t1", json!({"outcome": "Succeeded"})).await;
    assert_eq!(w.until_final("t1").await, DispatchPhase::Succeeded);
    let freed = w.until_workers("freed", |ws| ws.iter().all(|w| w.status.clone().unwrap().dispatch.is_none())).await;
    assert_eq!(freed.len(), 1);
    assert_eq!(freed[0].status.clone().unwrap().phase, WorkerPhase::Ready);
}

#[tokio::test(start_paused = true)]
async fn the_annotation_door_makes_a_dispatch_and_reports() {
    let w = World::new();
    w.pool("agents", json!({})).await;
    w.annotate("agents", "dispatch.poolkeeper.dev/task-42", "").await;
    w.until_assigned("task-42").await;
    let p = w
        .until_pool("agents", "clean", |p| {
            p.metadata.annotations.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
        })
        .await;
    assert_eq!(p.metadata.name.as_deref(), Some("agents"));
    w.annotate("agents", "result.poolkeeper.dev/task-42", "1 Succeeded").await;
    assert_eq!(w.until_final("task-42").await, DispatchPhase::Succeeded);
    w.until_pool("agents", "clean", |p| {
        p.metadata.annotations.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_limited_worker_rests_and_the_next_dispatch_goes_elsewhere() {
    let w = World::new();
    w.pool("agents", json!({"min": 2, "cooldown": "5m"})).await;
    w.until_workers("ready", |ws| {
        ws.len() == 2 && ws.iter().all(|w| w.status.clone().unwrap_or_default().phase == WorkerPhase::Ready)
    })
    .await;
    w.dispatch("t1", "agents", json!({"retry": {"rateLimited": 1}})).await;
    assert_eq!(w.until_assigned("t1").await, "agents-0");
    let before = w.now();
    w.report("t1", json!({"outcome": "RateLimited", "retryAfter": "90s"})).await;
    let again = w
        .until_dispatch("t1", "retried", |d| {
            d.status.clone().unwrap().attempt == 2 && phase(d) == DispatchPhase::Assigned
        })
        .await;
    let status = again.status.unwrap();
    assert_eq!(status.worker.unwrap().name, "agents-1");
    let last = status.last_result.unwrap();
    assert_eq!(last.outcome, Outcome::RateLimited);
    let until = last.until.unwrap().0;
    assert!(until >= before + jiff::SignedDuration::from_secs(90), "the server's word wins: {until}");
    let rested = w.workers().get("agents-0").await.unwrap().status.unwrap().cooldown.unwrap();
    assert_eq!(rested.until.unwrap().0, until);
    w.report("t1", json!({"outcome": "Succeeded"})).await;
    w.until_final("t1").await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_worker_is_replaced_and_its_attempt_is_lost() {
    let w = World::new();
    w.pool("agents", json!({"health": {"interval": "1h"}})).await;
    w.dispatch("t1", "agents", json!({"retry": {"workerLost": 1}})).await;
    w.until_assigned("t1").await;
    let (instance, _) = w.fake.instances().remove(0);
    w.fake.kill(&instance.key);
    let d = w
        .until_dispatch("t1", "retried", |d| {
            d.status.clone().unwrap().attempt == 2 && phase(d) == DispatchPhase::Assigned
        })
        .await;
    let status = d.status.unwrap();
    assert_eq!(status.last_result.unwrap().outcome, Outcome::WorkerLost);
    assert_ne!(status.worker.unwrap().uid, instance.key.uid);
}

#[tokio::test(start_paused = true)]
async fn idle_workers_leave_and_a_deleted_pool_leaves_nothing() {
    let w = World::new();
    w.pool("agents", json!({"min": 1, "idleTimeout": "10m"})).await;
    for t in ["a", "b", "c"] {
        w.dispatch(t, "agents", json!({})).await;
    }
    for t in ["a", "b", "c"] {
        w.until_assigned(t).await;
    }
    for t in ["a", "b", "c"] {
        w.report(t, json!({"outcome": "Succeeded"})).await;
        w.until_final(t).await;
    }
    w.until_workers("down to min", |ws| ws.len() == 1).await;
    w.dispatch("d", "agents", json!({})).await;
    w.until_assigned("d").await;
    w.pools().delete("agents", &kube::api::DeleteParams::default()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(phase(&w.dispatches().get("d").await.unwrap()), DispatchPhase::Assigned, "what is busy finishes");
    w.report("d", json!({"outcome": "Succeeded"})).await;
    w.until_workers("gone", <[_]>::is_empty).await;
    while w.pools().get_opt("agents").await.unwrap().is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(w.fake.instances().is_empty());
}
