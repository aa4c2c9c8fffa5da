//! Requests in annotations that fail: each is retried, reported once, and its failure ends with it.

use std::slice::from_ref;

use poolkeeper::core::Object;

use super::*;

const DOOR: &str = "dispatch.poolkeeper.dev/t";

fn t() -> Subject {
    Subject::Dispatch(key("t"))
}

fn refused(why: &str) -> Settled {
    Settled::Refused(why.into())
}

fn warnings(notes: Vec<Event>) -> Vec<String> {
    notes.into_iter().filter(|n| n.type_ == EventType::Warning).map(|n| n.text).collect()
}

/// A pool that has this annotation and does nothing else.
fn asked(value: &str) -> (Rig, Arc<ContainerPool>) {
    let p = annotated(&pool("p", 1, json!({})), 2, &[(DOOR, value)]);
    (Rig::new(from_ref(&p), &[], &[]), p)
}

impl Rig {
    /// Time passes until something is due by it; at most a minute.
    fn wait(&mut self) {
        let due = self.core.next_wake().1.map_or(Duration::MAX, |t| t.saturating_sub(self.now().mono));
        assert!(due <= Duration::from_secs(60), "nothing is due");
        self.passed += due;
    }

    /// The writes and Events of now. Statuses of pools are written at once; what they are to show of requests comes last.
    pub(super) fn look(&mut self) -> (Vec<(Subject, Verb)>, Vec<String>, Vec<Condition>) {
        let (writes, notes) = self.decide();
        let mut shown = Vec::new();
        for (s, v) in &writes {
            if let Verb::PoolStatus(base, next) = v {
                shown.extend(next.conditions.iter().find(|c| c.type_ == "RequestsAccepted").cloned());
                let mut written = (**base).clone();
                written.metadata.resource_version = Some((base.version() + 1).to_string());
                written.status = Some((**next).clone());
                self.settle(s.clone(), Settled::Done(Some(Fetched::Pool(Some(Arc::new(written))))));
            }
        }
        (writes, warnings(notes), shown)
    }

    /// Looks until this is asked for. Adds to `told`, and returns what was shown.
    fn until(&mut self, subject: &Subject, told: &mut Vec<String>, is: fn(&Verb) -> bool) -> Vec<Condition> {
        let mut shown = Vec::new();
        for _ in 0..20 {
            let (writes, notes, conditions) = self.look();
            told.extend(notes);
            shown.extend(conditions);
            if writes.iter().any(|(s, v)| s == subject && is(v)) {
                return shown;
            }
            self.wait();
        }
        panic!("never asked for");
    }
}

fn creates(verb: &Verb) -> bool {
    matches!(verb, Verb::CreateDispatch(_))
}

/// The pool is idle: nothing but the failure itself has it looked at again.
#[test]
fn a_creation_that_failed_is_tried_again() {
    let (mut rig, _) = asked("");
    let mut told = Vec::new();
    rig.until(&t(), &mut told, creates);
    for _ in 0..2 {
        rig.settle(t(), Settled::Failed(None, "no answer within 10s".into()));
        rig.until(&t(), &mut told, creates);
    }
    assert_eq!(told, [""; 0], "what passes by itself within a moment is not reported");
    rig.settle(t(), Settled::Failed(None, "no answer within 10s".into()));
    let shown = rig.until(&t(), &mut told, creates);
    assert_eq!(told, ["annotation dispatch.poolkeeper.dev/t: no answer within 10s"]);
    assert!(shown.iter().all(|c| c.status == "False"), "{shown:?}");
}

/// Where the server does not know what it should make it in, it knows no such object either.
#[test]
fn a_creation_that_left_nothing_is_no_success() {
    let (mut rig, _) = asked("");
    rig.until(&t(), &mut Vec::new(), creates);
    rig.settle(t(), Settled::Refreshed(Fetched::Dispatch(None)));
    assert_eq!(created(&rig.writes()), [""; 0], "not at once");
    rig.until(&t(), &mut Vec::new(), creates);
}

#[test]
fn a_creation_that_is_refused_is_told_once() {
    let (mut rig, _) = asked(r#"{"priority":2000000000}"#);
    let (mut told, mut shown) = (Vec::new(), Vec::new());
    rig.until(&t(), &mut told, creates);
    for _ in 0..15 {
        rig.settle(t(), refused("spec.priority: too large"));
        shown.extend(rig.until(&t(), &mut told, creates));
    }
    assert_eq!(told, ["annotation dispatch.poolkeeper.dev/t: spec.priority: too large"]);
    let is_right = |c: &Condition| c.status == "False" && c.message.ends_with("spec.priority: too large");
    assert!(!shown.is_empty() && shown.iter().all(is_right), "{shown:?}");
}

/// The words of a refusal say what would be right, those of a failure do not.
#[test]
fn a_refusal_after_failures_is_told_too() {
    let (mut rig, _) = asked(r#"{"priority":2000000000}"#);
    let mut told = Vec::new();
    rig.until(&t(), &mut told, creates);
    for n in 0..8 {
        let words = format!("words {n}");
        rig.settle(t(), if n < 4 { Settled::Failed(None, words) } else { refused(&words) });
        rig.until(&t(), &mut told, creates);
    }
    let said: Vec<&str> = told.iter().map(|t| t.rsplit_once(": ").unwrap().1).collect();
    assert_eq!(said, ["words 2", "words 4"]);
}

#[test]
fn another_value_is_neither_delayed_nor_blamed() {
    let (mut rig, p) = asked(r#"{"priority":2000000000}"#);
    let mut told = Vec::new();
    rig.until(&t(), &mut told, creates);
    for _ in 0..8 {
        rig.settle(t(), refused("too large"));
        rig.until(&t(), &mut told, creates);
    }
    rig.settle(t(), refused("too large"));
    rig.look();
    rig.apply(Input::Pool(Seen::Present(annotated(&p, 20, &[(DOOR, "")]))));
    let (writes, told, _) = rig.look();
    assert_eq!((created(&writes), told), (vec!["t".to_owned()], vec![]));

    // It is taken off while it is under way, and comes again later.
    rig.apply(Input::Pool(Seen::Present(annotated(&p, 30, &[]))));
    rig.settle(t(), refused("it was not requested"));
    rig.look();
    rig.apply(Input::Pool(Seen::Present(annotated(&p, 40, &[(DOOR, "")]))));
    let (writes, told, _) = rig.look();
    assert_eq!((created(&writes), told), (vec!["t".to_owned()], vec![]));
}

/// The decisions about the Dispatch itself do not wait for what an annotation says about it.
#[test]
fn a_result_that_is_refused_is_told_once_and_stops_nothing_else() {
    let (door, value) = ("result.poolkeeper.dev/t", "Succeeded");
    let p = annotated(&pool("p", 1, json!({})), 2, &[(door, value)]);
    let d = |version, cancel| -> Arc<Dispatch> {
        let status = json!({"phase": "Assigned", "attempt": 1, "assignedAt": "2026-01-01T01:00:00Z",
            "worker": {"name": "p-0", "uid": "p-0-uid"}});
        object("t", version, json!({"pool": "p", "cancel": cancel}), status)
    };
    let named = json!({"name": "t", "uid": "t-uid", "attempt": 1, "assignedAt": "2026-01-01T01:00:00Z"});
    let w = worker("p-0", 2, None, json!({"phase": "Busy", "dispatch": named}));
    let mut rig = Rig::new(&[p], &[w], &[d(10, false)]);
    let reports = |v: &Verb| matches!(v, Verb::DispatchResult(..));
    let (mut told, mut shown) = (Vec::new(), Vec::new());
    rig.until(&t(), &mut told, reports);
    for _ in 0..8 {
        rig.settle(t(), refused("spec.result: the rule"));
        shown.extend(rig.until(&t(), &mut told, reports));
    }
    assert_eq!(told, ["annotation result.poolkeeper.dev/t: spec.result: the rule"]);
    assert!(!shown.is_empty() && shown.iter().all(|c| c.status == "False"), "{shown:?}");

    rig.settle(t(), refused("spec.result: the rule"));
    rig.apply(Input::Dispatch(Seen::Present(d(11, true))));
    assert_eq!(closed(&rig.writes()).len(), 1, "its cancel is not put off");
}

/// The name is free once the last Dispatch of it is gone; by then nothing is known of it that would lead to the pool.
#[test]
fn a_request_comes_after_the_removal_of_the_last_one_of_its_name() {
    let policy = json!({"dispatch": {"history": {"ttl": "1s"}}});
    let long_ago = "2026-01-01T00:20:00Z";
    let last = json!({"phase": "Cancelled", "finishedAt": long_ago});
    let old: Arc<Dispatch> = object("t", 10, json!({"pool": "p"}), last);
    let p = pool("p", 1, policy);
    let mut rig = Rig::new(from_ref(&p), &[], from_ref(&old));
    let (first, ..) = rig.look();
    assert!(first.iter().any(|(_, v)| matches!(v, Verb::DeleteDispatch(_))), "{first:?}");
    rig.apply(Input::Dispatch(Seen::Gone(old)));
    rig.apply(Input::Pool(Seen::Present(annotated(&p, 20, &[(DOOR, "")]))));
    assert_eq!(created(&rig.writes()), [""; 0], "one write at a time");
    rig.settle(t(), Settled::Done(Some(Fetched::Dispatch(None))));
    assert_eq!(created(&rig.writes()), ["t"]);
}

#[test]
fn two_pools_that_ask_for_one_name_are_both_told() {
    let [a, b] = ["a", "b"].map(|name| annotated(&pool(name, 1, json!({})), 2, &[(DOOR, "")]));
    let mut rig = Rig::new(&[a, b], &[], &[]);
    let (first, ..) = rig.look();
    rig.look();
    let asked = first.into_iter().find_map(|(_, v)| if let Verb::CreateDispatch(d) = v { Some(d) } else { None });
    rig.settle(t(), done(made(&asked.unwrap(), 20)));
    let (_, notes) = rig.decide();
    assert!(notes.iter().any(|n| n.key == key("b") && n.text.contains("NameTaken")), "{notes:?}");
}

/// The other pool's history ends, and nothing about the pool that wants the name changes.
#[test]
fn a_name_that_another_pool_had_is_taken_when_it_is_free() {
    let a = pool("a", 1, json!({}));
    let b = annotated(&pool("b", 1, json!({})), 2, &[(DOOR, "")]);
    let others: Arc<Dispatch> = object("t", 10, json!({"pool": "a"}), json!({"phase": "Pending"}));
    let mut rig = Rig::new(&[a, b], &[], from_ref(&others));
    let (_, told, _) = rig.look();
    assert!(told.iter().any(|text| text.contains("NameTaken")), "{told:?}");
    for _ in 0..3 {
        rig.passed += Duration::from_secs(10);
        // Nothing is left to be written, except why the other one waits.
        for (subject, _) in rig.look().0.into_iter().filter(|(s, _)| *s == t()) {
            rig.settle(subject, Settled::Done(None));
        }
    }
    rig.apply(Input::Dispatch(Seen::Gone(others)));
    rig.until(&t(), &mut Vec::new(), creates);
}

/// What was reported of a pool that is gone was not reported of the next one with its name.
#[test]
fn a_pool_that_is_made_anew_is_told_anew() {
    let p = annotated(&pool("p", 1, json!({})), 2, &[("dispatch.poolkeeper.dev/x", "{nope")]);
    let kept = json!({"phase": "Cancelled", "finishedAt": START});
    let mut rig = Rig::new(from_ref(&p), &[], &[object("old", 10, json!({"pool": "p"}), kept)]);
    assert_eq!(rig.look().1.len(), 1);
    assert_eq!(rig.look().1.len(), 0);

    rig.apply(Input::Pool(Seen::Gone(p.clone())));
    rig.look();
    let mut again = (*p).clone();
    (again.metadata.uid, again.metadata.resource_version) = (Some("p-again".into()), Some("30".into()));
    rig.apply(Input::Pool(Seen::Present(Arc::new(again))));
    assert_eq!(rig.look().1.len(), 1);
}

/// Its answer would be taken for that of the other write, and the dispatch be given to a second worker.
#[test]
fn a_worker_takes_no_dispatch_while_its_rest_is_written() {
    let p = annotated(&pool("p", 1, json!({})), 2, &[("cooldown.poolkeeper.dev/p-0", "90s")]);
    let idle = worker("p-0", 2, None, json!({"phase": "Ready", "idleSince": START}));
    let mut rig = Rig::new(&[p], &[idle], &[]);
    let about = |writes: &[(Subject, Verb)]| {
        writes.iter().filter(|(_, v)| matches!(v, Verb::WorkerStatus(..))).map(|(s, _)| s.clone()).collect::<Vec<_>>()
    };
    assert_eq!(about(&rig.look().0), [Subject::Worker(key("p-0"))]);
    rig.apply(Input::Dispatch(Seen::Present(waits("t"))));
    assert_eq!(about(&rig.look().0), []);
}

/// Each write of a pool is a row of `kubectl get cpool -w`.
#[test]
fn requests_that_are_done_go_with_one_write() {
    let asked = [("result.poolkeeper.dev/t", "1 Succeeded"), ("result.poolkeeper.dev/u", "1 Failed")];
    let p = annotated(&pool("p", 1, json!({})), 2, &asked);
    let ended = |name, outcome| {
        let last = json!({"attempt": 1, "outcome": outcome, "closedAt": START});
        let status = json!({"phase": outcome, "attempt": 1, "finishedAt": START, "lastResult": last});
        object(name, 10, json!({"pool": "p"}), status)
    };
    let mut rig = Rig::new(from_ref(&p), &[], &[ended("t", "Succeeded"), ended("u", "Failed")]);
    let removed: Vec<_> = rig
        .writes()
        .into_iter()
        .filter_map(|(_, v)| if let Verb::RemovePoolAnnotations(_, done) = v { Some(done) } else { None })
        .collect();
    let both = asked.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(removed, [both]);
}
