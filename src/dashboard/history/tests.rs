//! What is to be seen after successive states of objects.

use serde_json::{Value, json};

use super::*;
use crate::api::dispatch::Outcome;
use crate::dashboard::history::present::Doing;
use crate::dashboard::view::Why;

/// 2026-11-30T12:00:00Z. The times of the tests are seconds after it.
const ZERO: i64 = 1_796_040_000;

fn at(seconds: i64) -> i64 {
    (ZERO + seconds) * 1000
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(ZERO + seconds).unwrap().to_string()
}

fn pool(name: &str) -> ContainerPool {
    let object = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name}, "spec": {"runtime": "Process"},
        "status": {"conditions": [
            {"type": "Ready", "status": "True", "reason": "Available", "message": "", "lastTransitionTime": time(0)},
            {"type": "Dispatching", "status": "False", "reason": "Resting", "message": "all rest", "lastTransitionTime": time(0)},
            {"type": "ScalingLimited", "status": "False", "reason": "WithinRange", "message": "", "lastTransitionTime": time(0)},
        ]},
    });
    serde_json::from_value(object).unwrap()
}

fn worker(name: &str, uid: &str, created: i64, status: Value) -> Worker {
    let object = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker",
        "metadata": {"name": name, "uid": uid, "creationTimestamp": time(created)},
        "spec": {"pool": "agents", "poolGeneration": 1, "runtime": "Process", "templateHash": "h", "credential": "main"}, "status": status,
    });
    serde_json::from_value(object).unwrap()
}

fn dispatch(name: &str, created: i64, status: Value) -> Dispatch {
    let object = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "creationTimestamp": time(created)},
        "spec": {"pool": "agents"}, "status": status,
    });
    serde_json::from_value(object).unwrap()
}

fn assigned(attempt: i32, worker: &str, from: i64) -> Value {
    json!({"phase": "Assigned", "attempt": attempt, "worker": {"name": worker, "uid": "u"}, "assignedAt": time(from)})
}

fn closed(phase: &str, attempt: i32, worker: &str, from: i64, outcome: &str, to: i64, until: Option<i64>) -> Value {
    let mut status = assigned(attempt, worker, from);
    status["phase"] = phase.into();
    status["lastResult"] = json!({"attempt": attempt, "outcome": outcome, "closedAt": time(to), "message": "said"});
    if let Some(until) = until {
        status["lastResult"]["until"] = time(until).into();
    }
    status
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// A history that began at 0, with these objects in its first listing.
fn history(workers: &[Worker], dispatches: &[Dispatch]) -> History {
    let mut history = History::new(at(0));
    history.pool(&pool("agents"));
    history.listed(at(0), Kind::Pool, &names(&["agents"]));
    for one in workers {
        history.worker(at(0), one);
    }
    let there = workers.iter().filter_map(|one| one.metadata.name.clone()).collect();
    history.listed(at(0), Kind::Worker, &there);
    assert!(history.view("agents", at(0)).is_none(), "there is a view before all was listed");
    for one in dispatches {
        history.dispatch(at(0), one);
    }
    let there = dispatches.iter().filter_map(|one| one.metadata.name.clone()).collect();
    history.listed(at(0), Kind::Dispatch, &there);
    history.settle(at(0));
    history
}

/// Task, number, worker, begin and end in seconds after the begin of the view, outcome, whether it runs.
type Attempt<'a> = (&'a str, i32, &'a str, i64, i64, Option<Outcome>, bool);

fn attempts(view: &View) -> Vec<Attempt<'_>> {
    let one = |a: &crate::dashboard::view::Attempt| {
        (&*view.ids[a.task], a.n, &*view.rows[a.row].name, a.from / 1000, a.to / 1000, a.outcome, a.running)
    };
    view.attempts.iter().map(one).collect()
}

#[test]
fn an_attempt_is_followed_from_its_begin_to_its_rest() {
    let ready = || worker("agents-0", "w", -100, json!({"phase": "Ready"}));
    let mut history = history(&[ready()], &[]);
    history.dispatch(at(10), &dispatch("a", 10, json!({"phase": "Pending", "attempt": 0})));
    history.settle(at(10));
    history.dispatch(at(12), &dispatch("a", 10, assigned(1, "agents-0", 12)));
    history.settle(at(12));
    let (view, present) = history.view("agents", at(15)).unwrap();
    assert_eq!(attempts(&view), [("a", 1, "agents-0", 12, 15, None, true)]);
    assert_eq!((view.attempts[0].waited, present.waiting, present.running), (2000, 0, 1));
    assert_eq!(view.waiting, [(0, 0), (10_000, 1), (12_000, 0)]);

    history.dispatch(at(20), &dispatch("a", 10, closed("Pending", 1, "agents-0", 12, "RateLimited", 20, Some(80))));
    let resting = json!({"phase": "Ready", "cooldown": {"until": time(80), "strikes": 1}, "restsUntil": time(80)});
    history.worker(at(21), &worker("agents-0", "w", -100, resting));
    history.settle(at(21));
    let (view, present) = history.view("agents", at(30)).unwrap();
    assert_eq!(attempts(&view), [("a", 1, "agents-0", 12, 20, Some(Outcome::RateLimited), false)]);
    assert_eq!((view.attempts[0].message.as_deref(), view.attempts[0].until), (Some("said"), Some(80_000)));
    let row = &view.rows[0];
    assert_eq!((row.worked, row.rested, row.credential.as_deref()), (8000, 10_000, Some("main")));
    assert_eq!((row.rests[0].from, row.rests[0].until, row.rests[0].after), (20_000, 80_000, Some(0)));
    assert_eq!((present.workers[0].doing, present.workers[0].until), (Doing::Rests, Some(80_000)));
    assert_eq!(
        view.stalls.iter().map(|one| (one.from, one.to, one.why)).collect::<Vec<_>>(),
        [(10_000, 12_000, Why::Retry), (21_000, 30_000, Why::Rest)]
    );
    assert_eq!(present.problems, [["Dispatching", "Resting", "all rest"].map(str::to_owned)]);

    // It is cleared by hand.
    history.worker(at(40), &ready());
    history.settle(at(40));
    let (view, present) = history.view("agents", at(50)).unwrap();
    assert_eq!((view.rows[0].rests[0].until, present.workers[0].doing), (40_000, Doing::Free));
}

#[test]
fn of_the_time_before_only_what_objects_say_is_known() {
    let busy =
        json!({"phase": "Busy", "dispatch": {"name": "b", "uid": "uid-b", "attempt": 3, "assignedAt": time(-30)}});
    let dispatches = [
        dispatch("a", -200, closed("Succeeded", 1, "agents-1", -100, "Succeeded", -60, None)),
        dispatch("b", -300, {
            let mut status = assigned(3, "agents-0", -30);
            status["lastResult"] = json!({"attempt": 2, "outcome": "Failed", "closedAt": time(-40)});
            status
        }),
        dispatch("old", -9000, closed("Failed", 1, "agents-1", -8000, "Failed", -7000, None)),
    ];
    let history = history(&[worker("agents-0", "w", -500, busy)], &dispatches);
    let (view, present) = history.view("agents", at(10)).unwrap();
    assert_eq!((view.from, view.runs.clone()), (at(-100), vec![[100_000, 110_000]]));
    assert_eq!(
        attempts(&view),
        [("a", 1, "agents-1", 0, 40, Some(Outcome::Succeeded), false), ("b", 3, "agents-0", 70, 110, None, true)]
    );
    assert_eq!(view.attempts.iter().map(|a| a.waited).collect::<Vec<_>>(), [100_000, 10_000]);
    assert_eq!((view.tasks.total, view.tasks.succeeded, view.tasks.failed), (3, 1, 1));
    assert_eq!(present.workers.iter().map(|one| one.doing).collect::<Vec<_>>(), [Doing::Works, Doing::Gone]);
}

#[test]
fn what_happens_while_the_server_is_away_is_not_made_up() {
    let ready = || worker("agents-0", "w", -1, json!({"phase": "Ready"}));
    let mut history = history(&[ready()], &[dispatch("a", 0, assigned(1, "agents-0", 0)), dispatch("b", 0, json!({}))]);
    history.lost(at(10));
    history.lost(at(20));
    let (view, _) = history.view("agents", at(30)).unwrap();
    assert_eq!((view.to, view.runs.clone(), history.lost_since()), (10_000, vec![[0, 10_000]], Some(at(10))));
    // Attempt 1 ended meanwhile, 2 began and ended, and 3 is open. The other dispatch was removed.
    let mut status = assigned(3, "agents-0", 55);
    status["lastResult"] = json!({"attempt": 2, "outcome": "Failed", "closedAt": time(50)});
    history.dispatch(at(60), &dispatch("a", 0, status));
    history.listed(at(60), Kind::Dispatch, &names(&["a"]));
    history.worker(at(60), &ready());
    history.listed(at(60), Kind::Worker, &names(&["agents-0"]));
    history.found(at(60));
    history.settle(at(60));
    let (view, present) = history.view("agents", at(70)).unwrap();
    assert_eq!(view.runs, [[0, 10_000], [60_000, 70_000]]);
    assert_eq!(attempts(&view), [("a", 1, "agents-0", 0, 50, None, false), ("a", 3, "agents-0", 55, 70, None, true)]);
    assert_eq!((present.waiting, view.tasks.total), (0, 2));
}

#[test]
fn a_name_is_one_row_and_its_workers_are_lives() {
    let mut history = history(&[worker("agents-10", "w", -5, json!({"phase": "Ready"}))], &[]);
    history.worker(at(10), &worker("agents-2", "x", 10, json!({"phase": "Starting"})));
    history.worker(at(20), &worker("agents-2", "x", 10, json!({"phase": "Ready"})));
    history.worker_gone(at(30), "agents", "agents-2");
    history.worker(at(40), &worker("agents-2", "y", 39, json!({"phase": "Ready"})));
    // Its end was not seen.
    history.worker(at(50), &worker("agents-2", "z", 49, json!({"phase": "Starting"})));
    history.settle(at(50));
    let (view, present) = history.view("agents", at(60)).unwrap();
    let up: Vec<_> = view.rows.iter().map(|row| (&*row.name, row.up.clone())).collect();
    assert_eq!(up, [("agents-2", vec![[20_000, 30_000], [40_000, 50_000]]), ("agents-10", vec![[-5000, 60_000]])]);
    assert_eq!(present.workers[0].doing, Doing::Starting);
    // A worker that is gone is forgotten after an hour.
    history.worker_gone(at(60), "agents", "agents-2");
    history.settle(at(3700));
    assert_eq!(history.view("agents", at(3700)).unwrap().0.rows.len(), 1);
}

#[test]
fn reasons_are_counted_and_pools_are_apart() {
    let wait = |reason: &str| json!({"phase": "Pending", "reason": reason, "message": format!("{reason}!")});
    let list =
        [dispatch("a", 0, wait("Resting")), dispatch("b", 0, wait("Delayed")), dispatch("c", 0, wait("Resting"))];
    let mut history = history(&[], &list);
    history.pool(&pool("others"));
    let (view, present) = history.view("agents", at(5)).unwrap();
    let waits: Vec<_> = present.waits.iter().map(|one| (&*one.reason, one.count, one.message.as_deref())).collect();
    assert_eq!(waits, [("Resting", 2, Some("Resting!")), ("Delayed", 1, Some("Delayed!"))]);
    assert_eq!(view.stalls[0].why, Why::NoWorker);
    assert_eq!(history.view("others", at(5)).unwrap().1.waiting, 0);
    assert_eq!(history.pools(), ["agents", "others"]);
    history.pool_gone("others");
    assert_eq!((history.pools(), history.view("others", at(6))), (vec!["agents".to_owned()], None));
}

#[test]
fn what_is_stored_is_bounded() {
    let mut history = history(&[worker("agents-0", "w", 0, json!({"phase": "Ready"}))], &[]);
    for n in 0..i64::try_from(super::pool::MAX_ATTEMPTS).unwrap() + 10 {
        let name = format!("t-{n}");
        history
            .dispatch(at(n + 1), &dispatch(&name, n, closed("Succeeded", 1, "agents-0", n, "Succeeded", n + 1, None)));
        history.dispatch_gone(at(n + 1), "agents", &name);
        history.settle(at(n + 1));
    }
    let (view, _) = history.view("agents", at(20_000)).unwrap();
    assert_eq!(
        (view.attempts.len(), view.left_out, view.ids.len()),
        (super::pool::MAX_ATTEMPTS, 10, super::pool::MAX_ATTEMPTS)
    );
    assert_eq!(view.tasks.succeeded, 10_010);
    assert_eq!(view.rows[0].worked, 10_010_000);
}
