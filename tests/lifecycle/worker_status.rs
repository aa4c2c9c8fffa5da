//! What a Worker says of itself, beyond what the protocol needs.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, PostParams};
use poolkeeper::api::worker::{WorkerPhase, WorkerStatus};
use poolkeeper::api::{Worker, seconds};
use poolkeeper::local::{Change, Record};
use serde_json::{Value, json};

use crate::world::World;

fn status(w: &Worker) -> WorkerStatus {
    w.status.clone().unwrap_or_default()
}

/// Every version of a Worker's phase, in order, without repetitions; and whether it named a dispatch.
fn phases(w: &World, name: &str) -> Vec<String> {
    let records = w.api.history();
    let of_worker = |r: &&Record| r.resource.plural == "workers" && r.change != Change::Deleted;
    let is = |r: &&Record| r.object["metadata"]["name"] == name;
    let mut phases: Vec<String> =
        records.iter().filter(of_worker).filter(is).map(|r| r.object["status"]["phase"].to_string()).collect();
    phases.dedup();
    phases
}

/// Columns are paths in the stored object: a field that is filled in while it is decoded would not show.
#[tokio::test(start_paused = true)]
async fn a_worker_has_a_phase_from_its_first_version_to_its_last() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    w.workers().delete("p-0", &DeleteParams::default()).await.unwrap();
    let uid = w.all_workers().await[0].metadata.uid.clone();
    w.until_workers("replaced", |ws| {
        ws.len() == 1 && ws[0].metadata.uid != uid && status(&ws[0]).phase == WorkerPhase::Ready
    })
    .await;
    assert_eq!(phases(&w, "p-0"), ["\"Starting\"", "\"Ready\"", "\"Draining\"", "\"Starting\"", "\"Ready\""]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_worker_that_is_deleted_shows_both_and_what_it_waits_for() {
    let w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("greet", "p", json!({})).await;
    w.until_assigned("greet").await;
    w.workers().delete("p-0", &DeleteParams::default()).await.unwrap();
    let all = w.until_workers("draining", |ws| status(&ws[0]).phase == WorkerPhase::Draining).await;
    let shown = status(&all[0]);
    assert_eq!(shown.message.as_deref(), Some("deleted; waits for greet to end"));
    assert_eq!(shown.dispatch.unwrap().name, "greet");

    // Once, however long it lasts; and the dispatch does not notice.
    let then = w.api.history().len();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let of_workers = w.api.history()[then..].iter().filter(|r| r.resource.plural == "workers").count();
    assert_eq!(of_workers, 0);
    w.report("greet", json!({"outcome": "Succeeded"})).await;
    w.until_final("greet").await;
    w.until_workers("gone", <[Worker]>::is_empty).await;
    let last = w.api.history().iter().rfind(|r| r.resource.plural == "workers").unwrap().object.clone();
    assert_eq!((&last["status"]["phase"], &last["status"]["message"]), (&json!("Draining"), &Value::Null));
}

fn credential(name: &str) -> Value {
    // The fake fetches credentials as the others do: this variable is set everywhere.
    json!({"name": name, "env": "TOKEN", "fromEnv": "PATH"})
}

fn until(w: &Worker) -> Option<Timestamp> {
    status(w).rests_until.map(|t| t.0)
}

async fn worker(w: &World, name: &str) -> Worker {
    w.workers().get(name).await.unwrap()
}

/// Writes of Workers since then.
fn written(w: &World, from: usize) -> usize {
    w.api.history()[from..].iter().filter(|r| r.resource.plural == "workers").count()
}

/// Two pools, `one` with two workers and `two` with one, on the same credential; `t` is limited on `one`.
async fn limited(retry_after: &str) -> (World, Timestamp) {
    let w = World::new();
    for (name, workers) in [("one", 2), ("two", 1)] {
        let scope = json!({"scope": "Credential"});
        w.pool(name, json!({"min": workers, "max": workers, "rateLimit": scope, "credentials": [credential("a")]}))
            .await;
        w.until_pool(name, "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == workers)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    w.dispatch("t", "one", json!({})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "RateLimited", "retryAfter": retry_after})).await;
    w.until_final("t").await;
    let end = w.dispatches().get("t").await.unwrap().status.unwrap().last_result.unwrap().until.unwrap();
    (w, end.0)
}

#[tokio::test(start_paused = true)]
async fn every_worker_whose_credential_rests_says_until_when_in_whole_seconds() {
    let (w, end) = limited("40s").await;
    let all = w.until_workers("showing it", |ws| ws.iter().all(|w| until(w).is_some())).await;
    assert_eq!(all.len(), 3);
    for worker in &all {
        let shown = until(worker).unwrap();
        assert_eq!(shown.subsec_nanosecond(), 0);
        assert!(shown >= end && shown < end + Duration::from_secs(1), "{shown} is not {end}");
        assert_eq!(status(worker).phase, WorkerPhase::Ready);
    }
    let stored = w.api.history().iter().rfind(|r| r.object["metadata"]["name"] == "two-0").unwrap().object.clone();
    let column = stored["status"]["restsUntil"].as_str().unwrap();
    assert!(column.len() == "2026-01-01T00:00:00Z".len(), "{column}");
    // Its end costs no write, and the next dispatch removes it in the write that reserves.
    let then = w.api.history().len();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(written(&w, then), 0, "a time in the past says that it is over");
    w.dispatch("u", "two", json!({})).await;
    w.until_assigned("u").await;
    assert_eq!((written(&w, then), until(&worker(&w, "two-0").await)), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_cleared_or_grows_is_shown_so() {
    let (w, end) = limited("40s").await;
    w.until_workers("showing it", |ws| ws.iter().all(|w| until(w).is_some())).await;
    w.annotate("two", "cooldown.poolkeeper.dev/a", "2m").await;
    w.until_workers("showing a later end", |ws| {
        ws.iter().all(|w| until(w).is_some_and(|t| t > end + Duration::from_secs(60)))
    })
    .await;
    w.annotate("two", "cooldown.poolkeeper.dev/a", "clear").await;
    w.until_workers("showing none", |ws| ws.iter().all(|w| until(w).is_none())).await;
}

/// Until it is probed, no worker of a refused credential can take work. A pool that does not probe has no time to show.
#[tokio::test(start_paused = true)]
async fn every_worker_whose_credential_was_refused_shows_when_it_is_probed() {
    let w = World::new();
    for (name, probe) in [("one", "20m"), ("two", "30m"), ("never", "0s")] {
        let rest = json!({"scope": "Credential", "parkProbe": probe});
        w.pool(name, json!({"min": 1, "max": 1, "rateLimit": rest, "credentials": [credential("a")]})).await;
        w.until_pool(name, "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    }
    w.dispatch("t", "one", json!({})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "Unauthorized", "message": "401"})).await;
    w.until_final("t").await;
    let probed = |ws: &[Worker]| {
        let shown = |pool: &str| until(ws.iter().find(|w| w.spec.pool == pool).unwrap());
        (shown("one"), shown("two"), shown("never"))
    };
    let all = w.until_workers("showing it", |ws| probed(ws).0.is_some() && probed(ws).1.is_some()).await;
    let rest = w.pools().get("one").await.unwrap().status.unwrap().rate_limits.remove(0);
    let end = seconds(rest.until.unwrap().0).0;
    assert!(rest.parked);
    assert_eq!(probed(&all), (Some(end), Some(end), None));
    assert!(all.iter().all(|w| status(w).phase == WorkerPhase::Ready));
    w.annotate("one", "cooldown.poolkeeper.dev/a", "clear").await;
    w.until_workers("showing none", |ws| ws.iter().all(|w| until(w).is_none())).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_rest_costs_idle_workers_no_write() {
    let w = limited("5s").await.0;
    let then = w.api.history().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(written(&w, then) <= 1, "the one that was limited is freed");
    assert_eq!(until(&worker(&w, "two-0").await), None);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_rests_says_until_when() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1, "cooldown": "1m"})).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "RateLimited"})).await;
    let all = w.until_workers("resting", |ws| until(&ws[0]).is_some()).await;
    let (shown, end) = (until(&all[0]).unwrap(), status(&all[0]).cooldown.unwrap().until.unwrap().0);
    assert!(shown >= end && shown < end + Duration::from_secs(1), "{shown} is not {end}");
    w.annotate("p", "cooldown.poolkeeper.dev/p-0", "clear").await;
    w.until_workers("cleared", |ws| until(&ws[0]).is_none()).await;
}

/// A program that sets a Worker's status by hand cannot keep a worker from work: nothing is decided by what is shown.
#[tokio::test(start_paused = true)]
async fn what_is_shown_decides_nothing() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    let mut worker = worker(&w, "p-0").await;
    worker.status.as_mut().unwrap().rests_until = Some(Box::new(seconds(w.now() + Duration::from_secs(3600))));
    w.workers().replace_status("p-0", &PostParams::default(), &worker).await.unwrap();
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
}
