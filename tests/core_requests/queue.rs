//! `queueLimit`: a dispatch that was accepted is not refused later, whichever controller leads then.

use poolkeeper::api::vocabulary::EventReason;

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

/// Both ways to request a worker end alike: each makes a Dispatch, and those above the limit fail.
#[test]
fn annotations_over_the_limit_become_dispatches_that_fail() {
    let tasks: Vec<String> = (0..10).map(|n| format!("dispatch.poolkeeper.dev/t{n}")).collect();
    let asked: Vec<(&str, &str)> = tasks.iter().map(|t| (t.as_str(), "")).collect();
    let p = annotated(&limited_to(5, 1), 2, &asked);
    let mut rig = Rig::new(&[p], &[], &[]);
    let (first, told) = rig.decide();
    assert_eq!(created(&first).len(), 10);
    assert_eq!(told.iter().filter(|e| e.type_ == EventType::Warning).count(), 0, "{told:?}");
    for (subject, verb) in first {
        if let Verb::CreateDispatch(d) = verb {
            rig.settle(subject, done(made(&d, 20)));
        }
    }
    rig.apply(Input::Dispatch(Seen::Present(waits("u"))));
    assert_eq!(refused(&rig.writes()), ["t5", "t6", "t7", "t8", "t9", "u"]);
}

impl Rig {
    /// Statuses of Dispatches are written; the other writes end without an effect.
    fn take_effect(&mut self, writes: Vec<(Subject, Verb)>) {
        for (subject, verb) in writes {
            let settled = match verb {
                Verb::DispatchStatus(base, next) => {
                    let mut d = (*base).clone();
                    (d.metadata.resource_version, d.status) = (Some("20".into()), Some(*next));
                    done(Arc::new(d))
                }
                _ => Settled::Done(None),
            };
            self.settle(subject, settled);
        }
    }
}

/// However many are refused, the pool has one Event a minute, and each Dispatch a sentence.
#[test]
fn refusals_are_one_event_of_the_pool() {
    let all: Vec<_> = (0..200).map(|n| waits(&format!("t{n:03}"))).collect();
    let mut rig = Rig::new(&[limited_to(50, 1)], &[], &all);
    let (mut events, text) = (Vec::new(), "50 dispatches wait already (spec.dispatch.queueLimit)");
    let (writes, now) = rig.decide();
    events.extend(now);
    let messages = writes.iter().filter_map(|(_, v)| match v {
        Verb::DispatchStatus(_, next) => next.message.clone(),
        _ => None,
    });
    assert_eq!(messages.filter(|m| m == text).count(), 150);
    rig.take_effect(writes);
    let mut count = |rig: &mut Rig, after: u64| {
        rig.passed += Duration::from_secs(after);
        rig.apply(Input::Tick);
        let (writes, now) = rig.decide();
        events.extend(now);
        rig.take_effect(writes);
        let full: Vec<&str> = events
            .iter()
            .filter(|e| e.reason == EventReason::QueueFull && e.kind == "ContainerPool")
            .map(|e| e.text.as_str())
            .collect();
        let text = "dispatches are refused: 50 wait already (spec.dispatch.queueLimit)";
        assert!(full.iter().all(|t| *t == text), "{full:?}");
        full.len()
    };
    assert_eq!(count(&mut rig, 1), 1);
    rig.apply(Input::Dispatch(Seen::Present(waits("u"))));
    assert_eq!(count(&mut rig, 30), 1, "not yet again");
    assert_eq!(count(&mut rig, 30), 2, "it was refused after the Event");
    assert_eq!(count(&mut rig, 300), 2);
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
