//! What a pool says of workers that it cannot have: the API server refuses the write, or the workers that exist take no work.

use std::time::Duration;

use http::Method;
use kube::api::{DeleteParams, Patch, PatchParams};
use poolkeeper::api::ContainerPool;
use serde_json::json;

use crate::status::{changes, condition, says};
use crate::world::World;

const QUOTA: &str = "workers is forbidden: exceeded quota: small";
const POLICY: &str = "denied the request: no workers today";

/// Waits until a condition of pool `p` has this status and this reason, and returns its message.
async fn message(w: &World, type_: &str, status: &str, reason: &str) -> String {
    let is = |p: &ContainerPool| {
        let (s, r, _) = condition(p, type_);
        (&*s, &*r) == (status, reason)
    };
    condition(&w.until_pool("p", reason, is).await, type_).2
}

/// Sets whether a worker is cordoned.
async fn cordon(w: &World, worker: &str, cordoned: bool) {
    let patch = Patch::Merge(json!({"spec": {"cordoned": cordoned}}));
    w.workers().patch(worker, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_be_created_is_said_in_the_newest_words() {
    let w = World::new();
    w.refuse(Method::POST, Some(QUOTA));
    w.pool("p", json!({"min": 1, "max": 2})).await;
    w.dispatch("t", "p", json!({})).await;
    let text = format!("the API server refuses to create a Worker: {QUOTA}");
    assert_eq!(message(&w, "Ready", "False", "WriteRefused").await, format!("0 of at least 1 worker is up; {text}"));
    assert_eq!(message(&w, "Dispatching", "False", "WriteRefused").await, text);
    let reason = |d: &poolkeeper::api::Dispatch| d.status.as_ref().and_then(|s| s.reason.clone());
    let d = w.until_dispatch("t", "told", |d| reason(d).as_deref() == Some("WriteRefused")).await;
    assert_eq!(d.status.unwrap().message, Some(text));
    // Each retry is under way for a moment. Nothing else is said meanwhile.
    tokio::time::sleep(Duration::from_secs(300)).await;
    for type_ in ["Ready", "Dispatching"] {
        let all = changes(&w, type_);
        let first = all.iter().position(|(_, reason, _)| reason == "WriteRefused").unwrap();
        assert_eq!(all.len(), first + 1, "{all:?}");
    }
    w.refuse(Method::POST, Some(POLICY));
    let text = format!("the API server refuses to create a Worker: {POLICY}");
    w.until_pool("p", "has the newest words", |p| says(p, "Dispatching", "False", "WriteRefused", &text)).await;
    let text = format!("0 of at least 1 worker is up; {text}");
    w.until_pool("p", "has the newest words", |p| says(p, "Ready", "False", "WriteRefused", &text)).await;
    w.refuse(Method::POST, None);
    w.until_pool("p", "is ready", |p| says(p, "Ready", "True", "Available", "1 worker is up")).await;
    w.until_assigned("t").await;
    assert_eq!(message(&w, "Dispatching", "True", "QueueEmpty").await, "");
}

#[tokio::test(start_paused = true)]
async fn a_queue_behind_busy_workers_says_that_no_other_one_may_be_created() {
    let w = World::new();
    w.pool("p", json!({"max": 2})).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    w.refuse(Method::POST, Some(QUOTA));
    w.dispatch("u", "p", json!({})).await;
    let text = format!("1 busy of max 2; the API server refuses to create a Worker: {QUOTA}");
    w.until_pool("p", "says it", |p| says(p, "Dispatching", "True", "AllBusy", &text)).await;
    // Of a worker that the pool no longer wants nothing is said.
    w.patch_pool("p", json!({"spec": {"max": 1}})).await;
    let text = "all workers are busy: 1 busy of max 1 (raise spec.max for more)";
    w.until_pool("p", "says it", |p| says(p, "Dispatching", "True", "AllBusy", text)).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_worker_that_may_not_be_deleted_is_said_in_the_newest_words() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.until_pool("p", "is ready", |p| condition(p, "Ready").0 == "True").await;
    for words in [POLICY, "denied the request: not before noon"] {
        w.refuse(Method::DELETE, Some(words));
        w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
        let text = format!("0 of 1 updated; p-0 cannot be deleted: {words}");
        w.until_pool("p", "says it", |p| says(p, "Progressing", "False", "UpdateStalled", &text)).await;
    }
    tokio::time::sleep(Duration::from_secs(300)).await;
    let reasons: Vec<String> = changes(&w, "Progressing").into_iter().map(|(_, reason, _)| reason).collect();
    let first = reasons.iter().position(|r| r == "UpdateStalled").unwrap();
    assert!(reasons[first..].iter().all(|r| r == "UpdateStalled"), "each retry is under way for a moment: {reasons:?}");
    w.refuse(Method::DELETE, None);
    assert_eq!(message(&w, "Progressing", "False", "Steady").await, "");
    w.until_pool("p", "is ready", |p| says(p, "Ready", "True", "Available", "1 worker is up")).await;
}

/// A quota without room for the worker that an update creates first. The old one was removed all the same.
#[tokio::test(start_paused = true)]
async fn an_update_keeps_the_old_worker_while_the_new_one_may_not_be_created() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 2, "update": {"maxSurge": 1}})).await;
    w.until_pool("p", "is ready", |p| condition(p, "Ready").0 == "True").await;
    w.refuse(Method::POST, Some(QUOTA));
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    let text = format!("0 of 1 updated; the API server refuses to create a Worker: {QUOTA}");
    w.until_pool("p", "says it", |p| says(p, "Progressing", "True", "RollingUpdate", &text)).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let up = condition(&w.pools().get("p").await.unwrap(), "Ready");
    assert_eq!(up, ("True".to_owned(), "Available".to_owned(), "1 worker is up".to_owned()), "the old one stays");
    w.refuse(Method::POST, None);
    assert_eq!(message(&w, "Progressing", "False", "Steady").await, "");
}

/// The refusal was about a worker that is gone. The next one of its name does not wait for it, and is not said to be refused.
#[tokio::test(start_paused = true)]
async fn a_refused_deletion_is_over_with_its_worker() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.until_pool("p", "is ready", |p| condition(p, "Ready").0 == "True").await;
    w.refuse(Method::DELETE, Some(POLICY));
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    message(&w, "Progressing", "False", "UpdateStalled").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    w.workers().delete("p-0", &DeleteParams::default()).await.unwrap();
    let deleted = w.now();
    message(&w, "Progressing", "False", "Steady").await;
    assert!(w.now().duration_since(deleted).as_secs() < 15, "{} s", w.now().duration_since(deleted).as_secs());
    let ready = changes(&w, "Ready");
    assert!(ready.iter().all(|(_, reason, _)| reason != "WriteRefused"), "{ready:?}");
}

#[tokio::test(start_paused = true)]
async fn workers_that_take_no_work_are_named_with_their_reasons() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "max": 2})).await;
    w.until_pool("p", "is ready", |p| condition(p, "Ready").0 == "True").await;
    for worker in ["p-0", "p-1"] {
        cordon(&w, worker, true).await;
    }
    w.dispatch("t", "p", json!({})).await;
    let names = "p-0 (Cordoned), p-1 (Cordoned)";
    let text = format!("0 of at least 2 workers are up; {names}");
    w.until_pool("p", "says it", |p| says(p, "Ready", "False", "WorkersUnavailable", &text)).await;
    let text = format!("no worker can take work: {names}");
    assert_eq!(message(&w, "Dispatching", "False", "WorkersUnavailable").await, text);
    // A worker that is busy takes the next dispatch.
    cordon(&w, "p-0", false).await;
    w.until_assigned("t").await;
    w.dispatch("u", "p", json!({})).await;
    let text = "1 of at least 2 workers are up; p-1 (Cordoned)";
    w.until_pool("p", "says it", |p| says(p, "Ready", "False", "WorkersUnavailable", text)).await;
    assert!(message(&w, "Dispatching", "True", "AllBusy").await.starts_with("all workers are busy: 1 busy of max 2"));
    cordon(&w, "p-1", false).await;
    w.until_assigned("u").await;
    w.until_pool("p", "is ready", |p| says(p, "Ready", "True", "Available", "2 workers are up")).await;
}

/// It said that all workers are busy, next to `READY 1`.
#[tokio::test(start_paused = true)]
async fn idle_workers_on_a_credential_that_is_used_up_are_not_called_busy() {
    let w = World::new();
    let credentials = json!([{"name": "a", "env": "TOKEN", "fromEnv": "PATH", "maxConcurrent": 1}]);
    w.pool("p", json!({"credentials": credentials, "min": 2, "max": 2})).await;
    w.until_pool("p", "is ready", |p| condition(p, "Ready").0 == "True").await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    w.dispatch("u", "p", json!({})).await;
    let text = "the credentials of the idle workers have as many open attempts as maxConcurrent allows";
    w.until_pool("p", "says it", |p| says(p, "Dispatching", "True", "AllBusy", text)).await;
    let reason = |d: &poolkeeper::api::Dispatch| d.status.as_ref().and_then(|s| s.reason.clone());
    let d = w.until_dispatch("u", "told", |d| reason(d).as_deref() == Some("Busy")).await;
    assert_eq!(d.status.unwrap().message.as_deref(), Some(text));
    w.report("t", json!({"outcome": "Succeeded"})).await;
    w.until_assigned("u").await;
    assert_eq!(message(&w, "Dispatching", "True", "QueueEmpty").await, "");
}
