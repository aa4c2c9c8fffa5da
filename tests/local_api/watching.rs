//! Watches where the past is forgotten, and the same run from the same seed.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher;
use poolkeeper::local::{Change, History};
use serde_json::json;

use poolkeeper_testkit::gadget::*;

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

#[tokio::test]
async fn a_running_watch_that_missed_something_ends() {
    let (env, local) = subject(History::Full);
    env.create("a", json!({"max": 5})).await;
    let params = WatchParams::default();
    let mut behind = env.gadgets().watch(&params, "0").await.unwrap().boxed();
    let mut upright = env.gadgets().watch(&params, "0").await.unwrap().boxed();
    assert_eq!(show(&behind.next().await.unwrap().unwrap()), "ADDED a");
    assert_eq!(show(&upright.next().await.unwrap().unwrap()), "ADDED a");
    env.create("b", json!({"max": 5})).await;
    assert_eq!(show(&upright.next().await.unwrap().unwrap()), "ADDED b");
    local.compact();
    assert_eq!(show(&behind.next().await.unwrap().unwrap()), "ERROR 410");
    assert!(behind.next().await.is_none());
    // A watch that had read all of it continues.
    env.create("c", json!({"max": 5})).await;
    assert_eq!(show(&upright.next().await.unwrap().unwrap()), "ADDED c");
}

#[tokio::test]
async fn a_watcher_survives_a_gap() {
    let (env, local) = subject(History::Full);
    env.create("a", json!({"max": 5})).await;
    let mut events = watcher(env.typed(), watcher::Config::default()).boxed();
    let mut seen = String::new();
    while seen != "init apply:a done " {
        seen += &shown(events.next().await.unwrap());
    }
    // It does not read while this happens, and then what it missed is forgotten.
    env.create("b", json!({"max": 5})).await;
    env.gadgets().delete("a", &DeleteParams::default()).await.unwrap();
    local.compact();
    seen.clear();
    while !seen.ends_with("done ") {
        seen += &shown(events.next().await.unwrap());
    }
    assert_eq!(seen, "error:410 init apply:b done ");
    env.create("c", json!({"max": 5})).await;
    assert_eq!(shown(events.next().await.unwrap()), "apply:c ");
    let changes: Vec<_> =
        local.history().into_iter().filter(|r| r.resource.plural == "gadgets").map(|r| (r.change, r.name)).collect();
    let expected = [(Change::Added, "a"), (Change::Added, "b"), (Change::Deleted, "a"), (Change::Added, "c")];
    assert_eq!(changes, expected.map(|(c, n)| (c, n.to_owned())));
}

#[tokio::test]
async fn a_slow_watch_falls_out_of_a_window() {
    let (env, api) = subject(History::Window(10));
    env.create("g", json!({"max": 5})).await;
    let params = WatchParams::default();
    let mut slow = env.gadgets().watch(&params, "0").await.unwrap().boxed();
    assert_eq!(show(&slow.next().await.unwrap().unwrap()), "ADDED g");
    for i in 0..10 {
        env.merge_status("g", json!({"status": {"attempt": i}})).await.unwrap();
    }
    for _ in 0..10 {
        assert_eq!(show(&slow.next().await.unwrap().unwrap()), "MODIFIED g");
    }
    for i in 0..11 {
        env.merge_status("g", json!({"status": {"attempt": i}})).await.unwrap();
    }
    assert_eq!(show(&slow.next().await.unwrap().unwrap()), "ERROR 410");
    assert!(api.history().is_empty());
}

/// A watch may be five minutes behind, as on a Kubernetes API server. Older events cost no memory, also those of a kind that is no
/// longer written.
#[tokio::test(start_paused = true)]
async fn events_of_a_window_end_after_five_minutes() {
    let (env, _) = subject(History::Window(10));
    env.create("g", json!({"max": 5})).await;
    let params = WatchParams::default();
    let before = env.gadgets().list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    env.merge_status("g", json!({"status": {"attempt": 1}})).await.unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(env.client.clone());
    let again = |name: &str| Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..Secret::default()
    };

    tokio::time::advance(Duration::from_mins(5)).await;
    secrets.create(&PostParams::default(), &again("a")).await.unwrap();
    let mut late = env.gadgets().watch(&params, &before).await.unwrap().boxed();
    assert_eq!(show(&late.next().await.unwrap().unwrap()), "MODIFIED g");

    tokio::time::advance(Duration::from_secs(1)).await;
    secrets.create(&PostParams::default(), &again("b")).await.unwrap();
    let mut too_late = env.gadgets().watch(&params, &before).await.unwrap().boxed();
    assert_eq!(show(&too_late.next().await.unwrap().unwrap()), "ERROR 410");
    // It had read everything.
    env.merge_status("g", json!({"status": {"attempt": 2}})).await.unwrap();
    assert_eq!(show(&late.next().await.unwrap().unwrap()), "MODIFIED g");
}

fn shown(event: Result<watcher::Event<Gadget>, watcher::Error>) -> String {
    let name = |g: Gadget| g.metadata.name.unwrap();
    match event {
        Ok(watcher::Event::Init) => "init ".into(),
        Ok(watcher::Event::InitApply(g) | watcher::Event::Apply(g)) => format!("apply:{} ", name(g)),
        Ok(watcher::Event::InitDone) => "done ".into(),
        Ok(watcher::Event::Delete(g)) => format!("delete:{} ", name(g)),
        Err(watcher::Error::WatchError(e)) => format!("error:{} ", e.code),
        Err(e) => panic!("{e}"),
    }
}

/// On virtual time, one thread and one seed, two runs leave the same history.
#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_history() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (env, api) = subject(History::Full);
        let mut watches: Vec<_> = Vec::new();
        for _ in 0..3 {
            watches.push(watcher(env.typed(), watcher::Config::default()).boxed());
        }
        let mut order = Vec::new();
        for i in 0..5 {
            env.create(&format!("g{i}"), json!({"max": 5})).await;
            for (w, watch) in watches.iter_mut().enumerate() {
                if let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(5), watch.next()).await {
                    order.push(format!("{w}{}", shown(event)));
                }
            }
        }
        let uids: Vec<_> = api.history().into_iter().map(|r| (r.resource_version, r.name, r.uid)).collect();
        runs.push((order, uids));
    }
    assert_eq!(runs[0], runs[1]);
}
