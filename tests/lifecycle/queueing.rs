//! Which dispatch is first, and which does not wait.

use std::time::Duration;

use poolkeeper::api::dispatch::DispatchPhase;
use serde_json::json;

use crate::world::{World, phase};

#[tokio::test(start_paused = true)]
async fn priority_then_creation() {
    let w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("hold", "p", json!({})).await;
    w.until_assigned("hold").await;
    for (name, priority) in [("a", 0), ("b", 0), ("c", 5), ("d", -1)] {
        w.dispatch(name, "p", json!({"priority": priority})).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let mut last = "hold";
    for next in ["c", "a", "b", "d"] {
        w.report(last, json!({"outcome": "Succeeded"})).await;
        w.until_assigned(next).await;
        last = next;
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_rested_worker_is_chosen() {
    let w = World::new();
    w.pool("p", json!({"min": 3, "max": 3})).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 3)).await;
    let mut order = Vec::new();
    for n in 0..6 {
        let name = format!("t{n}");
        w.dispatch(&name, "p", json!({})).await;
        order.push(w.until_assigned(&name).await);
        w.report(&name, json!({"outcome": "Succeeded"})).await;
        w.until_final(&name).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(order, ["p-0", "p-1", "p-2", "p-0", "p-1", "p-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_a_queue_timeout_expires() {
    let w = World::new();
    w.pool("p", json!({"max": 1, "dispatch": {"queueLimit": 2, "queueTimeout": "5m"}})).await;
    w.dispatch("hold", "p", json!({})).await;
    w.until_assigned("hold").await;
    for name in ["a", "b", "c"] {
        w.dispatch(name, "p", json!({})).await;
    }
    assert_eq!(w.until_final("c").await, DispatchPhase::Failed);
    assert_eq!(w.dispatches().get("c").await.unwrap().status.unwrap().reason.as_deref(), Some("QueueFull"));
    assert_eq!(w.until_final("a").await, DispatchPhase::Expired);
    assert_eq!(w.until_final("b").await, DispatchPhase::Expired);
    assert_eq!(phase(&w.dispatches().get("hold").await.unwrap()), DispatchPhase::Assigned);
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_refuses_nobody_who_waits_also_after_a_restart() {
    let mut w = World::new();
    w.pool("p", json!({"max": 1, "dispatch": {"queueLimit": 3}})).await;
    w.dispatch("hold", "p", json!({})).await;
    w.until_assigned("hold").await;
    for name in ["a", "b", "c"] {
        w.dispatch(name, "p", json!({})).await;
    }
    w.until_pool("p", "counted", |p| p.status.as_ref().is_some_and(|s| s.queued == 3)).await;
    w.patch_pool("p", json!({"spec": {"dispatch": {"queueLimit": 1}}})).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    w.restart().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    w.dispatch("d", "p", json!({})).await;
    assert_eq!(w.until_final("d").await, DispatchPhase::Failed, "it is over the new limit");
    for name in ["a", "b", "c"] {
        assert_eq!(phase(&w.dispatches().get(name).await.unwrap()), DispatchPhase::Pending, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_waits_for_its_pool() {
    let w = World::new();
    w.dispatch("t", "later", json!({})).await;
    let d = w.until_dispatch("t", "shown", |d| d.status.as_ref().is_some_and(|s| !s.conditions.is_empty())).await;
    let c = &d.status.unwrap().conditions[0];
    assert_eq!((c.type_.as_str(), c.status.as_str()), ("Accepted", "False"));
    assert!(c.message.contains("later"), "{}", c.message);
    w.pool("later", json!({})).await;
    w.until_assigned("t").await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_pool_does_nothing_until_it_is_resumed() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "paused": true})).await;
    w.dispatch("t", "p", json!({})).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(w.all_workers().await.is_empty());
    w.patch_pool("p", json!({"spec": {"paused": false}})).await;
    w.until_assigned("t").await;
}

#[tokio::test(start_paused = true)]
async fn history_is_kept_for_its_time_and_number() {
    let w = World::new();
    w.pool("p", json!({"dispatch": {"history": {"ttl": "10m", "limit": 2}}})).await;
    for n in 0..4 {
        let name = format!("t{n}");
        w.dispatch(&name, "p", json!({})).await;
        w.until_assigned(&name).await;
        w.report(&name, json!({"outcome": "Succeeded"})).await;
        w.until_dispatch(&name, "final", |d| phase(d).is_final()).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let left = w.dispatches().list(&kube::api::ListParams::default()).await.unwrap().items;
    let names: Vec<String> = left.into_iter().filter_map(|d| d.metadata.name).collect();
    assert_eq!(names, ["t2", "t3"]);
    let recent = w.pools().get("p").await.unwrap().status.unwrap().recent;
    assert!(recent.iter().any(|r| r.dispatch == "t3"), "{recent:?}");
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert!(w.dispatches().list(&kube::api::ListParams::default()).await.unwrap().items.is_empty());
}
