//! Ends that the holder did not report, and what must not follow from them.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use poolkeeper::api::dispatch::{DispatchPhase, Outcome};
use serde_json::json;

use crate::world::{NS, World, phase};

async fn ended(w: &World, name: &str) -> Outcome {
    w.until_final(name).await;
    w.dispatches().get(name).await.unwrap().status.unwrap().last_result.unwrap().outcome
}

#[tokio::test(start_paused = true)]
async fn an_attempt_runs_out_of_time_and_its_worker_goes() {
    let w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("t", "p", json!({"timeout": "2m", "retry": {"workerLost": 3, "failed": 3}})).await;
    w.until_assigned("t").await;
    let uid = w.all_workers().await[0].metadata.uid.clone();
    assert_eq!(ended(&w, "t").await, Outcome::TimedOut);
    w.until_workers("gone", |ws| ws.iter().all(|x| x.metadata.uid != uid)).await;
    let d = w.dispatches().get("t").await.unwrap().status.unwrap();
    assert_eq!(
        (d.phase, d.reason.as_deref(), d.attempt),
        (DispatchPhase::Failed, Some("TimedOut"), 1),
        "never retried"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_dispatch_ends_busy_or_waiting() {
    let w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("busy", "p", json!({})).await;
    w.until_assigned("busy").await;
    w.dispatch("waiting", "p", json!({})).await;
    let uid = w.all_workers().await[0].metadata.uid.clone();
    for name in ["waiting", "busy"] {
        w.dispatches()
            .patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": {"cancel": true}})))
            .await
            .unwrap();
        assert_eq!(w.until_final(name).await, DispatchPhase::Cancelled);
    }
    w.until_workers("gone", |ws| ws.iter().all(|x| x.metadata.uid != uid)).await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_vanishes_is_noticed_by_its_lease() {
    let w = World::new();
    let leases: Api<Lease> = Api::namespaced(w.client.clone(), NS);
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "boss"},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 20, "renewTime": "2023-11-14T22:13:20.000000Z"}});
    leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
    w.pool("p", json!({})).await;
    w.dispatch("t", "p", json!({"leaseName": "boss"})).await;
    w.until_assigned("t").await;
    for n in 0..12 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let at = format!("2023-11-14T22:14:{n:02}.000000Z");
        leases.patch("boss", &PatchParams::default(), &Patch::Merge(json!({"spec": {"renewTime": at}}))).await.unwrap();
        assert_eq!(phase(&w.dispatches().get("t").await.unwrap()), DispatchPhase::Assigned, "renewed {n} times");
    }
    assert_eq!(ended(&w, "t").await, Outcome::HolderLost);
}

/// `kubectl delete` of a busy worker waits for it; forcing it does not.
#[tokio::test(start_paused = true)]
async fn a_busy_worker_is_destroyed_only_by_force() {
    let w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("t", "p", json!({"retry": {"workerLost": 3}})).await;
    w.until_assigned("t").await;
    w.workers().delete("p-0", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(phase(&w.dispatches().get("t").await.unwrap()), DispatchPhase::Assigned);
    assert_eq!(w.fake.instances().len(), 1, "still running");
    let force = json!({"metadata": {"annotations": {"poolkeeper.dev/force-delete": "true"}}});
    w.workers().patch("p-0", &PatchParams::default(), &Patch::Merge(force)).await.unwrap();
    assert_eq!(ended(&w, "t").await, Outcome::Forced);
    w.until_workers("gone", <[_]>::is_empty).await;
    assert!(w.fake.instances().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_dispatch_frees_nothing_that_may_still_run() {
    let w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    let uid = w.all_workers().await[0].metadata.uid.clone();
    w.dispatches().delete("t", &DeleteParams::default()).await.unwrap();
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    let now = w.all_workers().await;
    assert_ne!(now[0].metadata.uid, uid, "its worker was replaced: the task may still run there");
    assert_eq!(now[0].metadata.name.as_deref(), Some("p-0"));
}

#[tokio::test(start_paused = true)]
async fn a_restart_loses_nothing() {
    let mut w = World::new();
    w.pool("p", json!({"max": 2})).await;
    for t in ["a", "b", "c"] {
        w.dispatch(t, "p", json!({})).await;
    }
    w.until_assigned("a").await;
    w.until_assigned("b").await;
    w.restart().await;
    w.report("a", json!({"outcome": "Succeeded"})).await;
    w.until_assigned("c").await;
    for t in ["b", "c"] {
        w.report(t, json!({"outcome": "Succeeded"})).await;
    }
    for t in ["a", "b", "c"] {
        assert_eq!(w.until_final(t).await, DispatchPhase::Succeeded);
    }
    assert_eq!(w.fake.instances().len(), 2, "the workers are the same");
}

/// A worker that dies while no controller runs: its attempt is lost after the restart.
#[tokio::test(start_paused = true)]
async fn a_worker_that_died_during_a_restart_is_found_dead() {
    let mut w = World::new();
    w.pool("p", json!({})).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    let key = w.fake.instances()[0].0.key.clone();
    w.fake.freeze_events("controller", true);
    w.fake.vanish(&key);
    w.fake.freeze_events("controller", false);
    w.restart().await;
    assert_eq!(ended(&w, "t").await, Outcome::WorkerLost);
}
