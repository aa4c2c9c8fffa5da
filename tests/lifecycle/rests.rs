//! Rests of workers and credentials.

use std::time::Duration;

use jiff::SignedDuration;
use poolkeeper::api::Dispatch;
use poolkeeper::api::dispatch::{DispatchPhase, Outcome};
use serde_json::{Value, json};

use crate::world::{World, phase};

fn by_credential(max: i32, names: &[&str]) -> Value {
    // The fake fetches credentials as the others do: these two variables are set everywhere.
    let from = |n: &str| if n == "a" { "PATH" } else { "HOME" };
    let credentials: Vec<Value> =
        names.iter().map(|n| json!({"name": n, "env": "TOKEN", "fromEnv": from(n)})).collect();
    json!({"max": max, "min": max, "cooldown": "60s", "credentials": credentials, "rateLimit": {"scope": "Credential", "probeAfter": "30s"}})
}

/// Waits for the second attempt.
async fn tried_again(w: &World, name: &str) {
    let second =
        |d: &Dispatch| phase(d) == DispatchPhase::Assigned && d.status.as_ref().is_some_and(|s| s.attempt == 2);
    w.until_dispatch(name, "again", second).await;
}

/// A rest doubles with each strike, up to maxCooldown; a success ends the series.
#[tokio::test(start_paused = true)]
async fn a_rest_doubles_and_a_success_resets_it() {
    let w = World::new();
    w.pool("p", json!({"max": 1, "cooldown": "60s", "rateLimit": {"maxCooldown": "3m"}})).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": -1}})).await;
    let mut rests = Vec::new();
    for attempt in 1..=4 {
        w.until_dispatch("t", "assigned", |d| {
            phase(d) == DispatchPhase::Assigned && d.status.clone().unwrap().attempt == attempt
        })
        .await;
        let before = w.now();
        w.report("t", json!({"outcome": "RateLimited"})).await;
        let d = w
            .until_dispatch("t", "closed", |d| {
                d.status.clone().unwrap().last_result.is_some_and(|r| r.attempt == attempt)
            })
            .await;
        let until = d.status.unwrap().last_result.unwrap().until.unwrap().0;
        rests.push((until.duration_since(before).as_secs_f64() / 60.0).floor());
    }
    assert_eq!(rests, [1.0, 2.0, 3.0, 3.0]);
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "Succeeded"})).await;
    w.until_final("t").await;
    let ws = w.until_workers("reset", |ws| ws[0].status.clone().unwrap().dispatch.is_none()).await;
    assert_eq!(ws[0].status.clone().unwrap().cooldown, None);
}

/// The task is done and used up what its service allows: a rest without a strike, and no dispatch before its end.
#[tokio::test(start_paused = true)]
async fn a_success_that_names_a_time_is_followed_by_a_rest_without_a_strike() {
    let w = World::new();
    w.pool("p", json!({"max": 1, "cooldown": "60s"})).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": -1}})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "RateLimited"})).await;
    tried_again(&w, "t").await;
    let before = w.now();
    w.report("t", json!({"outcome": "Succeeded", "retryAfter": "30m", "message": "used up"})).await;
    assert_eq!(w.until_final("t").await, DispatchPhase::Succeeded);
    let ws = w.until_workers("free", |ws| ws[0].status.clone().unwrap().dispatch.is_none()).await;
    let rest = ws[0].status.clone().unwrap().cooldown.unwrap();
    let until = rest.until.unwrap().0;
    assert_eq!((rest.strikes, rest.reason.as_deref()), (0, Some("used up")));
    assert!(until >= before + SignedDuration::from_mins(30));
    w.dispatch("u", "p", json!({"retry": {"rateLimited": -1}})).await;
    w.until_assigned("u").await;
    assert!(w.dispatches().get("u").await.unwrap().status.unwrap().assigned_at.unwrap().0 >= until);
    w.report("u", json!({"outcome": "RateLimited"})).await;
    let closed = |d: &Dispatch| phase(d) == DispatchPhase::Pending && d.status.clone().unwrap().last_result.is_some();
    let rested = w.until_dispatch("u", "closed", closed).await.status.unwrap().last_result.unwrap();
    let rest = rested.until.unwrap().0.duration_since(rested.closed_at.0);
    assert!(rest < SignedDuration::from_secs(67), "the first limit in a row: {rest}");
}

/// Every pool forgets the strikes, and none assigns before the end.
#[tokio::test(start_paused = true)]
async fn a_success_that_names_a_time_rests_its_credential_in_every_pool() {
    let w = World::new();
    w.pool("p", by_credential(1, &["a"])).await;
    w.pool("q", by_credential(1, &["a"])).await;
    for (pool, task) in [("q", "first"), ("p", "t")] {
        w.dispatch(task, pool, json!({"retry": {"rateLimited": 1}})).await;
        w.until_assigned(task).await;
        w.report(task, json!({"outcome": "RateLimited"})).await;
        tried_again(&w, task).await;
        if task == "first" {
            w.report(task, json!({"outcome": "Failed"})).await; // no success: the strike stays
            w.until_final(task).await;
        }
    }
    w.report("t", json!({"outcome": "Succeeded", "retryAfter": "20m"})).await;
    let strikes = |p: &poolkeeper::api::ContainerPool| p.status.as_ref().unwrap().rate_limits[0].strikes;
    let own = w.until_pool("p", "reset", |p| strikes(p) == 0).await.status.unwrap().rate_limits.remove(0);
    assert_eq!(strikes(&w.until_pool("q", "written before", |_| true).await), 0, "the others are written first");
    w.dispatch("u", "q", json!({})).await;
    w.until_assigned("u").await;
    let assigned = w.dispatches().get("u").await.unwrap().status.unwrap().assigned_at.unwrap();
    assert!(assigned >= own.until.unwrap());
}

/// Two workers on one credential are limited at once: one strike, all rest, one goes first, the rest follow its success.
#[tokio::test(start_paused = true)]
async fn a_credential_rests_as_one_and_comes_back_half_open() {
    let w = World::new();
    w.pool("p", by_credential(3, &["a"])).await;
    for t in ["t1", "t2", "t3"] {
        w.dispatch(t, "p", json!({"retry": {"rateLimited": -1}})).await;
    }
    for t in ["t1", "t2", "t3"] {
        w.until_assigned(t).await;
    }
    for t in ["t1", "t2", "t3"] {
        w.report(t, json!({"outcome": "RateLimited"})).await;
    }
    let p = w.until_pool("p", "resting", |p| p.status.as_ref().is_some_and(|s| s.resting == 3)).await;
    let status = p.status.unwrap();
    assert_eq!((status.rate_limits[0].key.as_str(), status.rate_limits[0].strikes), ("env/PATH", 1), "one strike");
    assert_eq!(
        status.next_available_time.as_ref(),
        status.rate_limits[0].until.as_ref().map(|t| poolkeeper::api::seconds(t.0)).as_ref()
    );
    let until = status.rate_limits[0].until.clone().unwrap().0;
    let assigned = || async {
        let mut n = 0;
        for t in ["t1", "t2", "t3"] {
            n += i32::from(phase(&w.dispatches().get(t).await.unwrap()) == DispatchPhase::Assigned);
        }
        n
    };
    tokio::time::sleep(Duration::try_from(until.duration_since(w.now()) - SignedDuration::from_secs(1)).unwrap()).await;
    assert_eq!(assigned().await, 0, "none runs before the deadline");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(assigned().await, 1, "half-open: one goes first");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(assigned().await, 3, "it ran probeAfter unlimited: the others follow");
    for t in ["t1", "t2", "t3"] {
        w.report(t, json!({"outcome": "Succeeded"})).await;
        w.until_final(t).await;
    }
    w.until_pool("p", "reset", |p| p.status.as_ref().unwrap().rate_limits[0].strikes == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_credential_rests_in_every_pool() {
    let w = World::new();
    w.pool("p", by_credential(1, &["a"])).await;
    w.pool("q", by_credential(1, &["a"])).await;
    w.dispatch("t", "p", json!({})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "RateLimited", "retryAfter": "10m"})).await;
    w.until_pool("p", "shown", |p| !p.status.as_ref().unwrap().rate_limits.is_empty()).await;
    let before = w.now();
    w.dispatch("u", "q", json!({})).await;
    w.until_assigned("u").await;
    assert!(w.now().duration_since(before) > SignedDuration::from_mins(9));
}

/// A refused credential is parked; its task goes on with another one; a person clears it.
#[tokio::test(start_paused = true)]
async fn unauthorized_parks_the_credential_until_it_is_cleared() {
    let w = World::new();
    w.pool("p", by_credential(2, &["a", "b"])).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": 1}})).await;
    let first = w.until_assigned("t").await;
    w.report("t", json!({"outcome": "Unauthorized", "message": "401"})).await;
    let d = w
        .until_dispatch("t", "again", |d| phase(d) == DispatchPhase::Assigned && d.status.clone().unwrap().attempt == 2)
        .await;
    assert_ne!(d.status.unwrap().worker.unwrap().name, first);
    let p = w.until_pool("p", "parked", |p| p.status.as_ref().unwrap().rate_limits.iter().any(|r| r.parked)).await;
    let parked = p.status.unwrap().rate_limits.into_iter().find(|r| r.parked).unwrap();
    let (name, other) = if parked.key == "env/PATH" { ("a", "b") } else { ("b", "a") };
    w.dispatch("u", "p", json!({})).await;
    w.until_assigned("u").await;
    let used: Vec<String> = w.all_workers().await.into_iter().filter_map(|w| w.spec.credential).collect();
    assert_eq!(used, [other, other], "the parked one's worker made room");
    w.annotate("p", &format!("cooldown.poolkeeper.dev/{name}"), "clear").await;
    w.until_pool("p", "cleared", |p| p.status.as_ref().unwrap().rate_limits.iter().all(|r| !r.parked)).await;
}

#[tokio::test(start_paused = true)]
async fn unauthorized_without_another_credential_is_final() {
    let w = World::new();
    w.pool("p", json!({})).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": -1}})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "Unauthorized"})).await;
    assert_eq!(w.until_final("t").await, DispatchPhase::Failed);
    let d = w.dispatches().get("t").await.unwrap().status.unwrap();
    assert_eq!(d.reason.as_deref(), Some("Unauthorized"));
    assert_eq!(d.last_result.unwrap().outcome, Outcome::Unauthorized);
}

#[tokio::test(start_paused = true)]
async fn a_rest_set_by_hand_holds_and_can_be_cleared() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    w.annotate("p", "cooldown.poolkeeper.dev/p-0", "30m").await;
    w.until_pool("p", "resting", |p| {
        p.status.as_ref().is_some_and(|s| s.resting == 1 && s.not_ready[0].reason == "Resting")
    })
    .await;
    w.dispatch("t", "p", json!({})).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(phase(&w.dispatches().get("t").await.unwrap()), DispatchPhase::Pending);
    w.annotate("p", "cooldown.poolkeeper.dev/p-0", "clear").await;
    let before = w.now();
    w.until_assigned("t").await;
    assert!(w.now().duration_since(before) < SignedDuration::from_secs(10));
}

/// With work queued and another credential free, a worker that rests long makes room for one that can work.
#[tokio::test(start_paused = true)]
async fn a_long_resting_worker_makes_room_for_a_free_credential() {
    let w = World::new();
    let mut spec = by_credential(1, &["a", "b"]);
    spec["min"] = json!(0);
    w.pool("p", spec).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": -1}})).await;
    w.until_assigned("t").await;
    let before = w.now();
    w.report("t", json!({"outcome": "RateLimited", "retryAfter": "2h"})).await;
    tried_again(&w, "t").await;
    assert!(w.now().duration_since(before) < SignedDuration::from_mins(2));
    assert_eq!(w.all_workers().await[0].spec.credential.as_deref(), Some("b"));
}

/// The pool has no idle worker whose credential it would wait for.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_rest_is_noticed_by_a_pool_without_workers() {
    let w = World::new();
    let mut spec = by_credential(1, &["a"]);
    (spec["min"], spec["recycle"]) = (json!(0), json!({"afterDispatches": 1}));
    w.pool("p", spec).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": -1}})).await;
    w.until_assigned("t").await;
    let before = w.now();
    w.report("t", json!({"outcome": "RateLimited", "retryAfter": "20m"})).await;
    w.until_workers("gone", <[_]>::is_empty).await;
    tried_again(&w, "t").await;
    assert!(w.now().duration_since(before) < SignedDuration::from_mins(21));
}

/// The one worker rests for longer than the other credential does.
#[tokio::test(start_paused = true)]
async fn a_credential_that_is_back_before_the_idle_workers_one_is_used() {
    let w = World::new();
    let mut spec = by_credential(1, &["a", "b"]);
    spec["min"] = json!(0);
    w.pool("p", spec).await;
    w.annotate("p", "cooldown.poolkeeper.dev/b", "5m").await;
    w.until_pool("p", "shown", |p| !p.status.as_ref().unwrap().rate_limits.is_empty()).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": -1}})).await;
    w.until_assigned("t").await;
    let before = w.now();
    w.report("t", json!({"outcome": "RateLimited", "retryAfter": "2h"})).await;
    tried_again(&w, "t").await;
    assert!(w.now().duration_since(before) < SignedDuration::from_mins(6));
    assert_eq!(w.all_workers().await[0].spec.credential.as_deref(), Some("b"));
}

/// Nothing waits, and the status is right all the same.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_credentials_rest_shows_in_the_status() {
    let w = World::new();
    w.pool("p", by_credential(1, &["a"])).await;
    w.annotate("p", "cooldown.poolkeeper.dev/a", "20m").await;
    w.until_pool("p", "resting", |p| p.status.as_ref().is_some_and(|s| s.resting == 1 && s.ready == 0)).await;
    let before = w.now();
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.resting == 0 && s.ready == 1)).await;
    assert!(w.now().duration_since(before) < SignedDuration::from_mins(21));
}

/// A wall clock that is set back during a rest does not make that rest longer, nor the ones that follow: this controller
/// knows how long they last. No attempt is assigned before the stored end of a rest.
async fn rests_last_as_long_as_they_should(pool: Value) {
    let w = World::new();
    w.pool("p", pool).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": -1}})).await;
    w.until_assigned("t").await;
    for attempt in 1..=3 {
        w.report("t", json!({"outcome": "RateLimited", "retryAfter": "4s"})).await;
        let closed = |d: &Dispatch| phase(d) == DispatchPhase::Pending;
        let until = w.until_dispatch("t", "closed", closed).await.status.unwrap().last_result.unwrap().until.unwrap();
        let began = tokio::time::Instant::now();
        if attempt == 1 {
            w.set_clock(SignedDuration::from_secs(-10));
        }
        let next = |d: &Dispatch| d.status.as_ref().is_some_and(|s| s.attempt == attempt + 1);
        let assigned_at = w.until_dispatch("t", "again", next).await.status.unwrap().assigned_at.unwrap();
        let took = began.elapsed();
        assert!(took > Duration::from_secs(3) && took < Duration::from_secs(6), "rest {attempt} took {took:?}");
        assert!(assigned_at >= until, "{assigned_at:?} is before the stored end of rest {attempt}, {until:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_makes_no_rest_of_a_worker_longer() {
    rests_last_as_long_as_they_should(json!({"max": 1})).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_makes_no_rest_of_a_credential_longer() {
    rests_last_as_long_as_they_should(by_credential(1, &["a"])).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_makes_no_rest_by_hand_longer() {
    for target in ["p-0", "a"] {
        let w = World::new();
        w.pool("p", by_credential(1, &["a"])).await;
        w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
        let began = tokio::time::Instant::now();
        w.annotate("p", &format!("cooldown.poolkeeper.dev/{target}"), "10s").await;
        w.until_pool("p", "resting", |p| p.status.as_ref().is_some_and(|s| s.resting == 1)).await;
        w.set_clock(SignedDuration::from_secs(-60));
        w.dispatch("t", "p", json!({})).await;
        w.until_assigned("t").await;
        let took = began.elapsed();
        assert!(took > Duration::from_secs(9) && took < Duration::from_secs(14), "{target}: the rest took {took:?}");
    }
}
