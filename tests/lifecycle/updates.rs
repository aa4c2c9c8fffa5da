//! A changed template is rolled out: idle workers first, busy ones when done, never more than may be away.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{Api, ListParams};
use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{ContainerPool, Worker};
use serde_json::json;

use crate::world::{NS, World};

fn uids(ws: &[Worker]) -> BTreeSet<String> {
    ws.iter().map(|w| w.metadata.uid.clone().unwrap()).collect()
}

fn is_ready(w: &Worker) -> bool {
    w.metadata.deletion_timestamp.is_none() && w.status.as_ref().is_some_and(|s| s.phase == WorkerPhase::Ready)
}

/// Status, reason and text of the condition Progressing.
fn progress(p: &ContainerPool) -> (String, String, String) {
    let c = p.status.iter().flat_map(|s| &s.conditions).find(|c| c.type_ == "Progressing").unwrap().clone();
    (c.status, c.reason, c.message)
}

fn is_done(p: &ContainerPool, size: i32) -> bool {
    p.status.as_ref().is_some_and(|s| s.updated == size && s.workers == size && s.ready + s.busy + s.resting == size)
        && !progress(p).1.starts_with("Update")
        && progress(p).1 != "RollingUpdate"
}

async fn ready(w: &World, size: usize) -> BTreeSet<String> {
    uids(&w.until_workers("ready", |ws| ws.len() == size && ws.iter().all(is_ready)).await)
}

/// Reasons of the Events about updates, in order.
async fn told(w: &World) -> Vec<String> {
    let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(w.client.clone(), NS);
    let mut all: Vec<_> = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .filter(|e| e.reason.as_ref().is_some_and(|r| r.starts_with("Update")))
        .map(|e| (e.event_time.map(|t| t.0), e.reason.unwrap()))
        .collect();
    all.sort();
    all.into_iter().map(|(_, reason)| reason).collect()
}

/// The fewest Ready workers at any moment of the store's history from this write on.
fn fewest_ready(w: &World, from: u64) -> usize {
    let mut now = std::collections::BTreeMap::new();
    let mut least = usize::MAX;
    for r in w.api.history().into_iter().filter(|r| r.resource.plural == "workers") {
        let object: Worker = serde_json::from_value((*r.object).clone()).unwrap();
        let there = !matches!(r.change, poolkeeper::local::Change::Deleted);
        now.insert(r.name.clone(), there && is_ready(&object));
        if r.resource_version >= from {
            least = least.min(now.values().filter(|ready| **ready).count());
        }
    }
    least
}

#[tokio::test(start_paused = true)]
async fn a_new_image_reaches_all_and_no_more_than_the_share_are_away() {
    let w = World::new();
    w.pool("p", json!({"min": 8, "max": 8})).await;
    let old = ready(&w, 8).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let from = w.api.revision();
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    let p = w.until_pool("p", "rolling", |p| progress(p).1 == "RollingUpdate").await;
    assert_eq!(progress(&p).0, "True");
    assert!(progress(&p).2.contains("of 8 updated"), "{}", progress(&p).2);
    w.until_pool("p", "updated", |p| is_done(p, 8)).await;
    assert!(uids(&w.all_workers().await).is_disjoint(&old));
    assert_eq!(fewest_ready(&w, from), 6, "a quarter of 8");
    assert_eq!(told(&w).await, ["UpdateStarted", "UpdateDone"]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_costs_the_share_and_rolls_back() {
    for bad in [json!({"image": "no-such-image"}), json!({"command": ["exit", "3", "no such file"]})] {
        let w = World::new();
        w.pool("p", json!({"min": 8, "max": 8})).await;
        let old = ready(&w, 8).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let from = w.api.revision();
        w.patch_pool("p", json!({"spec": bad})).await;
        let p = w.until_pool("p", "stalled", |p| progress(p).1 == "UpdateStalled").await;
        assert_eq!(progress(&p).0, "False");
        assert!(progress(&p).2.starts_with("0 of 8 updated"), "{}", progress(&p).2);
        tokio::time::sleep(Duration::from_secs(1800)).await;
        let left: Vec<Worker> =
            w.all_workers().await.into_iter().filter(|w| old.contains(w.metadata.uid.as_ref().unwrap())).collect();
        assert_eq!((left.len(), left.iter().filter(|w| is_ready(w)).count()), (6, 6), "a quarter of 8 and no more");
        // They serve meanwhile.
        w.dispatch("t", "p", json!({})).await;
        w.until_assigned("t").await;
        w.report("t", json!({"outcome": "Succeeded"})).await;
        w.until_final("t").await;
        w.patch_pool("p", json!({"spec": {"image": "worker:1", "command": null}})).await;
        w.until_pool("p", "back", |p| is_done(p, 8)).await;
        let kept = uids(&w.all_workers().await).intersection(&old).count();
        assert_eq!(kept, 6, "workers with the old template are up to date again");
        assert_eq!(fewest_ready(&w, from).min(6), 5, "six, and one of them busy for a moment");
        assert_eq!(told(&w).await, ["UpdateStarted", "UpdateStalled", "UpdateDone"]);
    }
}

/// The most workers that existed at any moment of the store's history from this write on.
fn most_workers(w: &World, from: u64) -> usize {
    let mut now = BTreeSet::new();
    let mut most = 0;
    for r in w.api.history().into_iter().filter(|r| r.resource.plural == "workers") {
        if matches!(r.change, poolkeeper::local::Change::Deleted) {
            now.remove(&r.name)
        } else {
            now.insert(r.name.clone())
        };
        if r.resource_version >= from {
            most = most.max(now.len());
        }
    }
    most
}

/// The only worker goes when the new one is up, and not before: with a template that does not start, never.
#[tokio::test(start_paused = true)]
async fn a_pool_of_one_survives_a_bad_image() {
    for bad in [json!({"image": "no-such-image"}), json!({"command": ["exit", "3", "no such file"]})] {
        let w = World::new();
        w.pool("p", json!({"min": 1, "max": 3})).await;
        let old = ready(&w, 1).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let from = w.api.revision();
        w.patch_pool("p", json!({"spec": bad})).await;
        w.until_pool("p", "stalled", |p| progress(p).1 == "UpdateStalled").await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!((fewest_ready(&w, from), most_workers(&w, from)), (1, 2), "the old one is ready, one is tried");
        // It serves meanwhile.
        assert!(old.contains(&serve(&w, "a").await));
        let from = w.api.revision();
        w.patch_pool("p", json!({"spec": {"image": "worker:2", "command": null}})).await;
        w.until_pool("p", "updated", |p| is_done(p, 1)).await;
        assert!(uids(&w.all_workers().await).is_disjoint(&old));
        assert_eq!((fewest_ready(&w, from), most_workers(&w, from)), (1, 2), "no gap");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_that_is_taken_back_leaves_the_pool_as_it_was() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 3})).await;
    let old = ready(&w, 1).await;
    w.patch_pool("p", json!({"spec": {"image": "no-such-image"}})).await;
    w.until_pool("p", "stalled", |p| progress(p).1 == "UpdateStalled").await;
    w.patch_pool("p", json!({"spec": {"image": "worker:1"}})).await;
    w.until_pool("p", "back", |p| is_done(p, 1)).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(uids(&w.all_workers().await), old);
}

/// Where `max` allows none, or `maxSurge` is 0, an update of a pool of one is a gap. Its size stays the same.
#[tokio::test(start_paused = true)]
async fn without_a_surge_the_only_worker_goes_first() {
    for spec in [json!({"min": 1, "max": 1}), json!({"min": 1, "max": 3, "update": {"maxSurge": 0}})] {
        let w = World::new();
        w.pool("p", spec).await;
        let old = ready(&w, 1).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let from = w.api.revision();
        w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
        w.until_pool("p", "updated", |p| is_done(p, 1)).await;
        assert!(uids(&w.all_workers().await).is_disjoint(&old));
        assert_eq!((fewest_ready(&w, from), most_workers(&w, from)), (0, 1));
    }
}

/// Under load the old worker is never idle for long: it has to be replaced all the same.
#[tokio::test(start_paused = true)]
async fn a_pool_of_one_that_is_never_idle_is_updated() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 2, "update": {"maxSurge": "100%"}})).await;
    let old = ready(&w, 1).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    for t in 0..6 {
        w.dispatch(&format!("t{t}"), "p", json!({"retry": {}})).await;
    }
    w.patch_pool("p", json!({"spec": {"max": 2, "image": "worker:2"}})).await;
    for t in 0..6 {
        w.until_assigned(&format!("t{t}")).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        w.report(&format!("t{t}"), json!({"outcome": "Succeeded"})).await;
    }
    w.until_pool("p", "updated", |p| progress(p).1 != "RollingUpdate").await;
    assert!(uids(&w.all_workers().await).is_disjoint(&old));
}

/// A worker that was created ahead has the credential of the worker that goes for it.
#[tokio::test(start_paused = true)]
async fn a_surge_keeps_the_credentials() {
    let w = World::new();
    let credentials = credentials(&[("a", "PATH"), ("b", "HOME")]);
    w.pool("p", json!({"min": 3, "max": 5, "credentials": credentials, "rateLimit": {"scope": "Credential"}})).await;
    ready(&w, 3).await;
    w.annotate("p", "cooldown.poolkeeper.dev/a", "2h").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let on = async || {
        let mut on: Vec<_> = w.all_workers().await.into_iter().map(|w| w.spec.credential.unwrap()).collect();
        on.sort();
        on
    };
    let before = on().await;
    let from = w.api.revision();
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    w.until_pool("p", "updated", |p| is_done(p, 3)).await;
    assert_eq!(on().await, before);
    assert_eq!((fewest_ready(&w, from), most_workers(&w, from)), (3, 4));
}

/// A template whose workers become Ready and die soon after costs no more than one that does not start.
#[tokio::test(start_paused = true)]
async fn workers_that_die_right_after_their_start_stop_an_update() {
    let w = World::new();
    w.pool("p", json!({"min": 8, "max": 8})).await;
    let old = ready(&w, 8).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    let until = tokio::time::Instant::now() + Duration::from_secs(600);
    while tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for i in w.all_workers().await.iter().filter(|w| is_ready(w)) {
            let uid = i.metadata.uid.clone().unwrap();
            let age = w.now().duration_since(i.status.as_ref().unwrap().idle_since.as_ref().unwrap().0);
            if !old.contains(&uid) && age >= jiff::SignedDuration::from_secs(5) {
                let worker = i.metadata.name.clone().unwrap();
                w.fake.kill(&poolkeeper::runtime::InstanceKey { namespace: NS.to_owned(), worker, uid });
            }
        }
        assert!(uids(&w.all_workers().await).intersection(&old).count() >= 6);
    }
    assert_eq!(progress(&w.pools().get("p").await.unwrap()).1, "UpdateStalled");
}

/// A failure that passes stalls an update only for a while, even if the pool wants no worker by now.
#[tokio::test(start_paused = true)]
async fn an_update_goes_on_after_a_failure_that_passes() {
    let w = World::new();
    w.pool("p", json!({"warm": 4, "max": 4, "idleTimeout": "10h"})).await;
    ready(&w, 4).await;
    w.patch_pool("p", json!({"spec": {"warm": 0}})).await;
    w.fake.fail_next_start(poolkeeper_testkit::fake::Fault::Refused("not now".to_owned()));
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    w.until_pool("p", "updated", |p| is_done(p, 4)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(is_done(&w.pools().get("p").await.unwrap(), 4), "an update does not change the size");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_update_goes_on_after_a_restart_of_the_controller() {
    let mut w = World::new();
    w.pool("p", json!({"warm": 4, "max": 4, "idleTimeout": "10h"})).await;
    ready(&w, 4).await;
    w.patch_pool("p", json!({"spec": {"warm": 0, "image": "no-such-image"}})).await;
    w.until_pool("p", "stalled", |p| progress(p).1 == "UpdateStalled").await;
    w.restart().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let ready = w.all_workers().await.iter().filter(|w| is_ready(w)).count();
    assert_eq!(ready, 3, "a restart costs no worker");
    w.patch_pool("p", json!({"spec": {"image": "worker:3"}})).await;
    w.until_pool("p", "updated", |p| is_done(p, 4) || is_done(p, 3)).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_busy_ends_its_work_and_goes_then_though_more_waits() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "max": 2, "update": {"maxUnavailable": 1}})).await;
    let old = ready(&w, 2).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    for t in ["a", "b", "c", "d"] {
        w.dispatch(t, "p", json!({})).await;
    }
    w.until_assigned("a").await;
    w.until_assigned("b").await;
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(uids(&w.all_workers().await), old, "no worker with an open attempt goes");
    w.report("a", json!({"outcome": "Succeeded"})).await;
    w.until_assigned("c").await;
    let c = w.dispatches().get("c").await.unwrap().status.unwrap().worker.unwrap();
    assert!(!old.contains(&c.uid), "the next goes to a new worker");
    tokio::time::sleep(Duration::from_secs(30)).await;
    w.report("b", json!({"outcome": "Succeeded"})).await;
    w.until_assigned("d").await;
    let d = w.dispatches().get("d").await.unwrap().status.unwrap().worker.unwrap();
    assert!(!old.contains(&d.uid));
    w.until_pool("p", "updated", |p| is_done(p, 2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_resting_worker_keeps_its_slot_until_its_rest_ends() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    let old = ready(&w, 1).await;
    w.dispatch("a", "p", json!({})).await;
    w.until_assigned("a").await;
    w.report("a", json!({"outcome": "RateLimited", "retryAfter": "20m"})).await;
    w.until_final("a").await;
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    tokio::time::sleep(Duration::from_secs(19 * 60)).await;
    assert_eq!(uids(&w.all_workers().await), old, "a fresh one in its slot would not be rested");
    w.until_pool("p", "updated", |p| is_done(p, 1)).await;
}

/// A worker's replacement is on its credential, even if that rests: otherwise the pool would move to the other one.
#[tokio::test(start_paused = true)]
async fn a_replacement_has_the_credential_of_who_went() {
    let w = World::new();
    let from = |n: &str| if n == "a" { "PATH" } else { "HOME" };
    let credential = |n: &str| json!({"name": n, "env": "TOKEN", "fromEnv": from(n)});
    let spec = json!({"min": 4, "max": 4, "credentials": [credential("a"), credential("b")], "rateLimit": {"scope": "Credential"}});
    w.pool("p", spec).await;
    ready(&w, 4).await;
    w.annotate("p", "cooldown.poolkeeper.dev/a", "2h").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    w.until_pool("p", "updated", |p| is_done(p, 4)).await;
    let mut on: Vec<_> = w.all_workers().await.into_iter().map(|w| w.spec.credential.unwrap()).collect();
    on.sort();
    assert_eq!(on, ["a", "a", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_paused_pool_is_not_updated() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "max": 2})).await;
    let old = ready(&w, 2).await;
    w.patch_pool("p", json!({"spec": {"paused": true, "image": "worker:2"}})).await;
    let p = w.until_pool("p", "paused", |p| progress(p).1 == "UpdatePaused").await;
    assert_eq!(progress(&p).0, "False");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(uids(&w.all_workers().await), old);
    w.patch_pool("p", json!({"spec": {"paused": false}})).await;
    w.until_pool("p", "updated", |p| is_done(p, 2)).await;
    assert_eq!(told(&w).await, ["UpdateStarted", "UpdateDone"]);
}

/// Uid of the worker that served it.
async fn serve(w: &World, name: &str) -> String {
    w.dispatch(name, "p", json!({})).await;
    w.until_assigned(name).await;
    w.report(name, json!({"outcome": "Succeeded"})).await;
    w.until_final(name).await;
    let d = w.dispatches().get(name).await.unwrap();
    d.status.unwrap().worker.unwrap().uid
}

#[tokio::test(start_paused = true)]
async fn a_worker_serves_as_often_as_recycle_says() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1, "recycle": {"afterDispatches": 2}})).await;
    let mut served = Vec::new();
    for t in ["a", "b", "c", "d", "e"] {
        served.push(serve(&w, t).await);
    }
    assert!(served[0] == served[1] && served[1] != served[2], "{served:?}");
    assert!(served[2] == served[3] && served[3] != served[4], "{served:?}");
}

/// Also where the next dispatch waits already.
#[tokio::test(start_paused = true)]
async fn who_served_often_enough_takes_no_next_one_in_the_write_that_frees_it() {
    let w = World::new();
    w.pool("p", json!({"max": 1, "recycle": {"afterDispatches": 1}})).await;
    w.dispatch("a", "p", json!({})).await;
    w.dispatch("b", "p", json!({})).await;
    let mut used = BTreeSet::new();
    for t in ["a", "b"] {
        w.until_assigned(t).await;
        used.insert(w.dispatches().get(t).await.unwrap().status.unwrap().worker.unwrap().uid);
        w.report(t, json!({"outcome": "Succeeded"})).await;
    }
    assert_eq!(used.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_old_worker_is_replaced_when_idle() {
    let w = World::new();
    w.pool("p", json!({"min": 4, "max": 4, "recycle": {"maxAge": "1h"}})).await;
    let old = ready(&w, 4).await;
    tokio::time::sleep(Duration::from_secs(3500)).await;
    assert_eq!(uids(&w.all_workers().await), old);
    let from = w.api.revision();
    w.until_workers("replaced", |ws| {
        ws.len() == 4 && ws.iter().all(is_ready) && uids(ws).intersection(&old).count() == 0
    })
    .await;
    assert_eq!(fewest_ready(&w, from), 3, "one at a time");
    assert!(told(&w).await.is_empty(), "that is no update");
}

fn credentials(all: &[(&str, &str)]) -> serde_json::Value {
    all.iter().map(|(name, env)| json!({"name": name, "env": "TOKEN", "fromEnv": env})).collect()
}

/// Workers have the token that existed when they were made: a worker with the old one must not speak for the new one.
#[tokio::test(start_paused = true)]
async fn a_changed_credential_reaches_the_workers_and_is_not_blamed_for_the_old_one() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "max": 2, "credentials": credentials(&[("a", "PATH")])})).await;
    let old = ready(&w, 2).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    w.patch_pool("p", json!({"spec": {"credentials": credentials(&[("a", "HOME")])}})).await;
    w.dispatch("u", "p", json!({})).await;
    w.until_assigned("u").await;
    let on = w.dispatches().get("u").await.unwrap().status.unwrap().worker.unwrap().uid;
    assert!(!old.contains(&on), "u runs with the old token");
    w.report("t", json!({"outcome": "Unauthorized", "message": "401"})).await;
    w.until_final("t").await;
    w.until_workers("replaced", |ws| ws.len() == 2 && uids(ws).is_disjoint(&old)).await;
    w.report("u", json!({"outcome": "Succeeded"})).await;
    w.until_pool("p", "updated", |p| is_done(p, 2)).await;
    assert!(w.pools().get("p").await.unwrap().status.unwrap().rate_limits.iter().all(|r| !r.parked));
}

#[tokio::test(start_paused = true)]
async fn workers_of_a_credential_that_was_taken_out_are_replaced() {
    let w = World::new();
    w.pool("p", json!({"min": 4, "max": 4, "credentials": credentials(&[("a", "PATH"), ("b", "HOME")])})).await;
    ready(&w, 4).await;
    w.patch_pool("p", json!({"spec": {"credentials": credentials(&[("a", "PATH")])}})).await;
    w.until_pool("p", "updated", |p| is_done(p, 4)).await;
    let of: BTreeSet<_> = w.all_workers().await.into_iter().map(|w| w.spec.credential).collect();
    assert_eq!(of, [Some("a".to_owned())].into());
}
