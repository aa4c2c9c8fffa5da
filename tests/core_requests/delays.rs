//! Attempts that follow Overloaded, or another end after which the dispatch waits for a time.

use std::slice::from_ref;

use poolkeeper::api::dispatch::{DispatchStatus, Outcome};

use super::*;

/// An attempt on worker `p-0`, which was assigned at the start, with what its holder reported.
fn reported(retry: Value, result: Value) -> Arc<Dispatch> {
    let spec = json!({"pool": "p", "retry": retry, "result": result});
    let status = json!({"phase": "Assigned", "attempt": 1, "assignedAt": START,
        "worker": {"name": "p-0", "uid": "p-0-uid"}});
    object("t", 10, spec, status)
}

/// A Dispatch that waits for a second attempt after this outcome, not before this many seconds after the start.
fn delayed(name: &str, outcome: &str, seconds: u64) -> Arc<Dispatch> {
    let not_before = START.parse::<jiff::Timestamp>().unwrap() + Duration::from_secs(seconds);
    let status = json!({"phase": "Pending", "attempt": 1, "worker": {"name": "p-9", "uid": "p-9-uid"},
        "lastResult": {"attempt": 1, "outcome": outcome, "closedAt": START}, "notBefore": not_before.to_string(),
        "retries": {"overloaded": 1}});
    object(name, 10, json!({"pool": "p", "retry": {"overloaded": -1, "failed": -1}}), status)
}

fn close(writes: &[(Subject, Verb)]) -> Option<DispatchStatus> {
    writes.iter().find_map(|(_, v)| match v {
        Verb::DispatchStatus(_, next) if next.last_result.is_some() => Some((**next).clone()),
        _ => None,
    })
}

/// The dispatch for which a worker is reserved.
fn reserved(writes: &[(Subject, Verb)]) -> Vec<String> {
    let one = |(_, v): &(Subject, Verb)| match v {
        Verb::WorkerStatus(_, next) => Some(next.dispatch.as_ref()?.name.clone()),
        _ => None,
    };
    writes.iter().filter_map(one).collect()
}

/// What is written once all that was asked has been answered: the last worker no longer names the dispatch.
fn settled(rig: &mut Rig, asked: &[&str]) -> Vec<(Subject, Verb)> {
    rig.writes();
    for name in asked {
        rig.settle(Subject::Dispatch(key(name)), Settled::Done(Some(Fetched::Worker(None))));
    }
    rig.settle(Subject::Pool(key("p")), Settled::Done(None));
    rig.writes()
}

/// How long after the start the next attempt may begin, in seconds, if it follows at all and waits.
fn wait_after(retry: Value, result: Value) -> Option<f64> {
    let mut rig = Rig::new(&[pool("p", 1, json!({"max": 1}))], &[busy()], &[reported(retry, result)]);
    let status = close(&rig.writes()).unwrap();
    let start: jiff::Timestamp = START.parse().unwrap();
    status.not_before.map(|t| t.0.duration_since(start).as_secs_f64())
}

#[test]
fn a_retry_waits_for_its_backoff_or_as_long_as_the_service_said() {
    let overloaded = || json!({"attempt": 1, "outcome": "Overloaded"});
    let named = || json!({"attempt": 1, "outcome": "Overloaded", "retryAfter": "100s"});
    let failed = || json!({"attempt": 1, "outcome": "Failed"});
    let within = |wait: Option<f64>, least: f64, most: f64| {
        assert!(wait.is_some_and(|w| (least..=most).contains(&w)), "{wait:?} is not from {least} to {most}");
    };
    within(wait_after(json!({"overloaded": 1}), overloaded()), 10.0, 15.0);
    within(wait_after(json!({"overloaded": 1, "backoff": "40s"}), overloaded()), 40.0, 60.0);
    within(wait_after(json!({"overloaded": 1, "backoff": "40s", "maxBackoff": "20s"}), overloaded()), 20.0, 30.0);
    within(wait_after(json!({"overloaded": 1, "maxBackoff": "1s"}), named()), 100.0, 110.0);
    within(wait_after(json!({"failed": 1, "backoff": "40s"}), failed()), 40.0, 60.0);
    assert_eq!(wait_after(json!({"failed": 1}), failed()), None, "at once, as before there was a backoff");
    assert_eq!(wait_after(json!({"overloaded": 1, "backoff": "0s"}), overloaded()), None);
    assert_eq!(wait_after(json!({}), overloaded()), None, "none follows");
}

/// No credential is at fault, so nothing rests, and the worker may take the next dispatch in the same write.
#[test]
fn overloaded_rests_nothing() {
    let d = object(
        "t",
        11,
        json!({"pool": "p"}),
        json!({"phase": "Failed", "attempt": 1, "worker": {"name": "p-0", "uid": "p-0-uid"}, "finishedAt": START,
            "lastResult": {"attempt": 1, "outcome": "Overloaded", "closedAt": START}}),
    );
    let mut rig = Rig::new(&[pool("p", 1, json!({"max": 1}))], &[busy()], &[d, waits("next")]);
    let writes = rig.writes();
    assert_eq!(reserved(&writes), ["next"]);
    let rest = writes.iter().find_map(|(_, v)| match v {
        Verb::WorkerStatus(_, next) => next.cooldown.clone(),
        _ => None,
    });
    assert_eq!(rest, None);
}

#[test]
fn no_attempt_is_assigned_before_its_time() {
    for outcome in [Outcome::Overloaded, Outcome::Failed] {
        let d = delayed("t", outcome.as_str(), 60);
        let mut rig = Rig::new(&[pool("p", 1, json!({"max": 1}))], &[idle("p-0")], &[d]);
        assert_eq!(reserved(&settled(&mut rig, &[])), [""; 0]);
        rig.passed = Duration::from_secs(59);
        assert_eq!(reserved(&settled(&mut rig, &[])), [""; 0]);
        rig.passed = Duration::from_secs(60);
        rig.apply(Input::Tick);
        assert_eq!(reserved(&settled(&mut rig, &["t"])), ["t"], "after {outcome}");
    }
}

/// During an outage all that wait would only meet it too, and lose their retries.
#[test]
fn a_dispatch_that_waits_after_overloaded_keeps_a_worker() {
    let two = [idle("p-0"), idle("p-1")];
    let late = delayed("late", "Overloaded", 60);
    let pool = pool("p", 1, json!({"max": 2}));
    let mut one = Rig::new(from_ref(&pool), &two[..1], &[late.clone(), waits("new")]);
    assert_eq!(reserved(&settled(&mut one, &[])), [""; 0], "the only worker is reserved for it");
    let mut both = Rig::new(from_ref(&pool), &two, &[late.clone(), waits("new"), waits("newer")]);
    assert_eq!(reserved(&both.writes()), ["new"], "the other one is not");
    // One that comes back takes the worker, whichever stands before it.
    let back = delayed("xback", "Overloaded", 0);
    let mut rig = Rig::new(from_ref(&pool), &two[..1], &[late, back, waits("new")]);
    assert_eq!(reserved(&settled(&mut rig, &["xback"])), ["xback"]);
    // After another outcome nothing is reserved.
    let mut rig = Rig::new(&[pool], &two[..1], &[delayed("late", "Failed", 60), waits("new")]);
    assert_eq!(reserved(&rig.writes()), ["new"]);
}

/// Whether a dispatch with a queueTimeout of 30s and this status has expired after this many seconds.
fn expires_after(status: &Value, seconds: u64) -> bool {
    let d = object("t", 10, json!({"pool": "p", "queueTimeout": "30s", "retry": {"rateLimited": -1}}), status.clone());
    let mut rig = Rig::new(&[pool("p", 1, json!({"max": 1}))], &[], &[d]);
    rig.passed = Duration::from_secs(seconds);
    rig.apply(Input::Tick);
    !closed(&rig.writes()).is_empty()
}

/// An attempt that could not begin is none of the dispatch's making: its wait goes on.
#[test]
fn a_wait_in_the_queue_goes_on_after_not_started() {
    let start: jiff::Timestamp = START.parse().unwrap();
    let status = |outcome: &str| {
        json!({"phase": "Pending", "attempt": 1, "worker": {"name": "p-9", "uid": "p-9-uid"},
            "lastResult": {"attempt": 1, "outcome": outcome, "closedAt": START},
            "waitingSince": (start - Duration::from_secs(20)).to_string()})
    };
    assert!(!expires_after(&status("NotStarted"), 9));
    assert!(expires_after(&status("NotStarted"), 10));
    assert!(!expires_after(&status("RateLimited"), 29), "a leftover of another wait does not count");
    assert!(expires_after(&status("RateLimited"), 30));
}

/// The worker that is reserved is being deleted: the attempt is closed as NotStarted, with the start of the wait.
#[test]
fn not_started_keeps_the_start_of_the_wait() {
    let named = json!({"name": "t", "uid": "t-uid", "attempt": 2, "assignedAt": START});
    let mut worker = worker("p-0", 2, None, json!({"phase": "Busy", "dispatch": named}));
    Arc::make_mut(&mut worker).metadata.deletion_timestamp = Some(serde_json::from_value(json!(START)).unwrap());
    for (name, status, since) in
        [("not before", delayed("t", "Overloaded", 60), 60), ("the close", delayed("t", "Overloaded", 0), 0)]
    {
        let mut rig = Rig::new(&[pool("p", 1, json!({"max": 1}))], &[worker.clone()], &[status]);
        rig.passed = Duration::from_secs(70);
        rig.apply(Input::Tick);
        let next = close(&rig.writes()).unwrap();
        let start: jiff::Timestamp = START.parse().unwrap();
        assert_eq!(next.last_result.unwrap().outcome, Outcome::NotStarted);
        assert_eq!(next.waiting_since.map(|t| t.0), Some(start + Duration::from_secs(since)), "{name}");
    }
}

#[test]
fn a_wait_in_the_queue_counts_from_the_time_before_which_none_may_begin() {
    let mut d = delayed("t", "Overloaded", 60);
    Arc::make_mut(&mut d).spec.queue_timeout = Some("30s".parse().unwrap());
    let mut rig = Rig::new(&[pool("p", 1, json!({"max": 1}))], &[], &[d]);
    rig.passed = Duration::from_secs(45);
    rig.apply(Input::Tick);
    assert_eq!(closed(&rig.writes()), []);
    rig.passed = Duration::from_secs(90);
    rig.apply(Input::Tick);
    assert_eq!(closed(&rig.writes()), [("t".to_owned(), Some("Expired".to_owned()))]);
}
