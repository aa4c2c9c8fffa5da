//! Watches: where they start, what they show, how they end.
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, DeleteParams, WatchEvent, WatchParams};
use kube::core::{DeserializeGuard, DynamicObject};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use serde_json::{Value, json};

use crate::subject::*;

on_both! {
    what_does_not_parse_can_be_guarded,
    a_watch_shows_what_came_after,
    a_deleted_object_is_shown_in_its_last_version,
    what_leaves_a_selection_is_deleted_in_it,
    versions_rise_in_a_watch,
    a_watch_ends_at_its_timeout_with_a_bookmark,
    streamed_lists_are_off,
    the_far_past_is_refused,
    the_future_is_refused,
    a_reflector_keeps_up,
}

/// `TYPE name` of an event, `TYPE` for bookmarks, `ERROR code` for errors.
fn show(event: &WatchEvent<DynamicObject>) -> String {
    let named = |t: &str, o: &DynamicObject| format!("{t} {}", o.metadata.name.as_deref().unwrap_or_default());
    match event {
        WatchEvent::Added(o) => named("ADDED", o),
        WatchEvent::Modified(o) => named("MODIFIED", o),
        WatchEvent::Deleted(o) => named("DELETED", o),
        WatchEvent::Bookmark(_) => "BOOKMARK".into(),
        WatchEvent::Error(e) => format!("ERROR {}", e.code),
    }
}

/// The first events of a watch.
async fn first(api: &Api<DynamicObject>, params: &WatchParams, version: &str, count: usize) -> Vec<String> {
    let stream = api.watch(params, version).await.unwrap();
    let events: Vec<_> = stream.take(count).try_collect().await.unwrap();
    events.iter().map(show).collect()
}

async fn version(env: &Subject) -> String {
    env.gadgets().list(&Default::default()).await.unwrap().metadata.resource_version.unwrap()
}

async fn a_watch_shows_what_came_after(env: Subject) {
    env.create("old", json!({"max": 5})).await;
    let start = version(&env).await;
    env.create("a", json!({"max": 5})).await;
    env.merge("a", json!({"spec": {"max": 6}})).await.unwrap();
    env.gadgets().delete("a", &DeleteParams::default()).await.unwrap();
    let params = WatchParams::default();
    assert_eq!(first(&env.gadgets(), &params, &start, 3).await, ["ADDED a", "MODIFIED a", "DELETED a"]);
    // From 0 it begins with what there is.
    env.create("b", json!({"max": 5})).await;
    assert_eq!(first(&env.gadgets(), &params, "0", 2).await, ["ADDED b", "ADDED old"]);
}

async fn a_deleted_object_is_shown_in_its_last_version(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    env.merge("a", json!({"metadata": {"finalizers": ["test.poolkeeper.dev/f"]}})).await.unwrap();
    env.gadgets().delete("a", &DeleteParams::default()).await.unwrap();
    let start = version(&env).await;
    env.merge("a", json!({"metadata": {"finalizers": null}, "spec": {"max": 9}})).await.unwrap();
    let mut stream = env.gadgets().watch(&WatchParams::default(), &start).await.unwrap().boxed();
    let Some(Ok(WatchEvent::Deleted(last))) = stream.next().await else { panic!("expected a deletion") };
    // The write that removed the last finalizer is not seen, except for the version.
    assert_eq!(last.metadata.finalizers, Some(vec!["test.poolkeeper.dev/f".into()]));
    assert_eq!(last.data["spec"]["max"], 5);
    assert!(last.metadata.resource_version.unwrap().parse::<u64>().unwrap() > start.parse().unwrap());
}

async fn what_leaves_a_selection_is_deleted_in_it(env: Subject) {
    let start = version(&env).await;
    env.create("a", json!({"max": 5, "mode": "Slow"})).await;
    env.create("b", json!({"max": 5, "mode": "Fast"})).await;
    env.merge("a", json!({"spec": {"mode": "Fast"}})).await.unwrap();
    env.merge("b", json!({"spec": {"max": 6}})).await.unwrap();
    env.merge("b", json!({"spec": {"mode": "Slow"}})).await.unwrap();
    env.gadgets().delete("b", &DeleteParams::default()).await.unwrap();
    env.gadgets().delete("a", &DeleteParams::default()).await.unwrap();
    let params = WatchParams::default().fields("spec.mode=Fast");
    let seen = first(&env.gadgets(), &params, &start, 5).await;
    assert_eq!(seen, ["ADDED b", "ADDED a", "MODIFIED b", "DELETED b", "DELETED a"]);
    let stream = env.gadgets().watch(&params, &start).await.unwrap();
    let events: Vec<_> = stream.take(4).try_collect().await.unwrap();
    let WatchEvent::Deleted(left) = &events[3] else { panic!("{events:?}") };
    assert_eq!(left.data["spec"]["mode"], "Fast");
}

async fn versions_rise_in_a_watch(env: Subject) {
    let start = version(&env).await;
    for i in 0..20 {
        env.create(&format!("g{i}"), json!({"max": 5})).await;
        env.merge_status(&format!("g{i}"), json!({"status": {"phase": "X"}})).await.unwrap();
    }
    let stream = env.gadgets().watch(&WatchParams::default(), &start).await.unwrap();
    let events: Vec<_> = stream.take(40).try_collect().await.unwrap();
    let versions: Vec<u64> = events
        .iter()
        .map(|e| match e {
            WatchEvent::Added(o) | WatchEvent::Modified(o) => {
                o.metadata.resource_version.as_ref().unwrap().parse().unwrap()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

async fn a_watch_ends_at_its_timeout_with_a_bookmark(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let params = WatchParams { bookmarks: true, timeout: Some(3), ..WatchParams::default() };
    let stream = env.gadgets().watch(&params, "0").await.unwrap();
    let events: Vec<_> = stream.try_collect().await.unwrap();
    let seen: Vec<_> = events.iter().map(show).collect();
    assert_eq!(seen.first().map(String::as_str), Some("ADDED a"));
    assert!(seen[1..].iter().all(|s| s == "BOOKMARK"), "{seen:?}");
}

async fn streamed_lists_are_off(env: Subject) {
    let params = WatchParams { bookmarks: true, send_initial_events: true, ..WatchParams::default() };
    let Err(refusal) = env.gadgets().watch(&params, "").await else { panic!("expected a refusal") };
    expect_status(
        Err::<(), _>(refusal),
        422,
        "Invalid",
        "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
    );
}

async fn the_far_past_is_refused(env: Subject) {
    let api = match &env.local {
        Some(local) => {
            env.create("a", json!({"max": 5})).await;
            local.compact();
            env.gadgets()
        }
        None => env.gadgets(),
    };
    let mut stream = api.watch(&WatchParams::default(), "1").await.unwrap().boxed();
    let Some(Ok(WatchEvent::Error(e))) = stream.next().await else { panic!("expected an error") };
    assert_eq!((e.code, e.reason.as_str()), (410, "Expired"));
    assert!(e.message.starts_with("too old resource version: 1 ("), "{}", e.message);
}

async fn the_future_is_refused(env: Subject) {
    let path = format!("{GADGETS}?resourceVersion=99999999999");
    let (code, body) = env.raw("GET", &path, "", Value::Null).await;
    assert_eq!((code, body["reason"].as_str().unwrap()), (504, "Timeout"));
    assert_eq!(body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

async fn a_reflector_keeps_up(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let (reader, writer) = reflector::store::<Gadget>();
    let stream = reflector(writer, watcher(env.typed(), watcher::Config::default()));
    let mut changes = stream.touched_objects().boxed();
    changes.next().await.unwrap().unwrap();
    env.merge("a", json!({"spec": {"max": 8}})).await.unwrap();
    while !reader.state().iter().any(|g| g.spec.max == 8) {
        changes.next().await.unwrap().unwrap();
    }
}

async fn what_does_not_parse_can_be_guarded(env: Subject) {
    // A client whose type is stricter than the server's schema.
    #[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
    struct Spec {
        mode: String,
    }
    type Strict = kube::core::Object<Spec, kube::core::NotUsed>;
    env.create("a", json!({"max": 5, "mode": "Fast"})).await;
    env.create("b", json!({"max": 5})).await;
    let api: Api<DeserializeGuard<Strict>> =
        Api::namespaced_with(env.client.clone(), &env.namespace, &gadget_resource());
    let list = api.list(&Default::default()).await.unwrap();
    assert_eq!(list.items.iter().map(|g| g.0.is_ok()).collect::<Vec<_>>(), [true, false]);
}
