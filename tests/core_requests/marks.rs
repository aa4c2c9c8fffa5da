//! An object that waits for something is looked at when that happens, also if the object itself does not change.

use std::slice::from_ref;

use poolkeeper::core::Object;

use super::*;

pub const IDENTITY: &str = "secret/s/k";

/// A pool whose workers share a credential with those of the others, and what it tells of its rest.
pub fn sharing(name: &str, version: u32, rests: Value) -> Arc<ContainerPool> {
    let mut p = pool(name, version, json!({"max": 1, "credentials": [shared_credential("c")]}));
    Arc::make_mut(&mut p).status.as_mut().unwrap().rate_limits = serde_json::from_value(rests).unwrap();
    p
}

/// The workers that are reserved or freed.
fn written(writes: &[(Subject, Verb)]) -> Vec<String> {
    let one =
        |(_, v): &(Subject, Verb)| if let Verb::WorkerStatus(w, _) = v { Some(w.metadata.name.clone()?) } else { None };
    writes.iter().filter_map(one).collect()
}

/// Pool `b` has an idle worker and work for it, on a credential that pool `a` knows to be refused. Neither probes it, so there is
/// no time for the worker to show.
fn parked() -> (Rig, Arc<ContainerPool>) {
    let mut a = sharing("a", 1, json!([{"key": IDENTITY, "parked": true}]));
    let mut b = sharing("b", 1, json!([]));
    for pool in [&mut a, &mut b] {
        Arc::make_mut(pool).spec.rate_limit.park_probe = serde_json::from_value(json!("0s")).unwrap();
    }
    let idle = worker("b-0", 2, Some("c"), json!({"phase": "Ready", "idleSince": START}));
    let t = object("t", 10, json!({"pool": "b"}), json!({"phase": "Pending"}));
    let mut rig = Rig::new(&[a.clone(), b], &[idle], &[t]);
    assert_eq!(written(&rig.writes()), [""; 0]);
    for name in ["a", "b"] {
        rig.settle(Subject::Pool(key(name)), Settled::Done(None));
    }
    rig.writes();
    (rig, a)
}

#[test]
fn a_credential_that_a_lost_pool_held_back_is_free_for_the_others() {
    let (mut rig, a) = parked();
    rig.apply(Input::Pool(Seen::Gone(a)));
    assert_eq!(written(&rig.writes()), ["b-0"]);
}

#[test]
fn a_credential_that_a_pool_no_longer_names_is_free_for_the_others() {
    let (mut rig, mut a) = parked();
    let new = Arc::make_mut(&mut a);
    new.metadata.resource_version = Some("2".into());
    new.spec.credentials.clear();
    rig.apply(Input::Pool(Seen::Present(a)));
    assert_eq!(written(&rig.writes()), ["b-0"]);
}

/// What was to be written there first is no longer owed.
#[test]
fn a_worker_that_waits_for_a_pool_that_is_lost_is_freed() {
    let a = sharing("a", 1, json!([{"key": IDENTITY, "strikes": 1, "until": "2026-01-01T00:10:00Z"}]));
    let b = sharing("b", 1, json!([]));
    let began = "2026-01-01T00:30:00Z";
    let named = json!({"name": "t", "uid": "t-uid", "attempt": 1, "assignedAt": began});
    let w = worker("b-0", 2, Some("c"), json!({"phase": "Busy", "dispatch": named}));
    let last = json!({"attempt": 1, "outcome": "Succeeded", "closedAt": START});
    let status = json!({"phase": "Succeeded", "attempt": 1, "assignedAt": began, "finishedAt": START,
        "worker": {"name": "b-0", "uid": "b-0-uid"}, "lastResult": last});
    let t = object("t", 10, json!({"pool": "b"}), status);
    let mut rig = Rig::new(&[a.clone(), b], &[w], &[t]);
    let first = rig.writes();
    assert!(first.iter().any(|(s, _)| *s == Subject::Pool(key("a"))), "that it counts no more strikes: {first:?}");
    rig.settle(Subject::Pool(key("a")), Settled::Failed(None, "no answer within 10s".into()));
    assert_eq!(written(&rig.writes()), [""; 0]);

    rig.apply(Input::Pool(Seen::Gone(a)));
    assert_eq!(written(&rig.writes()), ["b-0"]);
}

/// Its finalizer was removed by hand while no controller led.
#[test]
fn an_attempt_whose_worker_is_gone_ends_when_the_host_is_listed() {
    let status = json!({"phase": "Assigned", "attempt": 1, "assignedAt": START,
        "worker": {"name": "p-0", "uid": "p-0-uid"}});
    let t: Arc<Dispatch> = object("t", 10, json!({"pool": "p"}), status);
    let mut rig = Rig::without_host(&[pool("p", 1, json!({}))], &[], from_ref(&t));
    let first = rig.writes();
    assert!(first.iter().any(|(_, v)| matches!(v, Verb::GetWorker(_))), "{first:?}");
    rig.settle(Subject::Dispatch(key("t")), Settled::Done(Some(Fetched::Worker(None))));
    assert_eq!(closed(&rig.writes()), []);

    rig.list_host(&[]);
    assert_eq!(closed(&rig.writes()), [("t".to_owned(), Some("WorkerLost".to_owned()))]);
}

/// The object after a write of its status.
fn after(verb: &Verb) -> Option<Fetched> {
    match verb {
        Verb::PoolStatus(base, next) => {
            let mut p = (**base).clone();
            (p.metadata.resource_version, p.status) = (Some((base.version() + 1).to_string()), Some((**next).clone()));
            Some(Fetched::Pool(Some(Arc::new(p))))
        }
        Verb::DispatchStatus(base, next) => {
            let mut d = (**base).clone();
            (d.metadata.resource_version, d.status) = (Some((base.version() + 1).to_string()), Some((**next).clone()));
            Some(Fetched::Dispatch(Some(Arc::new(d))))
        }
        _ => None,
    }
}

/// No worker is made on a credential that rests, so nothing else wakes the pool when the rest is over. With the wake taken away,
/// 100 seeds of the simulation showed nothing: it seldom leaves a pool alone for so long.
#[test]
fn the_end_of_a_rest_brings_a_worker_for_what_waits() {
    let p = sharing("p", 1, json!([{"key": IDENTITY, "strikes": 1, "until": "2026-01-01T02:00:00Z"}]));
    let t = object("t", 10, json!({"pool": "p"}), json!({"phase": "Pending"}));
    let mut rig = Rig::new(&[p], &[], &[t]);
    let end: jiff::Timestamp = "2026-01-01T02:00:00Z".parse().unwrap();
    let creates = |writes: &[(Subject, Verb)]| writes.iter().any(|(_, v)| matches!(v, Verb::CreateWorker(_)));
    loop {
        let writes = rig.writes();
        if creates(&writes) {
            break;
        }
        assert!(rig.now().wall < end, "the rest is over, and no worker is created: {writes:?}");
        for (subject, verb) in writes {
            rig.settle(subject, Settled::Done(after(&verb)));
        }
        let now = rig.now();
        let next = match rig.core.next_wake() {
            (Some(wall), mono) => {
                wall.duration_since(now.wall).unsigned_abs().min(mono.unwrap_or(Duration::MAX).saturating_sub(now.mono))
            }
            (None, Some(mono)) => mono.saturating_sub(now.mono),
            (None, None) => panic!("nothing wakes the pool"),
        };
        rig.passed += next.max(Duration::from_millis(1));
    }
    assert!(rig.now().wall >= end, "it was created during the rest");
}
