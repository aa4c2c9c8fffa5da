//! Pauses of workers that rest (`rateLimit.pause`).

use std::time::Duration;

use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::runtime::{InstanceKey, InstanceState, LOCAL_HOST};
use serde_json::{Value, json};

use crate::world::{World, phase};
use poolkeeper_testkit::fake::What;

fn spec(more: Value) -> Value {
    let mut spec = json!({"min": 1, "max": 1, "cooldown": "60s", "rateLimit": {"pause": true}});
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    spec
}

/// Waits until all instances are in this state.
async fn until_all(w: &World, wanted: &InstanceState) {
    for _ in 0..100_000 {
        let all = w.fake.instances();
        if !all.is_empty() && all.iter().all(|(i, _)| i.state == *wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("they are {:?}", w.fake.instances());
}

/// What was paused (true) and unpaused, in order.
fn pauses(w: &World) -> Vec<bool> {
    let of = |what: What| if let What::PauseSet { paused, .. } = what { Some(paused) } else { None };
    w.fake.events().into_iter().filter_map(|e| of(e.what)).collect()
}

/// A dispatch on the pool that meets a rate limit, and is retried after it.
async fn limited(w: &World) -> InstanceKey {
    w.dispatch("t", "p", json!({"retry": {"rateLimited": -1}})).await;
    w.until_assigned("t").await;
    let key = w.fake.instances()[0].0.key.clone();
    w.report("t", json!({"outcome": "RateLimited"})).await;
    until_all(w, &InstanceState::Paused).await;
    key
}

/// Waits for the second attempt, which begins in an instance that is not paused.
async fn tried_again(w: &World) {
    let again = |d: &poolkeeper::api::Dispatch| {
        phase(d) == DispatchPhase::Assigned && d.status.as_ref().is_some_and(|s| s.attempt == 2)
    };
    let d = w.until_dispatch("t", "again", again).await;
    let id = d.status.unwrap().target.unwrap().id;
    w.fake.begin_task(&id, "t", 2).expect("the instance is paused");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_rests_is_paused_until_the_next_attempt() {
    let w = World::new();
    w.pool("p", spec(json!({}))).await;
    limited(&w).await;
    let pool = w.pools().get("p").await.unwrap().status.unwrap();
    assert_eq!(pool.unavailable, 0, "it rests: {pool:?}");
    tried_again(&w).await;
    assert_eq!(pauses(&w), [true, false]);
}

/// Nothing waits for it: it goes on all the same.
#[tokio::test(start_paused = true)]
async fn a_worker_goes_on_when_its_rest_is_over_or_cleared() {
    let w = World::new();
    w.pool("p", spec(json!({}))).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    w.annotate("p", "cooldown.poolkeeper.dev/p-0", "1m").await;
    until_all(&w, &InstanceState::Paused).await;
    until_all(&w, &InstanceState::Running).await;
    w.annotate("p", "cooldown.poolkeeper.dev/p-0", "1h").await;
    until_all(&w, &InstanceState::Paused).await;
    let before = w.now();
    w.annotate("p", "cooldown.poolkeeper.dev/p-0", "clear").await;
    until_all(&w, &InstanceState::Running).await;
    assert!(w.now().duration_since(before).as_secs() < 60);
    assert_eq!(pauses(&w), [true, false, true, false]);
}

/// A pool that does not ask for it pauses nothing; and a change of mind holds for workers that rest now.
#[tokio::test(start_paused = true)]
async fn the_pool_decides_now() {
    let w = World::new();
    w.pool("p", spec(json!({"rateLimit": {}}))).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    w.annotate("p", "cooldown.poolkeeper.dev/p-0", "10m").await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(pauses(&w), Vec::<bool>::new());
    w.patch_pool("p", json!({"spec": {"rateLimit": {"pause": true}}})).await;
    until_all(&w, &InstanceState::Paused).await;
    w.patch_pool("p", json!({"spec": {"rateLimit": {"pause": false}}})).await;
    until_all(&w, &InstanceState::Running).await;
}

/// The rest of a credential is that of all its workers.
#[tokio::test(start_paused = true)]
async fn workers_of_a_credential_that_rests_are_paused() {
    for outcome in ["RateLimited", "Unauthorized"] {
        let w = World::new();
        let credentials = json!([{"name": "a", "env": "TOKEN", "fromEnv": "PATH"}]);
        let limit = json!({"pause": true, "scope": "Credential", "parkProbe": "0s"});
        w.pool("p", spec(json!({"min": 2, "max": 2, "credentials": credentials, "rateLimit": limit}))).await;
        w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 2)).await;
        w.dispatch("t", "p", json!({})).await;
        w.until_assigned("t").await;
        w.report("t", json!({"outcome": outcome})).await;
        until_all(&w, &InstanceState::Paused).await;
        if outcome == "Unauthorized" {
            w.annotate("p", "cooldown.poolkeeper.dev/a", "clear").await;
        }
        until_all(&w, &InstanceState::Running).await;
        w.dispatch("u", "p", json!({})).await;
        w.until_assigned("u").await;
    }
}

/// A controller finds what another left: the host shows what is paused.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_controller_paused_goes_on() {
    let mut w = World::new();
    w.pool("p", spec(json!({}))).await;
    limited(&w).await;
    w.stop_controller().await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    w.start_controller();
    tried_again(&w).await;
    assert_eq!(pauses(&w), [true, false]);
}

/// An order of a controller that is dead may arrive late, and a person may type `docker pause`: the task goes on.
#[tokio::test(start_paused = true)]
async fn a_pause_that_nobody_asked_for_is_undone() {
    let w = World::new();
    w.pool("p", spec(json!({"rateLimit": {}}))).await;
    w.dispatch("t", "p", json!({})).await;
    let id = w.until_assigned("t").await;
    let key = w.fake.instances()[0].0.key.clone();
    w.fake.pause(&key, true);
    until_all(&w, &InstanceState::Running).await;
    assert!(!id.is_empty());
    w.report("t", json!({"outcome": "Succeeded"})).await;
    w.until_final("t").await;
    w.fake.pause(&key, true);
    until_all(&w, &InstanceState::Running).await;
    assert_eq!(pauses(&w), [true, false, true, false]);
}

/// A person who looks into it has until the next check.
#[tokio::test(start_paused = true)]
async fn a_worker_that_is_let_go_on_by_hand_is_not_paused_at_once() {
    let w = World::new();
    w.pool("p", spec(json!({"cooldown": "1h"}))).await;
    let key = limited(&w).await;
    w.fake.pause(&key, false);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(pauses(&w), [true, false]);
    until_all(&w, &InstanceState::Paused).await;
}

/// A pause is only worth something; an end of one is needed.
#[tokio::test(start_paused = true)]
async fn a_pause_that_is_refused_is_tried_later_and_costs_nothing() {
    let w = World::new();
    w.pool("p", spec(json!({"cooldown": "10m"}))).await;
    w.fake.refuse_next_pause();
    limited(&w).await;
    let pool = w.pools().get("p").await.unwrap().status.unwrap();
    assert_eq!((pool.workers, pool.unavailable), (1, 0));
    tried_again(&w).await;
    let stopped = w.fake.events().into_iter().any(|e| matches!(e.what, What::Stopped { .. }));
    assert!(!stopped, "the worker was replaced");
}

/// Its task never began, so it runs on another one.
#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_go_on_is_replaced() {
    let w = World::new();
    w.pool("p", spec(json!({}))).await;
    let first = limited(&w).await;
    w.fake.refuse_to_go_on(true);
    let gone = |d: &poolkeeper::api::Dispatch| {
        let s = d.status.clone().unwrap_or_default();
        phase(d) == DispatchPhase::Assigned && s.worker.is_some_and(|worker| worker.uid != first.uid)
    };
    let d = w.until_dispatch("t", "on another worker", gone).await;
    let id = d.status.unwrap().target.unwrap().id;
    w.fake.begin_task(&id, "t", 3).unwrap();
}

/// A paused worker is healthy, is removed as any other, and is not asked for while its host is away.
#[tokio::test(start_paused = true)]
async fn a_paused_worker_passes_its_checks_and_can_be_removed() {
    let w = World::new();
    w.pool("p", spec(json!({"cooldown": "1h", "health": {"interval": "10s"}}))).await;
    let key = limited(&w).await;
    w.fake.make_host_unreachable(LOCAL_HOST);
    tokio::time::sleep(Duration::from_mins(5)).await;
    w.fake.make_host_reachable(LOCAL_HOST);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(w.fake.instances()[0].0.key, key);
    assert_eq!(pauses(&w), [true]);
    w.workers().delete("p-0", &kube::api::DeleteParams::default()).await.unwrap();
    w.until_workers("another one", |ws| ws.len() == 1 && ws[0].metadata.uid.as_deref() != Some(&key.uid)).await;
}
