use serde_json::{Value, json};

use super::super::view::{Rest, Tail};
use super::*;

/// The timeline after steps at these milliseconds. `run` and `worker` fill in what they always have.
fn after(steps: &[(i64, Value)]) -> Timeline {
    let mut timeline = Timeline::default();
    for (ms, step) in steps {
        let mut step = step.clone();
        step["time"] = json!(Timestamp::from_millisecond(1_000_000 + ms).unwrap());
        timeline.add(&Step::read(&step.to_string()).unwrap_or_else(|| panic!("{step}")));
    }
    timeline
}

fn view(steps: &[(i64, Value)]) -> View {
    after(steps).view(Vec::new())
}

fn run(tasks: u64, scope: &str) -> Value {
    json!({"event": "run", "runId": "r", "pool": "p", "runtime": "Process", "scope": scope, "workers": 2, "tasks": tasks,
           "skipped": 0, "skippedFailed": 0})
}

fn ready(worker: &str, credential: Option<&str>) -> Value {
    json!({"event": "workerReady", "worker": worker, "credential": credential})
}

fn gone(worker: &str) -> Value {
    json!({"event": "workerGone", "worker": worker})
}

fn started(task: &str, attempt: i32, worker: &str) -> Value {
    json!({"event": "started", "task": task, "attempt": attempt, "worker": worker, "files": format!("{task}/attempt-{attempt}")})
}

fn ended(task: &str, outcome: &str, until: Option<i64>) -> Value {
    let until = until.map(|ms| Timestamp::from_millisecond(1_000_000 + ms).unwrap());
    json!({"event": "ended", "task": task, "attempt": 1, "worker": "p-0", "outcome": outcome, "seconds": 1.0, "restsUntil": until})
}

fn over(task: &str, outcome: &str) -> Value {
    json!({"event": "task", "task": task, "outcome": outcome, "attempts": 1})
}

fn rests(view: &View, row: usize) -> Vec<(i64, i64)> {
    view.rows[row].rests.iter().map(|rest| (rest.from, rest.until)).collect()
}

#[test]
fn attempts_lie_in_the_rows_of_their_workers() {
    let view = view(&[
        (0, run(2, "Worker")),
        (10, ready("p-10", None)),
        (10, ready("p-9", Some("a"))),
        (20, started("x", 1, "p-10")),
        (25, started("y", 1, "p-9")),
        (40, ended("x", "Failed", None)),
        (40, over("x", "Failed")),
        (50, ended("y", "Succeeded", None)),
        (50, over("y", "Succeeded")),
        (60, gone("p-9")),
        (70, json!({"event": "summary", "notRun": 0})),
    ]);
    let rows: Vec<_> = view.rows.iter().map(|row| (row.name.as_str(), row.up.clone(), row.worked)).collect();
    assert_eq!(rows, [("p-9", vec![[10, 60]], 25), ("p-10", vec![[10, 70]], 20)]);
    let attempts: Vec<_> = view.attempts.iter().map(|a| (a.task, a.row, a.from, a.to, a.outcome)).collect();
    assert_eq!(attempts, [(0, 1, 20, 40, Some(Outcome::Failed)), (1, 0, 25, 50, Some(Outcome::Succeeded))]);
    assert_eq!((view.from, view.to, view.state), (1_000_000, 70, State::Complete));
    assert_eq!(view.tasks, Tasks { total: 2, succeeded: 1, failed: 1, ..Tasks::default() });
    assert_eq!(view.waiting, [(0, 2), (20, 1), (25, 0), (40, 0)]);
}

#[test]
fn a_worker_rests_after_a_limit_until_it_starts_again() {
    let view = view(&[
        (0, run(1, "Worker")),
        (0, ready("p-0", Some("a"))),
        (0, ready("p-1", Some("a"))),
        (10, started("x", 1, "p-0")),
        (20, ended("x", "RateLimited", Some(100))),
        (30, started("x", 2, "p-1")),
        (40, ended("x", "RateLimited", Some(90))),
        (60, started("x", 3, "p-0")),
        (65, ended("x", "Succeeded", None)),
        (200, gone("p-1")),
        (200, gone("p-0")),
    ]);
    assert_eq!(rests(&view, 0), [(20, 60)], "it was ended by hand");
    assert_eq!(rests(&view, 1), [(40, 90)]);
    assert_eq!((view.rows[0].rested, view.rows[0].rests[0].after), (40, Some(0)));
    assert_eq!(view.attempts.iter().map(|a| a.waited).collect::<Vec<_>>(), [10, 10, 20]);
    assert_eq!(view.attempts[0].until, Some(100), "as it was reported");
}

#[test]
fn with_scope_credential_all_its_workers_rest() {
    let view = view(&[
        (0, run(1, "Credential")),
        (0, ready("p-0", Some("a"))),
        (0, ready("p-1", Some("b"))),
        (0, ready("p-2", Some("a"))),
        (10, started("x", 1, "p-0")),
        (20, ended("x", "RateLimited", Some(100))),
        (50, ready("p-3", Some("a"))),
        (120, gone("p-0")),
    ]);
    assert_eq!(
        (0..4).map(|row| rests(&view, row)).collect::<Vec<_>>(),
        [vec![(20, 100)], vec![], vec![(20, 100)], vec![(50, 100)]]
    );
}

#[test]
fn unauthorized_stops_the_credential_in_every_scope() {
    let view = view(&[
        (0, run(1, "Worker")),
        (0, ready("p-0", Some("a"))),
        (0, ready("p-1", Some("a"))),
        (10, started("x", 1, "p-0")),
        (20, ended("x", "Unauthorized", Some(100))),
    ]);
    assert_eq!(rests(&view, 1), [(20, 100)]);
}

#[test]
fn it_says_why_nothing_ran() {
    let view = view(&[
        (0, run(1, "Worker")),
        (30, ready("p-0", None)),
        (40, started("x", 1, "p-0")),
        (50, ended("x", "RateLimited", Some(100))),
        (110, started("x", 2, "p-0")),
        (120, ended("x", "Succeeded", None)),
        (300, gone("p-0")),
    ]);
    let stalls: Vec<_> = view.stalls.iter().map(|stall| (stall.from, stall.to, stall.why)).collect();
    assert_eq!(stalls, [(0, 30, Why::NoWorker), (30, 40, Why::Retry), (50, 100, Why::Rest), (100, 110, Why::Retry)]);
}

#[test]
fn a_worker_that_is_gone_rests_no_more() {
    let view = view(&[
        (0, run(1, "Worker")),
        (0, ready("p-0", None)),
        (10, started("x", 1, "p-0")),
        (20, ended("x", "RateLimited", Some(100))),
        (40, gone("p-0")),
        (60, ready("p-0", None)),
        (90, gone("p-0")),
    ]);
    assert_eq!((rests(&view, 0), view.rows[0].up.clone()), (vec![(20, 40)], vec![[0, 40], [60, 90]]));
}

#[test]
fn of_a_run_that_was_killed_it_shows_what_is_recorded() {
    let view = view(&[
        (0, run(3, "Worker")),
        (0, ready("p-0", None)),
        (10, started("x", 1, "p-0")),
        (30, json!({"event": "note", "message": "hm"})),
    ]);
    assert_eq!((view.state, view.attempts[0].outcome, view.attempts[0].to), (State::Open, None, 30));
    assert_eq!((view.rows[0].up.clone(), view.notes), (vec![[0, 30]], vec![(30, "hm".to_owned())]));
}

#[test]
fn a_rest_may_outlive_what_is_recorded() {
    let view = view(&[
        (0, run(3, "Worker")),
        (0, ready("p-0", None)),
        (10, started("x", 1, "p-0")),
        (30, ended("x", "RateLimited", Some(5_000))),
    ]);
    assert_eq!(
        (view.rows[0].rests.clone(), view.rows[0].rested),
        (vec![Rest { from: 30, until: 5_000, after: Some(0) }], 0)
    );
}

#[test]
fn a_resumed_run_continues_the_picture() {
    let mut again = run(1, "Worker");
    (again["skipped"], again["runId"]) = (json!(1), json!("s"));
    let view = view(&[
        (0, run(2, "Worker")),
        (0, ready("p-0", None)),
        (10, started("x", 1, "p-0")),
        (20, ended("x", "Succeeded", None)),
        (20, over("x", "Succeeded")),
        (30, started("y", 1, "p-0")),
        // It was killed.
        (9_000, again),
        (9_010, started("y", 1, "p-0")),
        (9_020, ended("y", "Failed", None)),
        (9_020, over("y", "Failed")),
        (9_030, json!({"event": "summary", "notRun": 0})),
    ]);
    assert_eq!(view.runs, [[0, 30], [9_000, 9_030]]);
    assert_eq!((view.attempts[1].to, view.attempts[1].outcome), (30, None));
    assert_eq!(view.tasks, Tasks { total: 2, succeeded: 1, failed: 1, ..Tasks::default() });
    assert_eq!((view.attempts[2].waited, view.run_id.as_str()), (10, "s"));
    assert!(view.stalls.iter().all(|stall| stall.to <= 30 || stall.from >= 9_000), "no run was there to wait");
}

#[test]
fn tasks_that_another_run_finished_count_though_its_record_is_lost() {
    let mut again = run(1, "Worker");
    again["skipped"] = json!(5);
    let view = view(&[(0, again), (10, started("x", 1, "p-0")), (20, over("x", "Succeeded"))]);
    assert_eq!(view.tasks, Tasks { total: 6, succeeded: 1, skipped: 5, ..Tasks::default() });
}

#[test]
fn tasks_that_come_wait_from_then_on() {
    let mut coming = run(0, "Worker");
    coming.as_object_mut().unwrap().remove("tasks");
    let came = json!({"event": "came", "task": "x"});
    let view = view(&[(0, coming), (50, came), (80, started("x", 1, "p-0")), (90, ended("x", "Succeeded", None))]);
    assert_eq!((view.waiting.clone(), view.attempts[0].waited), (vec![(0, 0), (50, 1), (80, 0)], 30));
    assert_eq!(view.tasks.total, 1);
}

#[test]
fn too_many_attempts_leave_the_newest() {
    let mut steps = vec![(0, run(1, "Worker")), (0, ready("p-0", None))];
    let more = 3;
    for n in 0..i64::try_from(MAX_ATTEMPTS).unwrap() + more {
        steps.push((n, started("x", 1, "p-0")));
        steps.push((n, ended("x", "RateLimited", Some(n + 1))));
    }
    let timeline = after(&steps);
    let of = |attempt| Output { attempt, stdout: Tail::default(), stderr: Tail::default() };
    let view = timeline.view(vec![of(1), of(5)]);
    assert_eq!((view.attempts.len(), view.left_out, view.attempts[0].from), (MAX_ATTEMPTS, 3, more));
    assert_eq!(view.outputs, [of(2)]);
    let last = view.rows[0].rests.last().unwrap();
    assert_eq!(last.after, Some(MAX_ATTEMPTS - 1));
}

#[test]
fn outputs_of_what_failed_come_first() {
    let timeline = after(&[
        (0, run(3, "Worker")),
        (1, started("a", 1, "p-0")),
        (2, ended("a", "Failed", None)),
        (3, started("b", 1, "p-0")),
        (4, ended("b", "Succeeded", None)),
        (5, started("c", 1, "p-0")),
        (6, ended("c", "Failed", None)),
    ]);
    let files: Vec<_> = timeline.printed().iter().map(|printed| printed.files).collect();
    assert_eq!(files, ["c/attempt-1", "a/attempt-1", "b/attempt-1"]);
}

#[test]
fn steps_of_a_later_version_are_passed_over() {
    assert_eq!(Step::read("{\"event\":\"ended\",\"ti"), None);
    let view = view(&[(0, json!({"event": "future", "x": 1}))]);
    assert_eq!((view.attempts.len(), view.to), (0, 0));
}
