//! A dispatch that waits says why: once the reason has lasted, and to few.

use std::time::Duration;

use poolkeeper::api::Dispatch;
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper_testkit::writes::{Writes, count};
use serde_json::json;

use crate::world::{World, phase};

/// Reason and message of the condition Assigned, if its status is False.
fn assigned(d: &Dispatch) -> Option<(String, String)> {
    let mut conditions = d.status.iter().flat_map(|s| &s.conditions);
    let c = conditions.find(|c| c.type_ == "Assigned" && c.status == "False")?;
    Some((c.reason.clone(), c.message.clone()))
}

/// Reason and message of the phase.
fn says(d: &Dispatch) -> (Option<&str>, Option<&str>) {
    let status = d.status.as_ref();
    (status.and_then(|s| s.reason.as_deref()), status.and_then(|s| s.message.as_deref()))
}

/// Waits until the dispatch has this reason for its wait, and returns the message.
async fn waits_for(w: &World, name: &str, reason: &str) -> String {
    let d = w.until_dispatch(name, reason, |d| assigned(d).is_some_and(|(r, _)| r == reason)).await;
    let (_, message) = assigned(&d).unwrap();
    assert_eq!(says(&d), (Some(reason), Some(message.as_str())), "the fields that are columns say the same");
    assert_eq!(phase(&d), DispatchPhase::Pending);
    message
}

/// How many dispatches say why they wait.
async fn explained(w: &World, names: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut found = Vec::new();
    for n in names {
        if assigned(&w.dispatches().get(&format!("t{n:02}")).await.unwrap()).is_some() {
            found.push(n);
        }
    }
    found
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test(start_paused = true)]
async fn a_paused_pool_is_the_reason_after_ten_seconds() {
    let w = World::new();
    w.pool("p", json!({"paused": true})).await;
    tokio::time::sleep(secs(60)).await;
    w.dispatch("t", "p", json!({})).await;
    tokio::time::sleep(secs(9)).await;
    let d = w.dispatches().get("t").await.unwrap();
    assert_eq!((assigned(&d), says(&d)), (None, (None, None)), "most waits are over by then");
    assert_eq!(waits_for(&w, "t", "Paused").await, "the pool is paused (spec.paused)");
    w.patch_pool("p", json!({"spec": {"paused": false}})).await;
    w.until_assigned("t").await;
    let d = w.dispatches().get("t").await.unwrap();
    assert_eq!((assigned(&d), says(&d)), (None, (None, None)), "the reason ends with the wait");
}

#[tokio::test(start_paused = true)]
async fn a_missing_pool_is_the_reason_in_the_columns() {
    let w = World::new();
    w.dispatch("t", "later", json!({})).await;
    let d = w.until_dispatch("t", "told", |d| says(d).0.is_some()).await;
    let text = r#"there is no ContainerPool "later" in namespace "default"; waiting for it"#;
    assert_eq!(says(&d), (Some("PoolNotFound"), Some(text)));
    // It is there, and the wait has another reason.
    w.pool("later", json!({"paused": true})).await;
    waits_for(&w, "t", "Paused").await;
    let d = w.dispatches().get("t").await.unwrap().status.unwrap();
    assert!(d.conditions.iter().any(|c| c.type_ == "Accepted" && c.status == "True"), "{:?}", d.conditions);
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_changes_is_written_once_it_lasts() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": 1}})).await;
    w.until_assigned("t").await;
    w.dispatch("u", "p", json!({})).await;
    assert!(waits_for(&w, "u", "Busy").await.starts_with("all workers are busy"));
    w.report("t", json!({"outcome": "RateLimited", "retryAfter": "60s", "message": "slow down"})).await;
    // The one that had the attempt says first how that ended.
    let d = w.until_dispatch("t", "limited", |d| assigned(d).is_some_and(|(r, _)| r == "RateLimited")).await;
    let status = d.status.unwrap();
    let until = status.last_result.as_ref().unwrap().until.clone().unwrap().0;
    let shown = status.waits_until.clone().unwrap().0;
    assert!(shown >= until && shown.subsec_nanosecond() == 0, "whole seconds, and not too early: {until} {shown}");
    let ended = format!("attempt 1 on p-0 ended as RateLimited: slow down; the rest that follows ends at {shown}");
    assert_eq!(status.message, Some(ended));
    for name in ["t", "u"] {
        let text = waits_for(&w, name, "Resting").await;
        assert!(text.contains("rest"), "{text}");
        assert!(w.dispatches().get(name).await.unwrap().status.unwrap().waits_until.is_some());
    }
    // The one that is assigned says nothing of the rest that is over.
    w.until_assigned("t").await;
    let d = w.dispatches().get("t").await.unwrap().status.unwrap();
    assert_eq!((d.waits_until, d.reason, d.message), (None, None, None));
    waits_for(&w, "u", "Busy").await;
    assert_eq!(w.dispatches().get("u").await.unwrap().status.unwrap().waits_until, None);
}

/// Found by the auditor: the reason counted from the wait before the attempt, and was written a second after the next wait began.
#[tokio::test(start_paused = true)]
async fn each_wait_counts_anew() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1, "cooldown": "60s"})).await;
    w.dispatch("hold", "p", json!({})).await;
    w.until_assigned("hold").await;
    w.dispatch("t", "p", json!({"retry": {"failed": 1}})).await;
    tokio::time::sleep(secs(9)).await;
    w.report("hold", json!({"outcome": "Succeeded"})).await;
    w.until_assigned("t").await;
    w.dispatch("first", "p", json!({"priority": 5})).await;
    tokio::time::sleep(secs(9)).await;
    w.report("t", json!({"outcome": "Failed"})).await;
    w.until_assigned("first").await;
    let reason = async || assigned(&w.dispatches().get("t").await.unwrap()).unwrap().0;
    tokio::time::sleep(secs(8)).await;
    assert_eq!(reason().await, "Failed", "how the attempt ended");
    tokio::time::sleep(secs(4)).await;
    assert_eq!(reason().await, "Busy");
}

/// In a long queue only the first ones say why they wait, and each says it once.
#[tokio::test(start_paused = true)]
async fn the_head_of_the_queue_and_twenty_more_say_why_once() {
    let mut w = World::new();
    w.pool("p", json!({"max": 1})).await;
    for n in 0..50 {
        w.dispatch(&format!("t{n:02}"), "p", json!({})).await;
    }
    w.until_assigned("t00").await;
    let from = w.api.history().len();
    waits_for(&w, "t01", "Busy").await;
    tokio::time::sleep(secs(60)).await;
    assert_eq!(explained(&w, 1..50).await, (1..22).collect::<Vec<_>>());
    let writes = count(&w.api.history(), from);
    // The pool's own status and Event are no part of it.
    assert_eq!(Writes { roll_ups: 0, events: 0, ..writes }, Writes { waits: 21, ..Writes::default() });
    let then = w.api.history().len();
    tokio::time::sleep(secs(3600)).await;
    w.restart().await;
    tokio::time::sleep(secs(3600)).await;
    let writes = count(&w.api.history(), then);
    let none = Writes { roll_ups: 0, events: 0, ..writes } == Writes::default();
    assert!(none, "nothing is written twice, nor after a restart: {writes:?}");
    // The queue moves by one.
    w.report("t00", json!({"outcome": "Succeeded"})).await;
    w.until_assigned("t01").await;
    waits_for(&w, "t22", "Busy").await;
    tokio::time::sleep(secs(60)).await;
    assert_eq!(explained(&w, 1..50).await, (2..23).collect::<Vec<_>>());
}

/// The queue moves on before those that come to its head have stood there for long: they say nothing.
#[tokio::test(start_paused = true)]
async fn a_queue_that_moves_costs_nothing() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "max": 2, "dispatch": {"queueLimit": 200, "history": {"limit": 1000}}})).await;
    tokio::time::sleep(secs(30)).await;
    let from = w.api.history().len();
    for n in 0..120 {
        w.dispatch(&format!("t{n}"), "p", json!({})).await;
    }
    let mut open: Vec<String> = (0..120).map(|n| format!("t{n}")).collect();
    while !open.is_empty() {
        let mut left = Vec::new();
        for name in open {
            let d = w.dispatches().get(&name).await.unwrap();
            if phase(&d) == DispatchPhase::Assigned && d.spec.result.is_none() {
                w.report(&name, json!({"outcome": "Succeeded"})).await;
            }
            if !phase(&d).is_final() {
                left.push(name);
            }
        }
        open = left;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(count(&w.api.history(), from).waits, 0);
}

/// Times and names in the words move. Without another reason they are written anew at most once in a minute.
#[tokio::test(start_paused = true)]
async fn words_that_change_are_written_once_in_a_minute() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1, "cooldown": "1h"})).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    let mut rest = 1000;
    w.annotate("p", "cooldown.poolkeeper.dev/p-0", "900s").await;
    tokio::time::sleep(secs(5)).await;
    w.dispatch("t", "p", json!({})).await;
    let first = waits_for(&w, "t", "Resting").await;
    let from = w.api.history().len();
    for _ in 0..30 {
        rest += 100;
        w.annotate("p", "cooldown.poolkeeper.dev/p-0", &format!("{rest}s")).await;
        tokio::time::sleep(secs(10)).await;
    }
    let writes = count(&w.api.history(), from).waits;
    assert!((4..=5).contains(&writes), "{writes} in 5 minutes");
    let (_, last) = assigned(&w.dispatches().get("t").await.unwrap()).unwrap();
    assert_ne!(first, last);
}

#[tokio::test(start_paused = true)]
async fn every_end_has_a_sentence() {
    let w = World::new();
    w.pool("p", json!({"max": 1, "dispatch": {"queueLimit": 3}})).await;
    w.dispatch("hold", "p", json!({})).await;
    w.until_assigned("hold").await;
    w.dispatch("late", "p", json!({"queueTimeout": "30s"})).await;
    w.dispatch("unwanted", "p", json!({})).await;
    w.dispatch("left", "p", json!({})).await;
    tokio::time::sleep(secs(5)).await;
    w.dispatch("full", "p", json!({})).await;
    let end = async |name: &str| {
        let d = w.until_dispatch(name, "final", |d| phase(d).is_final()).await;
        let (reason, message) = says(&d);
        let conditions = &d.status.as_ref().unwrap().conditions;
        let finished = conditions.iter().find(|c| c.type_ == "Finished").unwrap();
        assert_eq!(message.unwrap_or_default(), finished.message, "{name}");
        if let Some(reason) = reason {
            assert_eq!(reason, finished.reason, "{name}");
        }
        format!("{:?} {} {}", phase(&d), reason.unwrap_or("-"), message.unwrap_or("-"))
    };
    assert_eq!(end("full").await, "Failed QueueFull 3 dispatches wait already (spec.dispatch.queueLimit)");
    let late = end("late").await;
    assert!(
        late.starts_with("Expired Expired no worker took the dispatch within 30s (queueTimeout): all workers are busy"),
        "{late}"
    );
    w.patch_dispatch("unwanted", json!({"spec": {"cancel": true}})).await;
    assert_eq!(end("unwanted").await, "Cancelled Cancelled spec.cancel was set while the dispatch waited");
    w.pools().delete("p", &kube::api::DeleteParams::default()).await.unwrap();
    assert_eq!(end("left").await, r#"Cancelled PoolDeleted ContainerPool "p" was deleted while the dispatch waited"#);
    w.dispatch("too-late", "p", json!({})).await;
    assert_eq!(
        end("too-late").await,
        r#"Cancelled PoolDeleted ContainerPool "p" was deleted while the dispatch waited"#
    );
    w.report("hold", json!({"outcome": "Failed", "message": "no such file"})).await;
    assert_eq!(end("hold").await, "Failed Failed attempt 1 on p-0 ended as Failed: no such file");
}
