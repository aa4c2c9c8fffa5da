//! What a pool's status says: never more than is there, at once, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{ContainerPool, Worker};
use poolkeeper::local::Change;
use serde_json::json;

use crate::world::World;

fn is_up(w: &Worker) -> bool {
    w.metadata.deletion_timestamp.is_none()
        && w.status.as_ref().is_some_and(|s| matches!(s.phase, WorkerPhase::Ready | WorkerPhase::Busy))
}

/// Each stored status of a pool that counts more workers as up than are, or were before the newest write about them.
fn overstated(w: &World) -> Vec<String> {
    let mut workers: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    let mut found = Vec::new();
    for r in w.api.history() {
        if r.resource.plural == "workers" {
            let object: Worker = serde_json::from_value((*r.object).clone()).unwrap();
            let entry = workers.entry(r.uid.clone()).or_default();
            *entry = (entry.1, r.change != Change::Deleted && is_up(&object));
        } else if r.resource.plural == "containerpools" {
            let pool: ContainerPool = serde_json::from_value((*r.object).clone()).unwrap();
            let s = pool.status.unwrap_or_default();
            let up = workers.values().filter(|(before, now)| *before || *now).count();
            if usize::try_from(s.ready + s.busy + s.resting).unwrap() > up {
                found.push(format!("write {}: {} ready, {up} up", r.resource_version, s.ready));
            }
        }
    }
    found
}

/// The server refuses what it can see without the syntax of expressions. The rest shows on the pool.
#[tokio::test(start_paused = true)]
async fn a_pattern_that_cannot_be_used_shows_in_a_condition_until_it_is_corrected() {
    let w = World::new();
    w.pool("p", json!({"rateLimit": {"patterns": ["curl", "wait (a"]}})).await;
    let says = |p: &ContainerPool, status: &str| {
        let conditions = p.status.iter().flat_map(|s| &s.conditions);
        conditions.filter(|c| c.type_ == "PatternsValid" && c.status == status).map(|c| c.message.clone()).next()
    };
    let p = w.until_pool("p", "invalid", |p| says(p, "False").is_some()).await;
    let text = says(&p, "False").unwrap();
    assert!(text.starts_with("spec.rateLimit.patterns[1]: \"wait (a\" is not a regular expression: "), "{text}");
    w.patch_pool("p", json!({"spec": {"rateLimit": {"patterns": ["nothing-of-that-name"]}}})).await;
    let named = |p: &ContainerPool| says(p, "False").is_some_and(|text| text.contains("there is no preset"));
    w.until_pool("p", "another one", named).await;
    w.patch_pool("p", json!({"spec": {"rateLimit": {"patterns": ["curl"]}}})).await;
    w.until_pool("p", "valid", |p| says(p, "True").is_some()).await;
}

/// `kubectl wait --for=condition=Ready` returned for a pool without a worker.
#[tokio::test(start_paused = true)]
async fn a_starting_worker_that_is_being_replaced_is_not_ready() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "command": ["wait", "no room"]})).await;
    w.until_pool("p", "starting", |p| p.status.as_ref().is_some_and(|s| s.starting == 1)).await;
    for n in 2..20 {
        tokio::time::sleep(Duration::from_secs(7)).await; // so that its next status is due
        w.patch_pool("p", json!({"spec": {"image": format!("worker:{n}")}})).await;
    }
    assert_eq!(overstated(&w), Vec::<String>::new());
}

/// A controller that starts writes to each worker that waits why it waits. None of them counted as starting meanwhile.
#[tokio::test(start_paused = true)]
async fn workers_that_wait_are_not_ready_after_a_restart_of_the_controller() {
    let mut w = World::new();
    w.pool("p", json!({"min": 3, "max": 3, "command": ["wait", "no room"]})).await;
    w.until_pool("p", "starting", |p| p.status.as_ref().is_some_and(|s| s.starting == 3)).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(7)).await;
        w.restart().await;
    }
    w.patch_pool("p", json!({"spec": {"command": null}})).await;
    w.until_workers("up", |ws| ws.len() == 3 && ws.iter().all(is_up)).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 3)).await;
    assert_eq!(overstated(&w), Vec::<String>::new());
}

/// Status, reason and message of a condition.
pub fn condition(p: &ContainerPool, type_: &str) -> (String, String, String) {
    let c = p.status.iter().flat_map(|s| &s.conditions).find(|c| c.type_ == type_).cloned();
    c.map(|c| (c.status, c.reason, c.message)).unwrap_or_default()
}

pub fn says(p: &ContainerPool, type_: &str, status: &str, reason: &str, message: &str) -> bool {
    condition(p, type_) == (status.to_owned(), reason.to_owned(), message.to_owned())
}

/// Reason and message of each stored change of a pool's condition, in order.
pub fn changes(w: &World, type_: &str) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for r in w.api.history().into_iter().filter(|r| r.resource.plural == "containerpools") {
        let pool: ContainerPool = serde_json::from_value((*r.object).clone()).unwrap();
        let c = condition(&pool, type_);
        if all.last() != Some(&c) {
            all.push(c);
        }
    }
    all
}

/// Reasons and notes of the Events about pools, in order.
async fn events(w: &World) -> Vec<String> {
    let api: kube::Api<k8s_openapi::api::events::v1::Event> = kube::Api::namespaced(w.client.clone(), crate::world::NS);
    let list = api.list(&kube::api::ListParams::default()).await.unwrap().items;
    let about = |e: &k8s_openapi::api::events::v1::Event| e.regarding.as_ref().and_then(|r| r.kind.clone());
    let mut all: Vec<_> = list
        .into_iter()
        .filter(|e| about(e).as_deref() == Some("ContainerPool"))
        .map(|e| {
            let words = [e.type_, e.reason, e.note].map(Option::unwrap_or_default).join(" ");
            (e.event_time.map(|t| t.0), words)
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, words)| words).collect()
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_changes_is_written_at_once() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 2})).await;
    w.until_workers("ready", |ws| ws.len() == 1 && ws.iter().all(is_up)).await;
    tokio::time::sleep(Duration::from_millis(500)).await; // as long as a write takes
    let p = w.pools().get("p").await.unwrap();
    assert!(says(&p, "Ready", "True", "Available", "1 worker is up"), "{p:#?}");
    w.annotate("p", "dispatch.poolkeeper.dev/Not_A_Name", "").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(condition(&w.pools().get("p").await.unwrap(), "RequestsAccepted").0, "False");
}

/// A request that is bad and good in turn.
#[tokio::test(start_paused = true)]
async fn a_condition_that_flaps_costs_few_writes() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.until_pool("p", "ready", |p| condition(p, "Ready").0 == "True").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (from, began) = (w.api.history().len(), w.now());
    for n in 0..300 {
        w.annotate("p", "dispatch.poolkeeper.dev/Not_A_Name", if n % 2 == 0 { "x" } else { "y" }).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        w.patch_pool("p", json!({"metadata": {"annotations": {"dispatch.poolkeeper.dev/Not_A_Name": null}}})).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let seconds = w.now().duration_since(began).as_secs();
    let writes = poolkeeper_testkit::writes::count(&w.api.history(), from).roll_ups;
    assert!(writes <= 2 * usize::try_from(seconds).unwrap() / 5 + 6, "{writes} writes in {seconds} s");
    assert!(writes >= 20, "{writes}");
}

/// Each worker that is replaced made the pool NotReady for a moment, with a warning.
#[tokio::test(start_paused = true)]
async fn an_update_of_healthy_workers_leaves_the_pool_ready() {
    let w = World::new();
    w.pool("p", json!({"min": 3, "max": 3})).await;
    w.until_pool("p", "ready", |p| condition(p, "Ready").0 == "True").await;
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    w.until_pool("p", "updating", |p| {
        says(p, "Ready", "True", "Available", "2 of at least 3 workers are up; p-0 is being replaced")
            || says(p, "Ready", "True", "Available", "2 of at least 3 workers are up; 1 is starting")
    })
    .await;
    w.until_pool("p", "updated", |p| condition(p, "Progressing").1 == "Steady").await;
    let ready: Vec<_> = changes(&w, "Ready").into_iter().map(|(status, ..)| status).collect();
    let first = ready.iter().position(|s| s == "True").unwrap();
    assert!(ready[first..].iter().all(|s| s == "True"), "{ready:?}");
    let told = events(&w).await;
    let (created, update): (Vec<_>, Vec<_>) = told.iter().partition(|e| e.contains("Ready "));
    assert_eq!(created.last().unwrap().as_str(), "Normal Ready 3 workers are up", "{told:#?}");
    assert!(!told.iter().any(|e| e.starts_with("Warning")), "{told:#?}");
    assert_eq!(update.last().unwrap().as_str(), "Normal UpdateDone all 3 workers are up to date");
}

#[tokio::test(start_paused = true)]
async fn a_recycled_worker_is_no_alarm() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1, "recycle": {"afterDispatches": 1}})).await;
    w.until_pool("p", "ready", |p| condition(p, "Ready").0 == "True").await;
    for t in ["a", "b", "c"] {
        w.dispatch(t, "p", json!({})).await;
        w.until_assigned(t).await;
        w.report(t, json!({"outcome": "Succeeded"})).await;
        w.until_final(t).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(overstated(&w), Vec::<String>::new());
    let told = events(&w).await;
    assert!(!told.iter().any(|e| e.starts_with("Warning")), "{told:#?}");
    assert!(told.len() <= 2, "{told:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_is_named_while_it_is_replaced() {
    let w = World::new();
    w.fake.set_stop_time(Duration::from_secs(8)..Duration::from_secs(9));
    w.pool("p", json!({"min": 3, "max": 3})).await;
    w.until_pool("p", "ready", |p| condition(p, "Ready").0 == "True").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    w.workers().delete("p-2", &kube::api::DeleteParams::default()).await.unwrap();
    w.until_pool("p", "says so", |p| {
        says(p, "Ready", "False", "BelowMin", "2 of at least 3 workers are up; p-2 is being replaced")
    })
    .await;
}

/// `min: 0`, the default, hid that no worker comes.
#[tokio::test(start_paused = true)]
async fn work_that_waits_in_a_pool_without_workers_says_why() {
    let w = World::new();
    w.pool("p", json!({"command": ["wait", "Unschedulable: no room"]})).await;
    let empty = w.until_pool("p", "described", |p| condition(p, "Ready").0 == "True").await;
    assert!(
        says(&empty, "Ready", "True", "Available", "no worker is up, and none is needed (spec.min is 0)"),
        "{empty:#?}"
    );
    assert!(says(&empty, "Dispatching", "True", "QueueEmpty", ""), "{empty:#?}");
    w.dispatch("t", "p", json!({})).await;
    w.until_pool("p", "says why", |p| {
        says(p, "Dispatching", "False", "StartsWait", "workers cannot start yet: Unschedulable: no room")
    })
    .await;
    w.patch_pool("p", json!({"spec": {"paused": true}})).await;
    w.until_pool("p", "says why", |p| says(p, "Dispatching", "False", "Paused", "the pool is paused (spec.paused)"))
        .await;
    w.patch_pool("p", json!({"spec": {"paused": false, "command": null}})).await;
    w.until_assigned("t").await;
    w.until_pool("p", "goes on", |p| says(p, "Dispatching", "True", "QueueEmpty", "")).await;
}

/// A pool with `QUEUED 0` and nothing to say hid what waits for the time of its next attempt.
#[tokio::test(start_paused = true)]
async fn dispatches_that_wait_for_something_else_are_counted_in_words() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.dispatch("t", "p", json!({"retry": {"overloaded": 1, "backoff": "60s"}})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "Overloaded", "message": "529"})).await;
    let text = "1 dispatch waits for something else first: its condition Assigned says for what";
    let p = w.until_pool("p", "says so", |p| says(p, "Dispatching", "True", "QueueEmpty", text)).await;
    let s = p.status.unwrap();
    assert_eq!((s.delayed, s.queued, s.ready), (1, 0, 1));
    w.until_dispatch("t", "again", |d| d.status.as_ref().is_some_and(|s| s.attempt == 2)).await;
    w.until_pool("p", "says nothing", |p| says(p, "Dispatching", "True", "QueueEmpty", "")).await;
}

/// What an API server refuses begins with the name of the Pod: `pods "p-0" is forbidden` is no reason.
#[tokio::test(start_paused = true)]
async fn a_reason_of_a_starting_worker_is_one_word() {
    for (message, reason) in [
        ("ErrImagePull: no such image", "ErrImagePull"),
        ("pods \"p-0\" is forbidden: exceeded quota", "Starting"),
        ("no room", "Starting"),
    ] {
        let w = World::new();
        w.pool("p", json!({"min": 1, "command": ["wait", message]})).await;
        let first = |p: &ContainerPool| p.status.as_ref().and_then(|s| Some(s.not_ready.first()?.reason.clone()));
        // It is in no list while a write about it is under way.
        let waits = |p: &ContainerPool| condition(p, "Ready").1 == "StartsWait" && first(p).is_some();
        let p = w.until_pool("p", "waits", waits).await;
        assert_eq!(first(&p).as_deref(), Some(reason), "{message}");
    }
}

/// The lines that docs/operations.md shows are those of a pool.
#[tokio::test(start_paused = true)]
async fn the_page_shows_a_line_for_each_condition() {
    let w = World::new();
    w.pool("p", json!({})).await;
    let p = w.until_pool("p", "described", |p| !condition(p, "Ready").0.is_empty()).await;
    let all: Vec<String> = p.status.unwrap().conditions.into_iter().map(|c| c.type_).collect();
    let page = include_str!("../../docs/operations.md");
    let (_, shown) = page.split_once("One line for each condition:").unwrap();
    let shown = shown.split("```").nth(3).unwrap();
    let shown: Vec<&str> = shown.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(shown, all);
}

#[tokio::test(start_paused = true)]
async fn busy_workers_are_no_standstill() {
    let w = World::new();
    w.pool("p", json!({"max": 2})).await;
    for t in ["a", "b", "c"] {
        w.dispatch(t, "p", json!({})).await;
    }
    w.until_pool("p", "says so", |p| {
        let text = "all workers are busy: 2 busy of max 2 (raise spec.max for more)";
        says(p, "Dispatching", "True", "AllBusy", text)
    })
    .await;
    assert!(
        changes(&w, "Dispatching").iter().all(|(status, ..)| status != "False"),
        "{:?}",
        changes(&w, "Dispatching")
    );
}

#[tokio::test(start_paused = true)]
async fn every_pool_on_a_resting_credential_shows_it() {
    let w = World::new();
    let credentials = json!([{"name": "a", "env": "TOKEN", "fromEnv": "PATH"}]);
    let spec = json!({"credentials": credentials, "rateLimit": {"scope": "Credential"}, "max": 1});
    w.pool("one", spec.clone()).await;
    w.pool("two", spec).await;
    w.dispatch("t", "one", json!({})).await;
    w.until_assigned("t").await;
    w.report("t", json!({"outcome": "RateLimited", "retryAfter": "40s", "message": "429"})).await;
    w.until_final("t").await;
    w.dispatch("u", "two", json!({})).await;
    let shown = |p: &ContainerPool| p.status.as_ref().and_then(|s| s.resting_credentials.first().cloned());
    let p = w.until_pool("two", "shows it", |p| shown(p).is_some() && condition(p, "Dispatching").0 == "False").await;
    let rest = shown(&p).unwrap();
    assert_eq!((&*rest.name, &*rest.key, &*rest.pool, rest.strikes), ("a", "env/PATH", "one", 1));
    assert_eq!(rest.reason.as_deref(), Some("429"));
    let until = rest.until.unwrap().0;
    let text = format!("credential a (env/PATH) rests since a limit in pool one: 429; the next is back at {until}");
    assert!(says(&p, "Dispatching", "False", "Resting", &text), "{p:#?}");
    assert!(p.status.unwrap().rate_limits.is_empty(), "a rest is stored once");
    w.annotate("two", "cooldown.poolkeeper.dev/a", "clear").await;
    w.until_assigned("u").await;
    w.until_pool("two", "shows none", |p| shown(p).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_being_deleted_names_whom_it_waits_for() {
    let w = World::new();
    w.pool("p", json!({"min": 2, "max": 2})).await;
    w.dispatch("greet", "p", json!({})).await;
    let on = w.until_assigned("greet").await;
    w.pools().delete("p", &kube::api::DeleteParams::default()).await.unwrap();
    let text = format!("the pool is being deleted; waits for {on} (busy with greet)");
    w.until_pool("p", "names it", |p| says(p, "Ready", "False", "Deleting", &text)).await;
    w.report("greet", json!({"outcome": "Succeeded"})).await;
    w.until_final("greet").await;
}

/// `Pod host "local": not reached yet` was an Event after each restart of the controller.
#[tokio::test(start_paused = true)]
async fn a_restart_of_the_controller_says_nothing() {
    let mut w = World::new();
    w.pool("p", json!({"min": 2, "max": 2})).await;
    w.until_pool("p", "ready", |p| condition(p, "Ready").0 == "True").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (ready, told) = (changes(&w, "Ready"), events(&w).await);
    for _ in 0..3 {
        w.restart().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    assert_eq!((changes(&w, "Ready"), events(&w).await), (ready, told));
    w.fake.make_host_unreachable(poolkeeper::runtime::LOCAL_HOST);
    w.until_pool("p", "says it", |p| condition(p, "Ready").1 == "HostUnreachable").await;
}

#[tokio::test(start_paused = true)]
async fn an_update_says_what_it_waits_for() {
    let w = World::new();
    w.pool("p", json!({"min": 3, "max": 3})).await;
    w.until_pool("p", "ready", |p| condition(p, "Ready").0 == "True").await;
    let (a, b) = (w.dispatch("a", "p", json!({})).await, w.dispatch("b", "p", json!({})).await);
    let (a, b) = (a.metadata.name.unwrap(), b.metadata.name.unwrap());
    let on = [w.until_assigned(&a).await, w.until_assigned(&b).await];
    w.patch_pool("p", json!({"spec": {"image": "worker:2"}})).await;
    let text = format!("1 of 3 updated; {}, {} are busy and follow when they are done", on[0], on[1]);
    w.until_pool("p", "waits", |p| says(p, "Progressing", "True", "RollingUpdate", &text)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_one_says_that_its_new_template_does_not_start() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.until_pool("p", "ready", |p| condition(p, "Ready").0 == "True").await;
    w.patch_pool("p", json!({"spec": {"image": "no-such-image"}})).await;
    let p = w.until_pool("p", "stalled", |p| condition(p, "Progressing").1 == "UpdateStalled").await;
    let text = condition(&p, "Progressing").2;
    assert!(text.starts_with("no worker is up; the new template does not start: "), "{text}");
    w.patch_pool("p", json!({"spec": {"image": "worker:1"}})).await;
    w.until_pool("p", "back", |p| condition(p, "Ready").0 == "True").await;
}
