//! Credentials that were refused: when they are probed, by what, and what ends that.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::pool::CredentialRest;
use poolkeeper::api::{Condition, ContainerPool, Dispatch, DispatchStatus};
use poolkeeper::runtime::InstanceKey;
use serde_json::{Value, json};

use crate::world::{NS, World, phase};

/// A pool with these credentials. The fake fetches credentials as the others do: these two variables are set everywhere.
fn with(names: &[&str], park_probe: &str) -> Value {
    let from = |n: &str| if n == "a" { "PATH" } else { "HOME" };
    let credentials: Vec<Value> =
        names.iter().map(|n| json!({"name": n, "env": "TOKEN", "fromEnv": from(n)})).collect();
    json!({"max": 1, "credentials": credentials, "rateLimit": {"parkProbe": park_probe, "probeAfter": "30s"}})
}

fn status(d: &Dispatch) -> DispatchStatus {
    d.status.clone().unwrap_or_default()
}

fn entry(p: &ContainerPool) -> Option<CredentialRest> {
    p.status.as_ref()?.rate_limits.first().cloned()
}

/// Waits until a pool has its first entry, and that is as asked for.
async fn until_entry(w: &World, pool: &str, what: &str, f: impl Fn(&CredentialRest) -> bool) -> CredentialRest {
    let p = w.until_pool(pool, what, |p| entry(p).is_some_and(|r| f(&r))).await;
    entry(&p).unwrap()
}

/// Assigns a dispatch, reports it as refused, and waits until the credential is parked.
async fn park(w: &World, pool: &str, task: &str) -> CredentialRest {
    w.dispatch(task, pool, json!({})).await;
    w.until_assigned(task).await;
    w.report(task, json!({"outcome": "Unauthorized", "message": "401"})).await;
    assert_eq!(w.until_final(task).await, DispatchPhase::Failed);
    until_entry(w, pool, "parked", |r| r.parked).await
}

/// Waits until a dispatch is assigned for this attempt.
async fn attempt(w: &World, task: &str, n: i32) -> DispatchStatus {
    let open = |d: &Dispatch| phase(d) == DispatchPhase::Assigned && status(d).attempt == n;
    status(&w.until_dispatch(task, "assigned", open).await)
}

fn until(r: &CredentialRest) -> Timestamp {
    r.until.as_ref().unwrap().0
}

fn assigned(s: &DispatchStatus) -> Timestamp {
    s.assigned_at.as_ref().unwrap().0
}

async fn created(w: &World, worker: &str) -> Timestamp {
    w.workers().get(worker).await.unwrap().metadata.creation_timestamp.unwrap().0
}

/// Rules 16 to 18 and 20 to 21: a new worker, once work waits and the time has come. Refused again, the dispatch goes on at no cost. Let
/// in, every dispatch goes on, without the workers from before.
#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_probed_on_a_new_worker_at_no_cost_for_the_dispatch() {
    let w = World::new();
    w.pool("p", with(&["a"], "10m")).await;
    let parked = park(&w, "p", "t").await;
    let closed = status(&w.dispatches().get("t").await.unwrap()).last_result.unwrap();
    assert_eq!(parked.stale_before, Some(closed.closed_at.clone()));
    assert_eq!(closed.until, parked.until);
    assert_eq!(until(&parked).duration_since(closed.closed_at.0), SignedDuration::from_mins(10));
    let old = w.all_workers().await.remove(0);
    tokio::time::sleep(Duration::from_secs(1200)).await;
    let still = w.all_workers().await.remove(0);
    assert_eq!(still.metadata.uid, old.metadata.uid, "nothing waits, so nothing is replaced");

    w.dispatch("u", "p", json!({"retry": {"rateLimited": 0}})).await;
    let first = attempt(&w, "u", 1).await;
    assert!(first.probe);
    let worker = w.workers().get("p-0").await.unwrap();
    assert_eq!(worker.status.unwrap().dispatch.map(|d| d.probe), Some(true));
    assert_ne!(worker.metadata.uid, old.metadata.uid, "it had the old value");
    assert!(created(&w, "p-0").await > until(&parked));
    w.report("u", json!({"outcome": "Unauthorized", "message": "401"})).await;
    let again = w.until_dispatch("u", "pending", |d| phase(d) == DispatchPhase::Pending).await;
    assert_eq!((status(&again).retries, status(&again).probe), (None, true));
    let parked = until_entry(&w, "p", "parked for longer", |r| r.parked && until(r) > until(&parked)).await;

    let second = attempt(&w, "u", 2).await;
    assert!(assigned(&second) >= until(&parked) && second.probe);
    assert_ne!(second.worker, first.worker);
    w.report("u", json!({"outcome": "Succeeded"})).await;
    w.until_final("u").await;
    let free = until_entry(&w, "p", "let in", |r| !r.parked).await;
    assert_eq!((free.until, free.stale_before), (parked.until.clone(), parked.until), "the fence stays");
    w.dispatch("v", "p", json!({})).await;
    assert!(!attempt(&w, "v", 1).await.probe);
}

/// Rule 16: there is no worker that would be woken.
#[tokio::test(start_paused = true)]
async fn a_worker_is_created_for_a_probe_where_there_is_none() {
    let w = World::new();
    let mut spec = with(&["a"], "10m");
    spec["recycle"] = json!({"afterDispatches": 1});
    w.pool("p", spec).await;
    let parked = park(&w, "p", "t").await;
    w.until_workers("gone", <[_]>::is_empty).await;
    w.dispatch("u", "p", json!({})).await;
    let s = attempt(&w, "u", 1).await;
    assert!(s.probe && assigned(&s) >= until(&parked));
    let late = assigned(&s).duration_since(until(&parked));
    assert!(late < SignedDuration::from_secs(30), "{late}: its time wakes the pool");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_does_not_probe_waits_for_a_person() {
    let w = World::new();
    w.pool("p", with(&["a"], "0s")).await;
    let parked = park(&w, "p", "t").await;
    assert_eq!(parked.until, None);
    w.dispatch("u", "p", json!({})).await;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(phase(&w.dispatches().get("u").await.unwrap()), DispatchPhase::Pending);
    w.annotate("p", "cooldown.poolkeeper.dev/a", "clear").await;
    assert!(!attempt(&w, "u", 1).await.probe);
    assert!(created(&w, "p-0").await > parked.stale_before.unwrap().0, "the old worker does not meet the new value");
}

/// Rule 22: the longest time holds, and a pool that never probes goes on after the probe of another one.
#[tokio::test(start_paused = true)]
async fn pools_wait_for_the_longest_of_their_times_and_profit_from_each_others_probes() {
    let w = World::new();
    for (pool, time) in [("none", "0s"), ("short", "10m"), ("long", "30m")] {
        w.pool(pool, with(&["a"], time)).await;
    }
    let parked = park(&w, "none", "t").await;
    let closed = status(&w.dispatches().get("t").await.unwrap()).last_result.unwrap().closed_at.0;
    assert_eq!(until(&parked).duration_since(closed), SignedDuration::from_mins(30));
    w.dispatch("u", "none", json!({})).await;
    w.dispatch("v", "short", json!({})).await;
    let probe = attempt(&w, "v", 1).await;
    assert!(probe.probe && assigned(&probe) >= until(&parked));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(phase(&w.dispatches().get("u").await.unwrap()), DispatchPhase::Pending, "it probes never");
    w.report("v", json!({"outcome": "Succeeded"})).await;
    assert!(!attempt(&w, "u", 1).await.probe);
    assert!(!until_entry(&w, "none", "let in", |_| true).await.parked);
}

/// Rule 18: one over all pools, until it has run for probeAfter.
#[tokio::test(start_paused = true)]
async fn one_attempt_over_all_pools_probes_and_the_others_follow_after_probe_after() {
    let w = World::new();
    for pool in ["p", "q"] {
        w.pool(pool, with(&["a"], "10m")).await;
    }
    let parked = park(&w, "p", "t").await;
    for (task, pool) in [("u", "p"), ("v", "q")] {
        w.dispatch(task, pool, json!({})).await;
    }
    let mut probes = Vec::new();
    for task in ["u", "v"] {
        probes.push(attempt(&w, task, 1).await);
    }
    assert!(probes.iter().all(|s| s.probe && assigned(s) >= until(&parked)));
    let apart = assigned(&probes[0]).duration_since(assigned(&probes[1])).abs();
    assert!(apart >= SignedDuration::from_secs(30), "{apart}");
}

/// Rule 19: an end that says nothing about the credential. Reported ones are stored for the next controller.
#[tokio::test(start_paused = true)]
async fn a_probe_that_says_nothing_counts_from_its_assignment() {
    let mut w = World::new();
    w.pool("p", with(&["a"], "10m")).await;
    park(&w, "p", "t").await;
    w.dispatch("u", "p", json!({"retry": {"failed": 1, "workerLost": 1}})).await;
    let first = attempt(&w, "u", 1).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    w.report("u", json!({"outcome": "Failed"})).await;
    let next = assigned(&first) + SignedDuration::from_mins(10);
    let parked = until_entry(&w, "p", "later", |r| until(r) > assigned(&first)).await;
    assert_eq!((parked.parked, until(&parked)), (true, next));
    w.restart().await;
    let second = attempt(&w, "u", 2).await;
    assert!(second.probe && assigned(&second) >= next);
    let uid = w.workers().get("p-0").await.unwrap().metadata.uid.unwrap();
    assert!(w.fake.kill(&InstanceKey { namespace: NS.to_owned(), worker: "p-0".to_owned(), uid }));
    let third = attempt(&w, "u", 3).await;
    let apart = assigned(&third).duration_since(assigned(&second));
    assert!(third.probe && apart >= SignedDuration::from_mins(10), "{apart} after a probe without a report");
}

/// Rule 20: an attempt that was assigned before the time of the probe neither parks nor unparks.
#[tokio::test(start_paused = true)]
async fn an_old_attempt_says_nothing_about_a_credential() {
    let w = World::new();
    let mut spec = with(&["a"], "10m");
    spec["max"] = json!(3);
    w.pool("p", spec).await;
    for task in ["late", "later"] {
        w.dispatch(task, "p", json!({})).await;
        w.until_assigned(task).await;
    }
    let parked = park(&w, "p", "t").await;
    w.report("late", json!({"outcome": "Succeeded"})).await;
    w.until_final("late").await;
    w.until_workers("free", |ws| ws.iter().filter(|w| w.status.as_ref().unwrap().dispatch.is_some()).count() == 1)
        .await;
    assert!(until_entry(&w, "p", "there", |_| true).await.parked, "it began before the refusal");

    w.dispatch("u", "p", json!({})).await;
    assert!(attempt(&w, "u", 1).await.probe);
    w.report("u", json!({"outcome": "Succeeded"})).await;
    until_entry(&w, "p", "let in", |r| !r.parked).await;
    w.report("later", json!({"outcome": "Unauthorized"})).await;
    w.until_final("later").await;
    w.until_workers("free", |ws| ws.iter().all(|w| w.status.as_ref().unwrap().dispatch.is_none())).await;
    let after = until_entry(&w, "p", "there", |_| true).await;
    assert_eq!((after.parked, after.until), (false, parked.until), "an old process has the old value");
}

/// Rule 20: it was let in, and then it rests.
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_rate_limited_unparks_and_rests() {
    for scope in ["Worker", "Credential"] {
        let w = World::new();
        let mut spec = with(&["a"], "10m");
        spec["rateLimit"]["scope"] = json!(scope);
        w.pool("p", spec.clone()).await;
        w.pool("q", spec).await;
        park(&w, "q", "t").await;
        w.dispatch("u", "p", json!({"retry": {"rateLimited": 1}})).await;
        assert!(attempt(&w, "u", 1).await.probe);
        w.report("u", json!({"outcome": "RateLimited", "retryAfter": "20m"})).await;
        until_entry(&w, "q", "let in", |r| !r.parked).await;
        let second = attempt(&w, "u", 2).await;
        assert!(!second.probe, "scope {scope}");
    }
}

/// Rule 21: no dispatch is sacrificed, whatever other credentials there are.
#[tokio::test(start_paused = true)]
async fn a_refused_probe_uses_no_retry_where_there_is_another_credential() {
    let w = World::new();
    let mut spec = with(&["a", "b"], "10m");
    spec["max"] = json!(2);
    for k in 0..2 {
        spec["credentials"][k]["maxConcurrent"] = json!(1);
    }
    w.pool("p", spec).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": 1}})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "Unauthorized"})).await;
    attempt(&w, "t", 2).await; // on the other one, which it keeps busy
    let parked = until_entry(&w, "p", "parked", |r| r.parked).await;
    w.dispatch("u", "p", json!({"retry": {"rateLimited": 0}})).await;
    let probe = attempt(&w, "u", 1).await;
    assert!(probe.probe && assigned(&probe) >= until(&parked));
    w.report("u", json!({"outcome": "Unauthorized"})).await;
    let d = w.until_dispatch("u", "pending", |d| phase(d) == DispatchPhase::Pending).await;
    assert_eq!((status(&d).retries, status(&d).waits_until), (None, None));
    w.report("t", json!({"outcome": "Succeeded"})).await;
    assert!(!attempt(&w, "u", 2).await.probe);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_ends_its_dispatch() {
    let w = World::new();
    w.pool("p", with(&["a"], "10m")).await;
    park(&w, "p", "t").await;
    w.dispatch("u", "p", json!({})).await;
    attempt(&w, "u", 1).await;
    let result = json!({"attempt": 1, "outcome": "Unauthorized"});
    w.patch_dispatch("u", json!({"spec": {"cancel": true, "result": result}})).await;
    assert_eq!(w.until_final("u").await, DispatchPhase::Cancelled);
}

/// What waits says until when, and so does the pool.
#[tokio::test(start_paused = true)]
async fn what_waits_says_which_credential_is_parked_and_when_it_is_probed() {
    let w = World::new();
    w.pool("p", with(&["a"], "10m")).await;
    let parked = park(&w, "p", "t").await;
    let at = poolkeeper::api::seconds(until(&parked));
    w.dispatch("u", "p", json!({})).await;
    let d = w.until_dispatch("u", "explained", |d| status(d).reason.is_some()).await;
    let said = format!(
        "credential a is parked since it was refused, probed next at {}; change it, or clear it with a cooldown annotation",
        at.0
    );
    assert_eq!((status(&d).message, status(&d).waits_until), (Some(said.clone()), Some(at.clone())));
    let shown = |p: &ContainerPool| {
        let s = p.status.as_ref().unwrap();
        let c = s.conditions.iter().find(|c: &&Condition| c.type_ == "Dispatching").unwrap();
        (c.reason.clone(), c.message.clone(), s.resting_credentials[0].until.clone())
    };
    let p = w.until_pool("p", "says it", |p| shown(p).0 == "CredentialsRefused").await;
    assert_eq!(shown(&p), ("CredentialsRefused".to_owned(), said, Some(at)));
}
