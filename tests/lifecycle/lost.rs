//! Holders that do not know whether their task still runs.

use kube::api::{Patch, PatchParams};
use poolkeeper::api::dispatch::DispatchPhase;
use serde_json::json;

use crate::world::World;

/// The task may still run in the worker. So no other task may get it.
#[tokio::test(start_paused = true)]
async fn a_worker_whose_holder_lost_contact_serves_no_other_task() {
    let w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("t", "p", json!({"retry": {"failed": 3, "workerLost": 3}})).await;
    w.until_assigned("t").await;
    let uid = w.all_workers().await[0].metadata.uid.clone();
    w.dispatch("next", "p", json!({})).await;
    w.report("t", json!({"outcome": "Lost", "message": "the connection was cut"})).await;
    assert_eq!(w.until_final("t").await, DispatchPhase::Failed);
    let status = w.dispatches().get("t").await.unwrap().status.unwrap();
    assert_eq!((status.reason.as_deref(), status.attempt), (Some("Lost"), 1));
    assert_eq!(status.message.as_deref(), Some("attempt 1 on p-0 ended as Lost: the connection was cut"));
    w.until_assigned("next").await;
    let next = w.dispatches().get("next").await.unwrap().status.unwrap();
    assert_ne!(next.worker.map(|w| w.uid), uid, "the worker was replaced");
}

/// `trap 'report Lost' EXIT` after a report must not turn a success into another attempt.
#[tokio::test(start_paused = true)]
async fn lost_replaces_no_report() {
    let mut w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    w.stop_controller().await;
    let report = |outcome: &str| Patch::Merge(json!({"spec": {"result": {"attempt": 1, "outcome": outcome}}}));
    let patch = async |outcome| w.dispatches().patch("t", &PatchParams::default(), &report(outcome)).await;
    patch("Lost").await.unwrap();
    patch("Succeeded").await.unwrap();
    let refused = patch("Lost").await.unwrap_err().to_string();
    assert!(refused.contains("Lost cannot replace another outcome"), "{refused}");
    w.start_controller();
    assert_eq!(w.until_final("t").await, DispatchPhase::Succeeded);
}
