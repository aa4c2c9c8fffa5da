//! Attempts whose holder does not know whether the task still runs.

use poolkeeper::api::RuntimeKind;
use poolkeeper::api::dispatch::{DispatchStatus, LastResult, Outcome};
use poolkeeper::runtime::LOCAL_HOST;

use super::*;

/// An attempt on worker `p-0`, which its holder reported as Lost.
fn reported_lost(retry: Value) -> Arc<Dispatch> {
    let spec = json!({"pool": "p", "retry": retry, "result": {"attempt": 1, "outcome": "Lost"}});
    let status = json!({"phase": "Assigned", "attempt": 1, "assignedAt": START,
        "worker": {"name": "p-0", "uid": "p-0-uid"}});
    object("t", 10, spec, status)
}

/// The result that is written of the attempt, and the whole status.
fn close(writes: &[(Subject, Verb)]) -> Option<(LastResult, DispatchStatus)> {
    writes.iter().find_map(|(_, v)| match v {
        Verb::DispatchStatus(_, next) => Some((next.last_result.clone()?, (**next).clone())),
        _ => None,
    })
}

/// A death that the runtime confirmed says more than that the holder does not know. Otherwise it would depend on which of them is
/// faster whether `retry.workerLost` holds.
#[test]
fn lost_in_a_worker_that_is_dead_is_worker_lost() {
    for dies in [false, true] {
        let (p, w) = (pool("p", 1, json!({"max": 1})), busy());
        let mut rig = Rig::new(&[p], std::slice::from_ref(&w), &[reported_lost(json!({"workerLost": 1}))]);
        if dies {
            rig.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Gone(instance(&w).key))));
        }
        let (result, status) = close(&rig.writes()).unwrap();
        let (outcome, phase) = if dies { (Outcome::WorkerLost, "Pending") } else { (Outcome::Lost, "Failed") };
        assert_eq!((result.attempt, result.outcome), (1, outcome));
        assert_eq!(format!("{:?}", status.phase), phase);
    }
}

/// It waits after a Lost attempt on `p-0`.
fn waits_after_lost() -> Arc<Dispatch> {
    let last = json!({"attempt": 1, "outcome": "Lost", "closedAt": START});
    let status = json!({"phase": "Pending", "attempt": 1, "worker": {"name": "p-0", "uid": "p-0-uid"}, "lastResult": last,
        "retries": {"lost": 1}});
    object("t", 10, json!({"pool": "p", "retry": {"lost": 1}}), status)
}

/// The writes, once that of the pool's status has ended.
fn settled(rig: &mut Rig) -> Vec<(Subject, Verb)> {
    rig.settle(Subject::Pool(key("p")), Settled::Done(None));
    rig.writes()
}

/// The live GETs about the worker of a dispatch.
fn asked(writes: &[(Subject, Verb)]) -> usize {
    writes.iter().filter(|(s, v)| *s == Subject::Dispatch(key("t")) && matches!(v, Verb::GetWorker(_))).count()
}

/// The worker that is reserved, and for which attempt.
fn reserved(writes: &[(Subject, Verb)]) -> Option<(String, i32)> {
    writes.iter().find_map(|(_, v)| match v {
        Verb::WorkerStatus(w, next) => Some((w.metadata.name.clone()?, next.dispatch.as_ref()?.attempt)),
        _ => None,
    })
}

fn gone(rig: &mut Rig) {
    rig.settle(Subject::Dispatch(key("t")), Settled::Done(Some(Fetched::Worker(None))));
}

/// A person may have removed the finalizer while the instance runs, on a host that has not answered since the controller started.
#[test]
fn nothing_follows_lost_before_each_host_has_answered() {
    let next = idle("p-1");
    let mut rig =
        Rig::without_host(&[pool("p", 1, json!({"max": 2}))], std::slice::from_ref(&next), &[waits_after_lost()]);
    assert_eq!(asked(&rig.writes()), 1, "that it is not in the cache is no fact");
    gone(&mut rig);
    assert_eq!(reserved(&settled(&mut rig)), None);
    // The host answers, and the instance is there without its Worker.
    let lost = idle("p-0");
    rig.list_host(&[next, lost.clone()]);
    assert_eq!(reserved(&settled(&mut rig)), None, "the sweep destroys it first");
    rig.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Gone(instance(&lost).key))));
    assert_eq!(reserved(&settled(&mut rig)), Some(("p-1".to_owned(), 2)));
}

/// A laptop may have no Docker Engine at all: its pools of processes do not wait for one.
#[test]
fn a_runtime_that_the_pool_does_not_use_need_not_answer() {
    let mut config = config();
    config.runtimes.push(RuntimeKind::Docker);
    config.hosts.push((RuntimeKind::Docker, vec![LOCAL_HOST.to_owned()]));
    let next = idle("p-1");
    let pool = pool("p", 1, json!({"max": 2}));
    let mut rig = Rig::configured(config, &[pool], std::slice::from_ref(&next), &[waits_after_lost()]);
    rig.list_host(std::slice::from_ref(&next));
    assert_eq!(asked(&rig.writes()), 1);
    gone(&mut rig);
    assert_eq!(reserved(&settled(&mut rig)), Some(("p-1".to_owned(), 2)));
}

/// The task may run where its worker was, and nowhere else. Another host may be away for days.
#[test]
fn only_the_host_of_the_lost_worker_must_have_answered() {
    for host_of_lost in [LOCAL_HOST, "gpu1"] {
        let mut config = config();
        config.hosts[0].1.push("gpu1".to_owned());
        let mut lost = worker("p-0", 2, None, json!({"phase": "Draining"}));
        Arc::make_mut(&mut lost).spec.host = Some(host_of_lost.to_owned());
        let next = idle("p-1");
        let (p, d) = (pool("p", 1, json!({"max": 2})), waits_after_lost());
        let mut rig = Rig::configured(config, &[p], &[lost.clone(), next.clone()], &[d]);
        rig.list_host(std::slice::from_ref(&next));
        assert_eq!((asked(&rig.writes()), reserved(&rig.writes())), (0, None), "its Worker is there");
        rig.apply(Input::Worker(Seen::Gone(lost)));
        assert_eq!(asked(&rig.writes()), 1);
        gone(&mut rig);
        let is_free = (host_of_lost == LOCAL_HOST).then(|| ("p-1".to_owned(), 2));
        assert_eq!(reserved(&settled(&mut rig)), is_free, "a Lost attempt on {host_of_lost}");
    }
}

/// The end of the worker wakes the dispatch. Another worker of its name says nothing.
#[test]
fn a_namesake_of_the_lost_worker_is_no_obstacle() {
    let lost = worker("p-0", 2, None, json!({"phase": "Draining"}));
    let mut rig = Rig::new(&[pool("p", 1, json!({"max": 1}))], std::slice::from_ref(&lost), &[waits_after_lost()]);
    assert_eq!((asked(&rig.writes()), reserved(&rig.writes())), (0, None), "its Worker is there");
    rig.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Gone(instance(&lost).key))));
    rig.writes();
    rig.settle(Subject::Worker(key("p-0")), Settled::Done(None));
    rig.apply(Input::Worker(Seen::Gone(lost)));
    assert_eq!(asked(&rig.writes()), 1);
    let mut namesake = idle("p-0");
    let w = Arc::make_mut(&mut namesake);
    (w.metadata.uid, w.metadata.resource_version) = (Some("later".to_owned()), Some("20".to_owned()));
    rig.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Changed(instance(&namesake)))));
    rig.settle(Subject::Dispatch(key("t")), Settled::Done(Some(Fetched::Worker(Some(namesake)))));
    assert_eq!(reserved(&settled(&mut rig)), Some(("p-0".to_owned(), 2)));
}

/// The reservation of an old controller arrives late. Publish looks, and so does the close NotStarted: either replaces the record of
/// the lost attempt's worker.
#[test]
fn a_late_reservation_is_not_rolled_forward_while_the_lost_attempt_may_run() {
    for is_going in [false, true] {
        let lost = worker("p-0", 2, None, json!({"phase": "Draining"}));
        let named = json!({"name": "t", "uid": "t-uid", "attempt": 2, "assignedAt": START});
        let mut late = worker("p-1", 3, None, json!({"phase": "Busy", "dispatch": named}));
        if is_going {
            let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(START.parse().unwrap());
            Arc::make_mut(&mut late).metadata.deletion_timestamp = Some(now);
        }
        let p = pool("p", 1, json!({"max": 2}));
        let mut rig = Rig::new(&[p], &[lost.clone(), late], &[waits_after_lost()]);
        assert_eq!(close(&rig.writes()).map(|(r, _)| r.outcome), None);
        rig.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Gone(instance(&lost).key))));
        rig.writes();
        rig.apply(Input::Worker(Seen::Gone(lost)));
        assert_eq!(asked(&rig.writes()), 1);
        gone(&mut rig);
        let (result, status) = close(&rig.writes()).unwrap();
        let outcome = if is_going { Outcome::NotStarted } else { Outcome::Lost };
        assert_eq!((status.attempt, status.is_open(), result.outcome), (2, !is_going, outcome));
    }
}
