//! Holders that do not know whether their task still runs.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams, PostParams};
use poolkeeper::api::Dispatch;
use poolkeeper::api::dispatch::{DispatchPhase, DispatchStatus, Outcome};
use serde_json::json;

use crate::world::{NS, World};

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

async fn status_of(w: &World, name: &str) -> DispatchStatus {
    w.dispatches().get(name).await.unwrap().status.unwrap()
}

/// The next attempt begins once the worker of the lost one is gone, and not before.
#[tokio::test(start_paused = true)]
async fn another_attempt_follows_once_the_worker_is_gone() {
    let w = World::new();
    w.pool("p", json!({"max": 2, "min": 2})).await;
    w.dispatch("t", "p", json!({"retry": {"lost": 1}})).await;
    w.until_assigned("t").await;
    let first = status_of(&w, "t").await.worker.unwrap();
    w.fake.set_stop_time(Duration::from_secs(900)..Duration::from_secs(901));
    w.report("t", json!({"outcome": "Lost", "message": "the connection was cut"})).await;
    let waits = w.until_dispatch("t", "says why it waits", |d| reason(d) == Some("LostWorkerRemains")).await;
    let status = waits.status.unwrap();
    assert_eq!((status.phase, status.attempt), (DispatchPhase::Pending, 1));
    assert_eq!(status.message.unwrap(), format!("attempt 1 was Lost on {}, which still exists", first.name));
    let pool = w.until_pool("p", "counts it", |p| p.status.as_ref().is_some_and(|s| s.delayed == 1)).await;
    assert_eq!(pool.status.unwrap().queued, 0, "it needs no worker yet");
    // Another task passes it meanwhile.
    w.dispatch("other", "p", json!({})).await;
    w.until_assigned("other").await;
    w.report("other", json!({"outcome": "Succeeded"})).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(status_of(&w, "t").await.attempt, 1, "its task may still run");
    let again = w.until_dispatch("t", "assigned again", |d| d.status.as_ref().is_some_and(|s| s.attempt == 2)).await;
    let status = again.status.unwrap();
    assert_ne!(status.worker.unwrap().uid, first.uid);
    assert_eq!(status.retries.unwrap().lost, 1);
    w.report("t", json!({"outcome": "Lost"})).await;
    assert_eq!(w.until_final("t").await, DispatchPhase::Failed, "no retry is left");
    w.until_pool("p", "counts none", |p| p.status.as_ref().is_some_and(|s| s.delayed == 0)).await;
}

/// A holder that stops renewing its Lease, and comes back.
#[tokio::test(start_paused = true)]
async fn the_next_attempt_waits_for_the_holder() {
    let w = World::new();
    let lease = Renewed::new(&w, "boss").await;
    w.pool("p", json!({"max": 1, "min": 1})).await;
    w.dispatch("t", "p", json!({"leaseName": "boss", "retry": {"lost": -1}})).await;
    w.until_assigned("t").await;
    let waits = w.until_dispatch("t", "says why it waits", |d| reason(d) == Some("LeaseNotRenewed")).await;
    let status = waits.status.unwrap();
    let last = status.last_result.unwrap();
    assert_eq!((last.outcome, last.message.as_deref()), (Outcome::Lost, Some("Lease boss was not renewed")));
    assert_eq!(status.message.as_deref(), Some("attempt 1 was Lost, and Lease boss was not renewed since"));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(status_of(&w, "t").await.attempt, 1, "its holder may be dead");
    w.until_workers("warm again", |all| all.len() == 1).await;
    lease.renew().await;
    w.until_dispatch("t", "assigned again", |d| d.status.as_ref().is_some_and(|s| s.attempt == 2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_does_not_come_back_is_given_up() {
    let w = World::new();
    let _lease = Renewed::new(&w, "boss").await;
    w.pool("p", json!({"max": 1, "min": 1})).await;
    w.dispatch("t", "p", json!({"leaseName": "boss", "retry": {"lost": -1}})).await;
    w.until_assigned("t").await;
    let begun = w.now();
    assert_eq!(w.until_final("t").await, DispatchPhase::Failed);
    let status = status_of(&w, "t").await;
    assert_eq!((status.reason.as_deref(), status.attempt), (Some("Lost"), 1), "it cost one worker");
    assert_eq!(status.message.as_deref(), Some("attempt 1 was Lost, and Lease boss was not renewed since"));
    let took = status.finished_at.unwrap().0.duration_since(begun);
    assert!(took >= SignedDuration::from_mins(10), "{took}");
}

/// A Lease that is renewed when that is said.
struct Renewed(Api<Lease>, &'static str);

impl Renewed {
    async fn new(w: &World, name: &'static str) -> Self {
        let leases: Api<Lease> = Api::namespaced(w.client.clone(), NS);
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
            "spec": {"holderIdentity": "me", "leaseDurationSeconds": 20, "renewTime": "2023-11-14T22:13:20.000000Z"}});
        leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
        Self(leases, name)
    }

    async fn renew(&self) {
        let renewal = json!({"spec": {"renewTime": "2023-11-14T23:13:20.000000Z"}});
        self.0.patch(self.1, &PatchParams::default(), &Patch::Merge(renewal)).await.unwrap();
    }
}

fn reason(d: &Dispatch) -> Option<&str> {
    d.status.as_ref()?.reason.as_deref()
}
