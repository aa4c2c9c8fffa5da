//! The view that follows from what watches show.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::json;

use super::model::Standing;
use super::testkit::{Server, at, busy, credentials, now};
use super::*;
use crate::api::dispatch::DispatchPhase;
use crate::core::{ObjectKey, Seen};

#[test]
fn workers_say_what_they_do_and_since_when() {
    let rests =
        json!({"phase": "Ready", "idleSince": at(-30), "cooldown": {"until": at(90), "strikes": 2, "reason": "slow"}});
    let over = json!({"phase": "Ready", "idleSince": at(-10), "cooldown": {"until": at(-1)}, "restsUntil": "2026-11-30T11:59:59Z"});
    let model = Server::new()
        .pool("p", &json!({"image": "i", "max": 12}), &json!({}))
        .worker("p-10", None, &json!({"phase": "Starting", "message": "ErrImagePull"}))
        .worker("p-2", None, &over)
        .worker("p-1", None, &rests)
        .worker("p-0", None, &busy("d", -5))
        .dispatch("d", "p", &json!({"phase": "Assigned", "attempt": 1, "assignedAt": at(-5), "worker": {"name": "p-0", "uid": "p-0-uid"}}))
        .view();
    let names: Vec<_> = model
        .workers
        .iter()
        .map(|w| (&*w.name, w.standing, w.since.map(|t| t.as_second() - now().as_second())))
        .collect();
    assert_eq!(
        names,
        [
            ("p-0", Standing::Busy, Some(-5)),
            ("p-1", Standing::Resting, Some(-30)),
            ("p-2", Standing::Ready, Some(-10)),
            ("p-10", Standing::Starting, Some(-3600)),
        ]
    );
    assert_eq!(model.workers[0].dispatch.as_deref(), Some("d"));
    let rest = model.workers[1].rest.as_ref().unwrap();
    assert_eq!((rest.until, rest.strikes, rest.reason.as_deref()), (Some(at(90).parse().unwrap()), 2, Some("slow")));
    assert_eq!(model.workers[3].message.as_deref(), Some("ErrImagePull"));
    let counts = model.pools[0].counts;
    assert_eq!((counts.workers, counts.busy, counts.resting, counts.ready, counts.starting), (4, 1, 1, 1, 1));
}

#[test]
fn each_wait_has_a_reason_and_a_place() {
    let ended = |outcome: &str, not_before: i64| {
        json!({"phase": "Pending", "attempt": 1, "notBefore": at(not_before), "lastResult": {
            "attempt": 1, "outcome": outcome, "closedAt": at(-60),
        }})
    };
    let model = Server::new()
        .pool("p", &json!({"image": "i", "max": 1}), &json!({}))
        .worker("p-0", None, &busy("d", -5))
        .dispatch("first", "p", &json!({"phase": "Pending"}))
        .dispatch("later", "p", &json!({"phase": "Pending"}))
        .dispatch("overloaded", "p", &ended("Overloaded", 20))
        .dispatch("homeless", "none", &json!({}))
        .dispatch("done", "p", &json!({"phase": "Succeeded", "attempt": 1, "finishedAt": at(-1)}))
        .view();
    let said: Vec<_> = model
        .dispatches
        .iter()
        .map(|d| {
            let wait = d.wait.as_ref().map(|wait| (&*wait.reason, &*wait.words));
            (&*d.name, d.place, wait)
        })
        .collect();
    let all_busy = "all workers are busy: 1 busy of max 1 (raise spec.max for more)";
    assert_eq!(
        said,
        [
            ("homeless", Some(1), Some(("PoolNotFound", "it waits for pool \"none\", which does not exist"))),
            ("first", Some(1), Some(("Busy", all_busy))),
            ("later", Some(2), Some(("Busy", all_busy))),
            (
                "overloaded",
                None,
                Some(("Overloaded", "attempt 1 ended as Overloaded; it is retried at 2026-11-30T12:00:20Z"))
            ),
            ("done", None, None),
        ]
    );
    let counts = model.pools[0].counts;
    assert_eq!((counts.queued, counts.delayed, counts.succeeded), (2, 1, 1));
    assert_eq!(&*model.pools[0].wait.reason, "Busy");
    assert_eq!(model.pools[0].waits_since, Some("2026-11-30T11:00:00Z".parse().unwrap()));
}

#[test]
fn a_credential_is_shared_by_pools_and_rests_in_all_of_them() {
    let met = json!({"rateLimits": [{"key": "env/A", "until": at(120), "strikes": 1, "reason": "too many"}, {"key": "env/B", "parked": true, "reason": "401"}]});
    let model = Server::new()
        .pool("p", &credentials(), &met)
        .pool("q", &credentials(), &json!({}))
        .worker("q-0", Some("a"), &json!({"phase": "Ready"}))
        .worker("q-1", Some("b"), &json!({"phase": "Ready"}))
        .dispatch("d", "q", &json!({}))
        .view();
    let of = |name: &str| model.credentials.iter().find(|c| c.name == name).unwrap();
    let (a, b) = (of("a"), of("b"));
    assert_eq!(a.pools.iter().map(|pool| &**pool).collect::<Vec<_>>(), ["p", "q"]);
    assert_eq!((a.workers, a.max_concurrent, b.max_concurrent, a.met_by.as_deref()), (1, None, Some(2), Some("p")));
    assert_eq!(a.rest.as_ref().unwrap().until, Some(at(120).parse().unwrap()));
    assert!(b.rest.as_ref().unwrap().parked);
    assert!(model.workers.iter().all(|w| w.standing == Standing::Resting), "{:?}", model.workers);
    let wait = model.dispatches[0].wait.as_ref().unwrap();
    assert_eq!((&*wait.reason, wait.until), ("Resting", Some(at(120).parse().unwrap())));
}

#[test]
fn a_lost_server_leaves_its_objects_until_they_are_listed_again() {
    let mut server = Server::new().pool("p", &json!({"image": "i"}), &json!({})).dispatch("d", "p", &json!({}));
    assert!(!server.view().complete);
    let listed = |names: &[&str]| {
        Seen::Listed(names.iter().map(|name| ObjectKey::new("default", *name)).collect::<BTreeSet<_>>())
    };
    server.apply(Change::Pool(Seen::Listed(BTreeSet::from([ObjectKey::new("default", "p")]))));
    server.apply(Change::Worker(Seen::Listed(BTreeSet::new())));
    server.apply(Change::Dispatch(listed(&["d"])));
    assert!(server.view().complete && server.view().lost.is_none());
    server.apply(Change::Answers(SignedDuration::from_secs(60)));
    server.apply(Change::Lost(Watched::Dispatches, now(), Loss::away("refused")));
    server.apply(Change::Lost(Watched::Server, now() + SignedDuration::from_secs(1), Loss::away("no answer")));
    let model = server.view();
    let lost = model.lost.unwrap();
    assert_eq!((lost.since, &*lost.why), (now() + SignedDuration::from_secs(60), "no answer"));
    assert_eq!(model.dispatches.len(), 1);
    server.apply(Change::Answers(SignedDuration::ZERO));
    assert!(server.view().lost.is_some(), "the dispatches may be old");
    server.apply(Change::Dispatch(listed(&[])));
    let model = server.view();
    assert!(model.lost.is_none() && model.dispatches.is_empty());
}

#[test]
fn finished_dispatches_come_last_and_the_newest_of_them_first() {
    let done =
        |seconds: i64| json!({"phase": "Failed", "attempt": 1, "finishedAt": at(seconds), "message": "exit code 1"});
    let model = Server::new()
        .pool("p", &json!({"image": "i"}), &json!({}))
        .dispatch("a", "p", &done(-20))
        .dispatch("b", "p", &done(-10))
        .dispatch("c", "p", &json!({}))
        .view();
    let names: Vec<_> = model.dispatches.iter().map(|d| &*d.name).collect();
    assert_eq!(names, ["c", "b", "a"]);
    assert_eq!(model.dispatches[1].phase, DispatchPhase::Failed);
    let json = serde_json::to_value(&model).unwrap();
    assert_eq!(json["dispatches"][1]["message"], "exit code 1");
    assert_eq!(json["pools"][0]["counts"]["failed"], 2);
}

#[test]
fn a_dispatch_keeps_its_place_after_a_retry() {
    let again = json!({"phase": "Pending", "attempt": 1, "lastResult": {
        "attempt": 1, "outcome": "RateLimited", "closedAt": at(-5),
    }});
    let model = Server::new()
        .pool("p", &json!({"image": "i", "max": 1}), &json!({}))
        .worker("p-0", None, &busy("d", -5))
        .dispatch("a", "p", &again)
        .dispatch("b", "p", &json!({}))
        .view();
    let places: Vec<_> = model.dispatches.iter().map(|d| (&*d.name, d.place)).collect();
    assert_eq!(places, [("a", Some(1)), ("b", Some(2))]);
    let since = model.dispatches.iter().map(|d| d.since.map(|t| t.as_second() - now().as_second()));
    assert_eq!(since.collect::<Vec<_>>(), [Some(-5), Some(-3600)]);
}
