//! Requests in annotations that cannot be done: they stay, and are reported once.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::world::{NS, World};

async fn warnings(w: &World) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(w.client.clone(), NS);
    let all = events.list(&ListParams::default()).await.unwrap().items;
    all.into_iter().filter(|e| e.type_.as_deref() == Some("Warning")).filter_map(|e| e.note).collect()
}

/// What is reported of a bad annotation, in the pool's condition and in one Warning.
async fn told(w: &World, key: &str, value: &str) -> String {
    let before = warnings(w).await;
    w.annotate("p", key, value).await;
    let p = w.until_pool("p", "reported", |p| {
        let c = p.status.as_ref().and_then(|s| s.conditions.iter().find(|c| c.type_ == "RequestsAccepted"));
        c.is_some_and(|c| c.status == "False" && c.message.contains(key))
    });
    let p = p.await;
    assert_eq!(p.metadata.annotations.unwrap().get(key).map(String::as_str), Some(value), "it stays");
    tokio::time::sleep(Duration::from_secs(120)).await;
    let new = warnings(w).await.into_iter().filter(|n| !before.contains(n));
    let said: Vec<String> = new.filter(|n| n.starts_with(&format!("annotation {key}: "))).collect();
    assert_eq!(said.len(), 1, "one Warning: {said:?}");
    w.patch_pool("p", json!({"metadata": {"annotations": {key: null}}})).await;
    w.until_pool("p", "well", |p| {
        p.status.as_ref().unwrap().conditions.iter().any(|c| c.type_ == "RequestsAccepted" && c.status == "True")
    })
    .await;
    said.into_iter().next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn bad_requests_stay_and_say_what_would_be_right() {
    let w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": 3}})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "RateLimited", "retryAfter": "1s"})).await;
    w.until_dispatch("t", "again", |d| d.status.as_ref().is_some_and(|s| s.attempt == 2 && s.is_open())).await;
    for (key, value, said) in [
        ("dispatch.poolkeeper.dev/Bad_Name", "", "lower case"),
        ("dispatch.poolkeeper.dev/x", "{nope", "JSON"),
        ("dispatch.poolkeeper.dev/t", "", "NameTaken"),
        ("result.poolkeeper.dev/t", "1 Succeeded", "already"),
        ("result.poolkeeper.dev/t", "Succeeded", "which attempt"),
        ("result.poolkeeper.dev/t", "3 Succeeded", "has not begun"),
        ("result.poolkeeper.dev/t", "2 Succeeded uid=another", "namesake"),
        ("result.poolkeeper.dev/nobody", "1 Succeeded", "no Dispatch"),
        // Well formed; what the server takes is its own word.
        ("dispatch.poolkeeper.dev/x", r#"{"priority":2000000000}"#, "spec.priority"),
        ("dispatch.poolkeeper.dev/x", r#"{"leaseName":"Bad_Name"}"#, "spec.leaseName"),
        ("dispatch.poolkeeper.dev/x", r#"{"retry":{"failed":-2}}"#, "spec.retry.failed"),
        (
            "cooldown.poolkeeper.dev/q-0",
            "5m",
            r#"cooldown.poolkeeper.dev/q-0: p has no Worker and no credential "q-0"; it has p-0"#,
        ),
        (
            "cooldown.poolkeeper.dev/p-7",
            "clear",
            r#"cooldown.poolkeeper.dev/p-7: p has no Worker and no credential "p-7"; it has p-0"#,
        ),
        ("cooldowns.poolkeeper.dev/p-0", "clear", "or cooldown.poolkeeper.dev/WORKER-or-CREDENTIAL"),
        ("cooldown.poolkeeper.dev/p-0", "5 parsecs", "such as"),
    ] {
        let text = told(&w, key, value).await;
        assert!(text.contains(said), "{key}={value}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_request_twice_is_one_dispatch() {
    let w = World::new();
    w.pool("p", json!({})).await;
    for _ in 0..2 {
        w.annotate("p", "dispatch.poolkeeper.dev/t", r#"{"priority": 3}"#).await;
        w.until_pool("p", "clean", |p| {
            p.metadata.annotations.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
        })
        .await;
    }
    let d = w.dispatches().get("t").await.unwrap();
    assert_eq!(d.spec.priority, 3);
}

/// A pool that waits for a busy worker still takes what ends the work, and refuses more work in words.
#[tokio::test(start_paused = true)]
async fn a_pool_that_is_being_deleted_refuses_new_work_and_takes_results() {
    let w = World::new();
    w.pool("p", json!({"max": 2})).await;
    for name in ["a", "b"] {
        w.dispatch(name, "p", json!({"retry": {"rateLimited": 1}})).await;
        w.until_assigned(name).await;
    }
    // The status is written: the next one would wait for some seconds.
    tokio::time::sleep(Duration::from_secs(30)).await;
    w.pools().delete("p", &kube::api::DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    w.annotate("p", "dispatch.poolkeeper.dev/x4", "").await;
    let refused = "annotation dispatch.poolkeeper.dev/x4: the pool is being deleted";
    w.until_pool("p", "refuses", |p| {
        let conditions = p.status.iter().flat_map(|s| &s.conditions);
        let mut c = conditions.filter(|c| c.type_ == "RequestsAccepted" && c.status == "False");
        c.any(|c| (c.reason.as_str(), c.message.as_str()) == ("Refused", refused))
    })
    .await;
    assert_eq!(warnings(&w).await.iter().filter(|n| *n == refused).count(), 1);
    assert!(w.dispatches().get_opt("x4").await.unwrap().is_none());
    // What ends the work is carried out. The rest of a worker that goes is no matter.
    w.annotate("p", "result.poolkeeper.dev/a", "1 Succeeded").await;
    assert_eq!(w.until_final("a").await, poolkeeper::api::dispatch::DispatchPhase::Succeeded);
    w.annotate("p", "cooldown.poolkeeper.dev/p-1", "90s").await;
    w.until_pool("p", "clean", |p| {
        let left: Vec<_> = p.metadata.annotations.iter().flatten().map(|(k, _)| k.clone()).collect();
        left == ["dispatch.poolkeeper.dev/x4"]
    })
    .await;
    w.patch_dispatch("b", json!({"spec": {"cancel": true}})).await;
    assert_eq!(w.until_final("b").await, poolkeeper::api::dispatch::DispatchPhase::Cancelled);
    while w.pools().get_opt("p").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
