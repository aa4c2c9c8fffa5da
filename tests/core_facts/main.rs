//! Facts that come late, twice, or while something else is under way: ends of attempts meet each other, dispatches are
//! deleted, an answer is older than what was observed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod orphans;
mod starts;
mod strangers;
mod unanswered;

use std::sync::Arc;
use std::time::Duration;

use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use poolkeeper::core::template_hash;
use poolkeeper::core::{
    Action, Core, Fetched, Input, Now, ObjectKey, RuntimeFact, RuntimeOrder, Seen, Settled, Subject, Verb,
};
use poolkeeper::runtime::{Instance, InstanceKey, InstanceState, LOCAL_HOST, Observation};
use poolkeeper_testkit::objects::{config, host, object};
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T01:30:00Z";
const ASSIGNED: &str = "2026-01-01T00:30:00.000000Z";

/// The pool of these tests: its workers share a credential.
fn pool() -> Arc<ContainerPool> {
    let spec = json!({"min": 1, "max": 2, "runtime": "Process", "rateLimit": {"scope": "Credential"},
        "credentials": [{"name": "a", "env": "TOKEN", "fromEnv": "PATH"}]});
    object("p", 1, spec, json!({}))
}

/// The `n`th worker of the pool, in this version. It names attempt 1 of dispatch `t<n>`.
fn worker(n: usize, version: u32) -> Arc<Worker> {
    let hash = template_hash(&pool().spec, pool().spec.credentials.first());
    let spec = json!({"pool": "p", "runtime": "Process", "host": "local", "credential": "a", "poolGeneration": 1, "templateHash": hash});
    let named = json!({"name": format!("t{n}"), "uid": format!("t{n}-uid"), "attempt": 1, "assignedAt": ASSIGNED});
    let status = json!({"phase": "Busy", "dispatch": named, "handle": handle(n), "dispatches": 1});
    object(&format!("p-{n}"), version, spec, status)
}

fn handle(n: usize) -> Value {
    json!({"id": n.to_string(), "started": "1"})
}

/// What became of attempt 1, and when it was assigned.
fn dispatch(n: usize, assigned: &str, last_result: &Value) -> Arc<Dispatch> {
    let ended = !last_result.is_null();
    let status = json!({"phase": if ended { "Failed" } else { "Assigned" }, "attempt": 1, "assignedAt": assigned,
        "worker": {"name": format!("p-{n}"), "uid": format!("p-{n}-uid")}, "lastResult": last_result,
        "finishedAt": ended.then_some(NOW)});
    object(&format!("t{n}"), 10, json!({"pool": "p"}), status)
}

/// The pool with a worker for each of these dispatches.
fn core(dispatches: &[Arc<Dispatch>]) -> Core {
    let mut core = Core::new(config());
    let running = |n| instance(n, InstanceState::Running);
    let all = 0..dispatches.len();
    let mut events = vec![Input::Pool(Seen::Present(pool()))];
    events.extend(all.clone().map(|n| Input::Worker(Seen::Present(worker(n, 2)))));
    events.extend(dispatches.iter().map(|d| Input::Dispatch(Seen::Present(d.clone()))));
    events.push(Input::Pool(Seen::Listed([ObjectKey::new("ns", "p")].into())));
    events.push(Input::Worker(Seen::Listed(all.clone().map(|n| ObjectKey::new("ns", format!("p-{n}"))).collect())));
    events.push(Input::Dispatch(Seen::Listed(all.clone().map(|n| ObjectKey::new("ns", format!("t{n}"))).collect())));
    events.push(Input::Runtime(RuntimeFact::Observed(host(), Observation::Listed(all.map(running).collect()))));
    for event in events {
        core.apply(event, now());
    }
    core
}

fn instance(n: usize, state: InstanceState) -> Instance {
    Instance {
        key: InstanceKey { namespace: "ns".into(), worker: format!("p-{n}"), uid: format!("p-{n}-uid") },
        host: LOCAL_HOST.to_owned(),
        own: true,
        handle: serde_json::from_value(handle(n)).unwrap(),
        state,
    }
}

fn now() -> Now {
    Now::new(NOW.parse().unwrap(), Duration::from_secs(1000))
}

fn later(seconds: u64) -> Now {
    let Now { wall, mono } = now();
    Now::new(wall + Duration::from_secs(seconds), mono + Duration::from_secs(seconds))
}

fn verbs(core: &mut Core) -> Vec<Verb> {
    let verb = |a| if let Action::Write(_, verb) = a { Some(verb) } else { None };
    core.decide(now()).into_iter().filter_map(verb).collect()
}

fn limited(until: &str) -> Value {
    json!({"attempt": 1, "outcome": "RateLimited", "closedAt": NOW, "until": until})
}

/// The rest of the credential that a status of the pool is to show, if one is to be written: its end and its strikes.
fn rest(verbs: &[Verb]) -> Option<(String, i32)> {
    let shown = |v: &Verb| if let Verb::PoolStatus(_, s) = v { s.rate_limits.first().cloned() } else { None };
    verbs.iter().find_map(shown).map(|r| (r.until.unwrap().0.to_string(), r.strikes))
}

#[test]
fn a_rest_is_not_forgotten_with_its_dispatch() {
    let d = dispatch(0, ASSIGNED, &limited("2026-01-01T02:00:00Z"));
    let mut core = core(std::slice::from_ref(&d));
    let first = verbs(&mut core);
    assert_eq!(rest(&first), Some(("2026-01-01T02:00:00Z".into(), 1)), "the credential's rest is written first");

    // That write is still under way.
    core.apply(Input::Dispatch(Seen::Gone(d)), now());
    let then = verbs(&mut core);
    let harmful = then.iter().find(|v| matches!(v, Verb::DeleteWorker(..) | Verb::GetDispatch(_)));
    assert!(harmful.is_none(), "its worker waits for it: {then:?}");
}

/// Each of these begins after the rest before it, so each is a strike; once, however often the write fails.
#[test]
fn rests_that_wait_to_be_written_are_counted_once() {
    let first = dispatch(0, ASSIGNED, &limited("2026-01-01T01:10:00Z"));
    let second = dispatch(1, "2026-01-01T01:20:00.000000Z", &limited("2026-01-01T02:00:00Z"));
    let mut core = core(&[first, second]);
    for version in 3..9 {
        let seen = verbs(&mut core);
        assert_eq!(rest(&seen), Some(("2026-01-01T02:00:00Z".into(), 2)), "round {version}");
        for n in [0, 1] {
            core.apply(Input::Worker(Seen::Present(worker(n, version))), now());
        }
        assert_eq!(rest(&verbs(&mut core)), None, "one write at a time");
        let failed = Settled::Refreshed(Fetched::Pool(Some(pool())));
        core.apply(Input::Settled(Subject::Pool(ObjectKey::new("ns", "p")), failed), now());
    }
}

#[test]
fn a_worker_is_freed_though_the_dispatch_that_ended_on_it_is_deleted() {
    let d = dispatch(0, ASSIGNED, &json!({"attempt": 1, "outcome": "Succeeded", "closedAt": NOW}));
    let mut core = core(std::slice::from_ref(&d));
    core.apply(Input::Dispatch(Seen::Gone(d)), now());
    let then = verbs(&mut core);
    let freed = |v: &Verb| matches!(v, Verb::WorkerStatus(_, s) if s.dispatch.is_none());
    assert!(then.iter().any(freed), "{then:?}");
}

/// Whether it was reported between is not known: the server is asked.
#[test]
fn an_open_attempt_whose_dispatch_is_deleted_is_asked_for() {
    let d = dispatch(0, ASSIGNED, &Value::Null);
    let mut core = core(std::slice::from_ref(&d));
    core.apply(Input::Dispatch(Seen::Gone(d)), now());
    let then = verbs(&mut core);
    assert!(then.iter().any(|v| matches!(v, Verb::GetDispatch(_))), "{then:?}");
}

/// The pool whose first worker has just been ordered to start.
fn starting() -> (Core, Arc<Worker>) {
    let mut core = core(&[]);
    let asked = verbs(&mut core).into_iter().find_map(|v| if let Verb::CreateWorker(w) = v { Some(w) } else { None });
    let made: Arc<Worker> = object("p-0", 2, serde_json::to_value(asked.unwrap().spec).unwrap(), Value::Null);
    let done = Settled::Done(Some(Fetched::Worker(Some(made.clone()))));
    core.apply(Input::Settled(Subject::Worker(ObjectKey::new("ns", "p-0")), done), now());
    let first = core.decide(now());
    assert!(first.iter().any(|a| matches!(a, Action::Runtime(RuntimeOrder::Start(..)))), "{first:?}");
    (core, made)
}

/// The answer to the order that makes an instance tells how it was when it was made.
#[test]
fn an_answer_to_a_start_does_not_take_back_what_was_observed() {
    let (mut core, _) = starting();
    let observed = Observation::Changed(instance(0, InstanceState::Running));
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), observed)), now());
    let answer = instance(0, InstanceState::Starting);
    core.apply(Input::Runtime(RuntimeFact::Started(answer.key.clone(), Ok(answer))), now());
    let then = verbs(&mut core);
    let ready = |v: &Verb| matches!(v, Verb::WorkerStatus(_, s) if s.phase == WorkerPhase::Ready);
    assert!(then.iter().any(ready), "{then:?}");
}

/// What a check shows is as old as its question.
#[test]
fn an_answer_to_a_check_does_not_take_back_what_was_observed() {
    let mut core = core(&[]);
    let spec = serde_json::to_value(&worker(0, 2).spec).unwrap();
    let idle: Arc<Worker> = object("p-0", 2, spec, json!({"phase": "Ready", "handle": handle(0), "idleSince": NOW}));
    core.apply(Input::Worker(Seen::Present(idle)), now());
    let first = core.decide(now());
    assert!(first.iter().any(|a| matches!(a, Action::Runtime(RuntimeOrder::Check(..)))), "{first:?}");

    let waits = InstanceState::NotReady { why: "its probe fails".into(), held: false };
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Changed(instance(0, waits)))), now());
    let answer = instance(0, InstanceState::Running);
    core.apply(Input::Runtime(RuntimeFact::Checked(answer.key.clone(), Ok(Some(answer)))), now());
    let then = verbs(&mut core);
    let told = |v: &Verb| matches!(v, Verb::WorkerStatus(_, s) if s.message.as_deref() == Some("its probe fails"));
    assert!(then.iter().any(told), "{then:?}");
}

/// A cache that does not know of the reservation yet says nothing about its holder.
#[test]
fn a_dispatch_is_removed_only_when_its_worker_was_seen_to_be_free() {
    let long_ago = "2026-01-01T00:20:00Z";
    let mut d = dispatch(0, ASSIGNED, &json!({"attempt": 1, "outcome": "Succeeded", "closedAt": long_ago}));
    let status = Arc::make_mut(&mut d).status.as_mut().unwrap();
    status.finished_at = serde_json::from_value(json!(long_ago)).unwrap();
    let idle = |version| {
        let spec = serde_json::to_value(&worker(0, 2).spec).unwrap();
        let w = object("p-0", version, spec, json!({"phase": "Ready", "handle": handle(0), "idleSince": NOW}));
        Input::Worker(Seen::Present(w))
    };
    let removed = |v: &Verb| matches!(v, Verb::DeleteDispatch(_));

    let mut late = core(&[]);
    late.apply(idle(1), now());
    late.apply(Input::Dispatch(Seen::Present(d.clone())), now());
    let first = verbs(&mut late);
    assert!(!first.iter().any(removed), "{first:?}");
    assert!(first.iter().any(|v| matches!(v, Verb::GetWorker(w) if &*w.name == "p-0")), "{first:?}");
    let Input::Worker(Seen::Present(free)) = idle(3) else { unreachable!() };
    let found = Settled::Done(Some(Fetched::Worker(Some(free))));
    late.apply(Input::Settled(Subject::Pool(ObjectKey::new("ns", "p")), Settled::Done(None)), now());
    late.apply(Input::Settled(Subject::Dispatch(ObjectKey::new("ns", "t0")), found), now());
    let then = verbs(&mut late);
    assert!(then.iter().any(removed), "{then:?}");

    // A core that saw it freed need not ask.
    let mut core = core(&[d]);
    core.apply(idle(3), now());
    let then = verbs(&mut core);
    assert!(then.iter().any(removed), "{then:?}");
}

/// The worker has another dispatch by the time of the answer about the first, which this cache does not know.
#[test]
fn an_answer_about_one_dispatch_says_nothing_of_the_next() {
    let mut core = core(&[]);
    core.apply(Input::Worker(Seen::Present(worker(0, 2))), now());
    let asked = verbs(&mut core);
    assert!(asked.iter().any(|v| matches!(v, Verb::GetDispatch(d) if &*d.name == "t0")), "{asked:?}");

    let mut next = worker(0, 3);
    let named = Arc::make_mut(&mut next).status.as_mut().unwrap().dispatch.as_mut().unwrap();
    (named.name, named.uid) = ("t1".into(), "t1-uid".into());
    core.apply(Input::Worker(Seen::Present(next)), now());
    let gone = Settled::Done(Some(Fetched::Dispatch(None)));
    core.apply(Input::Settled(Subject::Worker(ObjectKey::new("ns", "p-0")), gone), now());
    let then = verbs(&mut core);
    assert!(!then.iter().any(|v| matches!(v, Verb::DeleteWorker(..))), "{then:?}");
    assert!(then.iter().any(|v| matches!(v, Verb::GetDispatch(d) if &*d.name == "t1")), "{then:?}");
}

/// The dispatch has another worker by the time of the answer about the first.
#[test]
fn an_answer_about_one_worker_says_nothing_of_the_next() {
    let mut core = core(&[]);
    let first = dispatch(0, ASSIGNED, &Value::Null);
    core.apply(Input::Dispatch(Seen::Present(first.clone())), now());
    let asked = verbs(&mut core);
    assert!(asked.iter().any(|v| matches!(v, Verb::GetWorker(w) if &*w.name == "p-0")), "{asked:?}");

    let mut next = first;
    let d = Arc::make_mut(&mut next);
    d.metadata.resource_version = Some("11".into());
    let status = d.status.as_mut().unwrap();
    status.attempt = 2;
    let on = status.worker.as_mut().unwrap();
    (on.name, on.uid) = ("p-1".into(), "p-1-uid".into());
    core.apply(Input::Dispatch(Seen::Present(next)), now());
    let gone = Settled::Done(Some(Fetched::Worker(None)));
    core.apply(Input::Settled(Subject::Dispatch(ObjectKey::new("ns", "t0")), gone), now());
    let then = verbs(&mut core);
    assert!(!then.iter().any(|v| matches!(v, Verb::DispatchStatus(..))), "{then:?}");
    assert!(then.iter().any(|v| matches!(v, Verb::GetWorker(w) if &*w.name == "p-1")), "{then:?}");
}

/// The dispatch that an answer says is gone was made anew meanwhile, with its old name.
#[test]
fn an_answer_about_one_object_says_nothing_of_the_next_with_its_name() {
    let cancelled = |version| {
        let mut d = dispatch(0, ASSIGNED, &Value::Null);
        let new = Arc::make_mut(&mut d);
        new.spec.cancel = true;
        new.metadata.resource_version = Some(version);
        d
    };
    let closes =
        |v: &Verb, uid: &str| matches!(v, Verb::DispatchStatus(d, _) if d.metadata.uid.as_deref() == Some(uid));
    let mut core = core(&[cancelled("10".into())]);
    let first = verbs(&mut core);
    assert!(first.iter().any(|v| closes(v, "t0-uid")), "{first:?}");

    let mut again = cancelled("12".into());
    let new = Arc::make_mut(&mut again);
    (new.metadata.uid, new.status) = (Some("t0-again".into()), None);
    core.apply(Input::Dispatch(Seen::Present(again)), now());
    let gone = Settled::Refreshed(Fetched::Dispatch(None));
    core.apply(Input::Settled(Subject::Dispatch(ObjectKey::new("ns", "t0")), gone), now());
    let then = verbs(&mut core);
    assert!(then.iter().any(|v| closes(v, "t0-again")), "{then:?}");
}

/// A write that fails is retried after a pause, and nothing else waits for it.
#[test]
fn who_cannot_be_reserved_is_not_chosen_again_at_once() {
    let mut core = core(&[]);
    for n in [0, 1] {
        let spec = serde_json::to_value(&worker(n, 2).spec).unwrap();
        let idle = object(&format!("p-{n}"), 2, spec, json!({"phase": "Ready", "handle": handle(n), "idleSince": NOW}));
        core.apply(Input::Worker(Seen::Present(idle)), now());
        let running = Observation::Changed(instance(n, InstanceState::Running));
        core.apply(Input::Runtime(RuntimeFact::Observed(host(), running)), now());
    }
    let waiting: Arc<Dispatch> = object("t", 3, json!({"pool": "p"}), json!({"phase": "Pending"}));
    core.apply(Input::Dispatch(Seen::Present(waiting)), now());
    let reserved = |core: &mut Core| {
        let of = |a| if let Action::Write(_, Verb::WorkerStatus(w, s)) = a { Some((w, s)) } else { None };
        let all: Vec<_> = core.decide(now()).into_iter().filter_map(of).filter(|(_, s)| s.dispatch.is_some()).collect();
        all.into_iter().map(|(w, _)| ObjectKey::of(&*w)).collect::<Vec<_>>()
    };
    let first = reserved(&mut core);
    assert_eq!(first.len(), 1);
    let failed = Settled::Failed(None, "etcdserver: mvcc: database space exceeded".into());
    core.apply(Input::Settled(Subject::Worker(first[0].clone()), failed.clone()), now());
    core.apply(Input::Settled(Subject::Pool(ObjectKey::new("ns", "p")), Settled::Done(None)), now());
    let second = reserved(&mut core);
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
    core.apply(Input::Settled(Subject::Worker(second[0].clone()), failed), now());
    assert!(reserved(&mut core).is_empty(), "both wait");
    let again = core.decide(later(1));
    assert!(again.iter().any(|a| matches!(a, Action::Write(_, Verb::WorkerStatus(_, s)) if s.dispatch.is_some())));
}

/// Otherwise it would never be replaced, since nothing waits for its recovery.
#[test]
fn who_can_take_no_work_and_is_outdated_goes() {
    let waits = InstanceState::NotReady { why: "its probe fails".into(), held: false };
    let left = |spec: &poolkeeper::api::WorkerSpec| {
        let mut core = core(&[]);
        let status = json!({"phase": "Ready", "handle": handle(0), "idleSince": NOW});
        let w: Arc<Worker> = object("p-0", 2, serde_json::to_value(spec).unwrap(), status);
        core.apply(Input::Worker(Seen::Present(w)), now());
        let observed = Observation::Changed(instance(0, waits.clone()));
        core.apply(Input::Runtime(RuntimeFact::Observed(host(), observed)), now());
        // Why it waits is written first.
        let told =
            verbs(&mut core).into_iter().find_map(|v| if let Verb::WorkerStatus(_, s) = v { Some(s) } else { None });
        let told = serde_json::to_value(told.unwrap()).unwrap();
        let w: Arc<Worker> = object("p-0", 3, serde_json::to_value(spec).unwrap(), told);
        let done = Settled::Done(Some(Fetched::Worker(Some(w))));
        core.apply(Input::Settled(Subject::Worker(ObjectKey::new("ns", "p-0")), done), now());
        core.apply(Input::Settled(Subject::Pool(ObjectKey::new("ns", "p")), Settled::Done(None)), now());
        verbs(&mut core).iter().any(|v| matches!(v, Verb::DeleteWorker(..)))
    };
    let mut spec = worker(0, 2).spec.clone();
    assert!(!left(&spec), "it may get well");
    spec.template_hash = "another".into();
    assert!(left(&spec));
    spec.cordoned = true;
    assert!(!left(&spec), "a person keeps it");
}
