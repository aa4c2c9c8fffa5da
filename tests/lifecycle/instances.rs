//! Starts that fail, hosts that vanish, instances without an owner.

use std::time::Duration;

use kube::api::ListParams;
use poolkeeper::api::dispatch::{DispatchPhase, Outcome};
use poolkeeper::runtime::{Exit, LOCAL_HOST};
use serde_json::json;

use crate::world::{World, phase};
use poolkeeper_testkit::fake::Fault;

/// A worker that ends at once makes the pool wait longer and longer, and says why.
#[tokio::test(start_paused = true)]
async fn failing_starts_back_off_and_say_why() {
    let w = World::new();
    w.pool("p", json!({"min": 3, "command": ["exit", "3", "no such file"]})).await;
    let p = w
        .until_pool("p", "backing off", |p| {
            p.status.as_ref().is_some_and(|s| s.start_backoff.as_ref().is_some_and(|b| b.failures >= 4))
        })
        .await;
    let status = p.status.unwrap();
    let b = status.start_backoff.unwrap();
    assert!(b.message.contains("code 3") && b.message.contains("no such file"), "{}", b.message);
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "StartsFail"));
    let started = w.fake.events().len();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(w.fake.events().len() - started < 10, "it does not spin");
    w.patch_pool("p", json!({"spec": {"command": ["sleep", "infinity"]}})).await;
    w.until_pool("p", "well", |p| p.status.as_ref().is_some_and(|s| s.ready == 3 && s.start_backoff.is_none())).await;
}

/// A command that ends is reported in the same words, whether or not a task was faster than its end.
#[tokio::test(start_paused = true)]
async fn a_worker_whose_command_ends_well_under_a_task_says_what_to_do() {
    let w = World::new();
    w.pool("p", json!({})).await;
    w.dispatch("t", "p", json!({"retry": {"workerLost": 0}})).await;
    w.until_assigned("t").await;
    let key = w.fake.instances()[0].0.key.clone();
    assert!(w.fake.exit(&key, Exit { code: Some(0), tail: "nothing to do here".to_owned(), ..Exit::default() }));
    w.until_final("t").await;
    let last = w.dispatches().get("t").await.unwrap().status.unwrap().last_result.unwrap();
    assert_eq!(last.outcome, Outcome::WorkerLost);
    let message = last.message.unwrap();
    for word in ["code 0", "nothing to do here", "spec.command"] {
        assert!(message.contains(word), "{word:?} is missing in {message}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_host_is_no_dead_worker() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "max": 2})).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 2)).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    let before = w.all_workers().await;
    w.fake.make_host_unreachable(LOCAL_HOST);
    w.until_pool("p", "shown", |p| p.status.as_ref().is_some_and(|s| s.ready == 0)).await;
    w.dispatch("u", "p", json!({})).await;
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert_eq!(phase(&w.dispatches().get("t").await.unwrap()), DispatchPhase::Assigned);
    assert_eq!(
        phase(&w.dispatches().get("u").await.unwrap()),
        DispatchPhase::Pending,
        "nothing is assigned to a worker that cannot be reached"
    );
    let uids = |ws: &[poolkeeper::api::Worker]| ws.iter().map(|w| w.metadata.uid.clone()).collect::<Vec<_>>();
    assert_eq!(uids(&w.all_workers().await), uids(&before), "nothing is created or removed");
    w.fake.make_host_reachable(LOCAL_HOST);
    w.until_assigned("u").await;
    w.report("t", json!({"outcome": "Succeeded"})).await;
    w.until_final("t").await;
}

/// A user removes a busy worker's finalizer by hand.
#[tokio::test(start_paused = true)]
async fn a_worker_removed_by_hand_ends_its_attempt_and_its_instance() {
    let w = World::new();
    w.pool("p", json!({"max": 1})).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    let off = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    w.workers().patch("p-0", &kube::api::PatchParams::default(), &off).await.unwrap();
    w.workers().delete("p-0", &kube::api::DeleteParams::default()).await.unwrap();
    w.until_final("t").await;
    let outcome = w.dispatches().get("t").await.unwrap().status.unwrap().last_result.unwrap().outcome;
    assert_eq!(outcome, Outcome::Forced);
    for _ in 0..600 {
        if w.fake.instances().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the orphan stays: {:?}", w.fake.instances());
}

/// Waiting costs no writes once its reason is said, and neither does resting at full size.
#[tokio::test(start_paused = true)]
async fn at_rest_nothing_is_written() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "max": 2})).await;
    for t in ["a", "b", "c", "d"] {
        w.dispatch(t, "p", json!({})).await;
    }
    w.until_assigned("b").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = w.api.history().len();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let after = w.api.history();
    assert_eq!(after.len(), before, "{:#?}", after[before..].iter().map(|r| (&r.name, &r.object)).collect::<Vec<_>>());
    assert!(w.dispatches().list(&ListParams::default()).await.unwrap().items.len() == 4);
}

/// Whatever became of a start: one instance, and a worker that is ready soon, for no failure of its own.
#[tokio::test(start_paused = true)]
async fn a_start_whose_answer_is_lost_is_asked_for() {
    for fault in [Fault::AnswerLost, Fault::RequestLost] {
        let w = World::new();
        w.fake.fail_next_start(fault.clone());
        w.pool("p", json!({"min": 1, "max": 1})).await;
        let before = w.now();
        let p = w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
        assert!(w.now().duration_since(before) < jiff::SignedDuration::from_secs(20), "{fault:?}");
        assert_eq!(p.status.unwrap().start_backoff, None);
        assert_eq!(w.fake.instances().len(), 1);
        assert_eq!(w.all_workers().await.len(), 1);
    }
}

/// What a runtime refuses for good reasons is said in its own words.
#[tokio::test(start_paused = true)]
async fn a_refused_start_is_said_in_the_runtimes_words() {
    let w = World::new();
    w.fake.fail_next_start(Fault::Refused("pull access denied for worker:1".to_owned()));
    w.pool("p", json!({"min": 1})).await;
    w.until_pool("p", "shown", |p| {
        p.status
            .as_ref()
            .is_some_and(|s| s.start_backoff.as_ref().is_some_and(|b| b.message.contains("pull access denied")))
    })
    .await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
}
