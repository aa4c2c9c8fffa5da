//! `queueLimit`: a dispatch that was accepted is not refused later, whichever controller leads then.

use super::*;

/// A Dispatch that waits again after its first attempt met a rate limit.
fn waits_again(name: &str) -> Arc<Dispatch> {
    let last = json!({"attempt": 1, "outcome": "RateLimited", "closedAt": START, "until": "2026-01-01T02:00:00Z"});
    let status = json!({"phase": "Pending", "attempt": 1, "lastResult": last, "retries": {"rateLimited": 1},
        "worker": {"name": "p-9", "uid": "p-9-uid"}});
    object(name, 10, json!({"pool": "p", "retry": {"rateLimited": -1}}), status)
}

fn limited_to(limit: i32, version: u32) -> Arc<ContainerPool> {
    pool("p", version, json!({"max": 1, "dispatch": {"queueLimit": limit}}))
}

fn idle() -> Arc<Worker> {
    worker("p-0", 2, None, json!({"phase": "Ready", "idleSince": START}))
}

fn refused(writes: &[(Subject, Verb)]) -> Vec<String> {
    closed(writes).into_iter().filter(|(_, why)| why.as_deref() == Some("QueueFull")).map(|(name, _)| name).collect()
}

/// Eight ran, were limited and wait again together with as many as the queue takes; then another controller leads.
#[test]
fn who_waits_again_takes_nobodys_place_in_the_queue() {
    let mut all: Vec<_> = ["a", "b"].map(waits_again).into();
    all.extend(["x", "y", "z"].map(waits));
    let mut rig = Rig::new(&[limited_to(3, 1)], &[], &all);
    let first = rig.writes();
    assert_eq!(refused(&first), [""; 0]);

    rig.apply(Input::Dispatch(Seen::Present(waits("zz"))));
    let then = rig.writes();
    assert_eq!(refused(&then), ["zz"], "there is no place for another one");
}

/// The write that reserved a worker for it lost a race, while the limit was set lower.
#[test]
fn who_was_accepted_is_not_judged_again() {
    let mut rig = Rig::new(&[limited_to(2, 1)], &[idle()], &[waits("a")]);
    let first = rig.writes();
    let reserved = |(s, v): &(Subject, Verb)| *s == Subject::Worker(key("p-0")) && matches!(v, Verb::WorkerStatus(..));
    assert!(first.iter().any(reserved), "{first:?}");

    rig.apply(Input::Pool(Seen::Present(limited_to(0, 2))));
    let mut busy = idle();
    let w = Arc::make_mut(&mut busy);
    (w.metadata.resource_version, w.spec.cordoned) = (Some("3".into()), true);
    rig.settle(Subject::Worker(key("p-0")), Settled::Refreshed(Fetched::Worker(Some(busy))));
    let then = rig.writes();
    assert_eq!(refused(&then), [""; 0]);
}

#[test]
fn annotations_over_the_limit_stay() {
    let tasks: Vec<String> = (0..10).map(|n| format!("dispatch.poolkeeper.dev/t{n}")).collect();
    let asked: Vec<(&str, &str)> = tasks.iter().map(|t| (t.as_str(), "")).collect();
    let p = annotated(&limited_to(5, 1), 2, &asked);
    let mut rig = Rig::new(&[p], &[], &[]);
    let (first, told) = rig.decide();
    assert_eq!(created(&first), ["t0", "t1", "t2", "t3", "t4"]);
    let full = |n: &&Event| n.text.contains("QueueFull");
    assert_eq!(told.iter().filter(full).count(), 5, "{told:?}");

    // Another one comes as a Dispatch before the first exist: their places are taken.
    rig.apply(Input::Dispatch(Seen::Present(waits("other"))));
    assert_eq!(refused(&rig.writes()), ["other"]);
    // Some are shown by the watch first, some by the answer.
    for (n, (subject, verb)) in first.into_iter().filter(|(s, _)| matches!(s, Subject::Dispatch(_))).enumerate() {
        let Verb::CreateDispatch(d) = verb else { unreachable!() };
        if n % 2 == 0 {
            rig.apply(Input::Dispatch(Seen::Present(made(&d, 20))));
            assert_eq!(created(&rig.writes()), [""; 0]);
        }
        rig.settle(subject, done(made(&d, 20)));
        let then = rig.writes();
        assert_eq!((created(&then), refused(&then)), (vec![], vec![]));
    }
}

/// The limit was lowered and the controller restarted: a dispatch that waited under the old limit continues to wait.
#[test]
fn who_waited_before_a_start_was_accepted() {
    let mut p = limited_to(2, 1);
    Arc::make_mut(&mut p).status.as_mut().unwrap().queued = 4;
    let mut rig = Rig::new(&[p], &[], &["a", "b", "c", "d", "e"].map(waits));
    let first = rig.writes();
    assert_eq!(refused(&first), ["e"], "four waited at the last roll-up");

    rig.apply(Input::Dispatch(Seen::Present(waits("f"))));
    assert_eq!(refused(&rig.writes()), ["f"], "that is over");
}

/// No dispatch waited any more when it started.
#[test]
fn what_waited_before_a_start_lets_nobody_in_later() {
    let mut p = limited_to(1, 1);
    Arc::make_mut(&mut p).status.as_mut().unwrap().queued = 4;
    let mut rig = Rig::new(&[p], &[], &[]);
    rig.writes();
    for name in ["a", "b"] {
        rig.apply(Input::Dispatch(Seen::Present(waits(name))));
    }
    assert_eq!(refused(&rig.writes()), ["b"]);
}

#[test]
fn a_refusal_that_failed_is_judged_anew() {
    let mut rig = Rig::new(&[limited_to(1, 1)], &[], &["a", "b"].map(waits));
    assert_eq!(refused(&rig.writes()), ["b"]);
    rig.apply(Input::Dispatch(Seen::Gone(waits("a"))));
    rig.writes();
    rig.settle(Subject::Dispatch(key("b")), Settled::Refreshed(Fetched::Dispatch(Some(waits("b")))));
    assert_eq!(refused(&rig.writes()), [""; 0], "there is room by now");
    rig.apply(Input::Dispatch(Seen::Present(waits("c"))));
    assert_eq!(refused(&rig.writes()), ["c"]);
}

#[test]
fn a_start_with_a_long_queue_looks_at_each_once() {
    let all: Vec<_> = (0..3000).map(|n| waits(&format!("t{n:04}"))).collect();
    let mut rig = Rig::new(&[limited_to(1000, 1)], &[], &all);
    assert_eq!(refused(&rig.writes()).len(), 2000);
    let visits = rig.core.visits().0;
    assert!(visits <= 3 * 3000, "{visits} visits for 3000 dispatches");
}
