//! The write that says on a dispatch why it waits delays nothing.

use poolkeeper::api::DispatchStatus;
use poolkeeper::core::Object;

use super::*;

/// The write that says on a dispatch why it waits, if there is one now.
fn explains(writes: &[(Subject, Verb)]) -> Option<(Subject, Arc<Dispatch>, DispatchStatus)> {
    writes.iter().find_map(|(s, v)| match v {
        Verb::DispatchStatus(base, next) if !next.phase.is_final() && !next.is_open() => {
            Some((s.clone(), base.clone(), (**next).clone()))
        }
        _ => None,
    })
}

/// A pool whose worker is busy, and the write that says so on a dispatch.
fn explaining() -> (Rig, Arc<Worker>, Subject, Arc<Dispatch>, DispatchStatus) {
    let p = pool("p", 1, json!({"max": 1}));
    let busy = json!({"name": "b", "uid": "b-uid", "attempt": 1, "assignedAt": "2026-01-01T01:00:00.000000Z"});
    let w = worker("p-0", 2, None, json!({"phase": "Busy", "dispatch": busy}));
    let running = json!({"phase": "Assigned", "attempt": 1, "worker": {"name": "p-0", "uid": w.uid_str()},
        "assignedAt": "2026-01-01T01:00:00.000000Z",
        "target": {"runtime": "Process", "id": "1", "argv": ["x"]}});
    let b: Arc<Dispatch> = object("b", 3, json!({"pool": "p"}), running);
    let mut rig = Rig::new(&[p], std::slice::from_ref(&w), &[b, waits("t")]);
    assert!(explains(&rig.look().0).is_none(), "not at once");
    rig.passed += Duration::from_secs(10);
    let (subject, base, next) = explains(&rig.look().0).unwrap();
    (rig, w, subject, base, next)
}

/// Reason and message of conditions of the pool, in the status that is written.
fn pool_says(writes: &[(Subject, Verb)], types: &[&str]) -> Vec<(String, String)> {
    let status = writes.iter().find_map(|(_, v)| match v {
        Verb::PoolStatus(_, next) => Some(next.conditions.clone()),
        _ => None,
    });
    let says = |c: &Condition| (c.reason.clone(), c.message.clone());
    status.unwrap().iter().filter(|c| types.contains(&&*c.type_)).map(says).collect()
}

/// A local server is about to end, and its workers are stopped then: no pool is paused, and none says that workers start.
#[test]
fn a_server_that_stands_down_is_the_reason_in_every_condition() {
    let p = pool("p", 1, json!({"min": 2, "max": 2, "image": "another"}));
    let mut cfg = config();
    cfg.standing_down = true;
    let workers = [idle("p-0")];
    let mut rig = Rig::configured(cfg, &[p], &workers, &[waits("t")]);
    rig.list_host(&workers);
    let words = "the server stands down: it assigns nothing more, and ends with the last open attempt (poolkeeper local up \
                 starts it again)";
    assert_eq!(
        pool_says(&rig.writes(), &["Ready", "Dispatching", "Progressing"]),
        [
            ("Paused".to_owned(), format!("1 of at least 2 workers are up; {words}")),
            ("Paused".to_owned(), words.to_owned()),
            ("UpdatePaused".to_owned(), format!("0 of 1 updated; {words}")),
        ]
    );
}

fn stored(base: &Dispatch, next: DispatchStatus) -> Arc<Dispatch> {
    let mut d = base.clone();
    d.metadata.resource_version = Some((base.version() + 100).to_string());
    d.status = Some(next);
    Arc::new(d)
}

#[test]
fn a_reason_is_written_once() {
    let (mut rig, _, subject, base, next) = explaining();
    assert_eq!(next.reason.as_deref(), Some("Busy"));
    rig.settle(subject, done(stored(&base, next)));
    for _ in 0..100 {
        rig.passed += Duration::from_secs(10);
        rig.apply(Input::Tick);
        assert!(explains(&rig.look().0).is_none());
    }
}

/// Its user changed it meanwhile: that is no failure, and what the user wants is done at once.
#[test]
fn a_lost_race_against_its_user_delays_nothing() {
    let (mut rig, _, subject, base, _) = explaining();
    let mut cancelled = (*base).clone();
    cancelled.spec.cancel = true;
    cancelled.metadata.resource_version = Some("200".into());
    let cancelled = Arc::new(cancelled);
    rig.apply(Input::Dispatch(Seen::Present(cancelled.clone())));
    assert!(closed(&rig.look().0).is_empty(), "one write at a time");
    rig.settle(subject, Settled::Refreshed(Fetched::Dispatch(Some(cancelled))));
    assert_eq!(closed(&rig.look().0), [("t".to_owned(), Some("Cancelled".to_owned()))]);
}

/// A worker becomes free while the write that says that none is free is under way: it is reserved at once, and the attempt is published
/// on the version that the write left.
#[test]
fn a_worker_is_reserved_meanwhile() {
    for lost in [false, true] {
        let (mut rig, w, subject, base, next) = explaining();
        let idle = worker("p-0", 300, None, json!({"phase": "Ready", "idleSince": "2026-01-01T01:30:00.000000Z"}));
        assert_eq!(w.uid_str(), idle.uid_str());
        let ended: Arc<Dispatch> = object(
            "b",
            290,
            json!({"pool": "p"}),
            json!({"phase": "Succeeded", "attempt": 1,
            "worker": {"name": "p-0", "uid": w.uid_str()}, "finishedAt": "2026-01-01T01:30:00.000000Z",
            "lastResult": {"attempt": 1, "outcome": "Succeeded", "closedAt": "2026-01-01T01:30:00.000000Z"}}),
        );
        rig.apply(Input::Dispatch(Seen::Present(ended)));
        rig.apply(Input::Worker(Seen::Present(idle)));
        let reserve = rig.look().0.into_iter().find_map(|(s, v)| match v {
            Verb::WorkerStatus(base, next) if next.dispatch.is_some() => Some((s, base, *next)),
            _ => None,
        });
        let (worker_subject, worker_base, reserved) = reserve.unwrap();
        assert_eq!(reserved.dispatch.as_ref().unwrap().name, "t");
        let mut named = (*worker_base).clone();
        named.metadata.resource_version = Some("400".into());
        named.status = Some(reserved);
        rig.settle(worker_subject, Settled::Done(Some(Fetched::Worker(Some(Arc::new(named))))));
        assert!(explains(&rig.look().0).is_none());
        // The end of the write about the wait comes last. It was done, or it failed and may have been done.
        let now = stored(&base, next);
        let end = if lost { Settled::Refreshed(Fetched::Dispatch(Some(now.clone()))) } else { done(now.clone()) };
        rig.settle(subject, end);
        let publish = rig.look().0.into_iter().find_map(|(_, v)| match v {
            Verb::DispatchStatus(base, next) if next.is_open() => Some((base, *next)),
            _ => None,
        });
        let (on, published) = publish.unwrap();
        assert_eq!(on.version(), now.version());
        assert_eq!((published.reason, published.message), (None, None));
    }
}
