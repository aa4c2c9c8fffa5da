//! Credentials that are directories: how many workers have one.

use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{ContainerPool, Worker};
use serde_json::{Value, json};

use crate::world::{NS, World};

fn login(name: &str, path: &str) -> Value {
    json!({"name": name, "env": "CLAUDE_CONFIG_DIR", "directory": {"hostPath": path}})
}

fn limited(pool: &ContainerPool) -> Option<String> {
    let conditions = &pool.status.as_ref()?.conditions;
    let limited = conditions.iter().find(|c| c.type_ == "ScalingLimited" && c.status == "True")?;
    Some(format!("{}: {}", limited.reason, limited.message))
}

/// How many workers have each directory.
async fn directories(w: &World) -> Vec<String> {
    let mut all: Vec<String> =
        w.all_workers().await.into_iter().map(|worker| worker.spec.directory.unwrap_or_default().into()).collect();
    all.sort();
    all
}

#[tokio::test(start_paused = true)]
async fn one_worker_has_a_directory_in_all_pools_and_its_end_lets_another_have_it() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "max": 4, "credentials": [login("a", "/logins/a"), login("b", "/logins/b/")]})).await;
    w.until_workers("two", |ws| ws.len() == 2).await;
    // The same ones, by other ways.
    w.pool("q", json!({"min": 1, "credentials": [login("x", "/logins//a"), login("y", "/logins/b/claude")]})).await;
    let pool = w.until_pool("q", "limited", |p| limited(p).is_some()).await;
    let said = limited(&pool).unwrap();
    assert!(said.starts_with("DirectoryInUse: credential x: "), "{said}");
    assert!(said.contains(&format!("{NS}/p-")) && said.ends_with(" has the directory /logins/a"), "{said}");
    assert_eq!(directories(&w).await, ["/logins/a", "/logins/b"]);
    w.dispatch("t", "q", json!({})).await;
    w.patch_pool("p", json!({"spec": {"min": 0, "max": 1}})).await;
    w.until_assigned("t").await;
    assert_eq!(directories(&w).await.len(), 2);
    w.until_pool("q", "not limited", |p| limited(p).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn max_concurrent_is_how_many_workers_have_a_directory() {
    let w = World::new();
    let mut shared = login("a", "/logins/a");
    shared["maxConcurrent"] = json!(2);
    w.pool("p", json!({"min": 3, "credentials": [shared]})).await;
    w.until_workers("two", |ws| ws.len() == 2).await;
    w.until_pool("p", "limited", |p| limited(p).is_some()).await;
    assert_eq!(directories(&w).await.len(), 2);
}

/// The new worker and the old one would have the same directory, so none is created ahead.
#[tokio::test(start_paused = true)]
async fn an_update_removes_a_worker_before_it_creates_the_next() {
    let mut w = World::new();
    w.pool("p", json!({"min": 1, "max": 4, "update": {"maxSurge": 1, "maxUnavailable": 1}, "credentials": [login("a", "/logins/a")]}))
        .await;
    let ready =
        |ws: &[Worker]| ws.len() == 1 && ws[0].status.as_ref().is_some_and(|status| status.phase == WorkerPhase::Ready);
    let first = w.until_workers("up", |ws| ready(ws)).await[0].metadata.uid.clone();
    w.restart().await;
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    w.until_workers("replaced", |ws| {
        assert!(ws.len() <= 1, "two have the directory: {ws:#?}");
        ready(ws) && ws[0].metadata.uid != first
    })
    .await;
}
