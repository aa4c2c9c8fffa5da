//! Credentials that were refused, as they are stored, and values that change.

use super::marks::{IDENTITY, sharing};
use super::*;

/// The entry that the next write of a pool's status stores.
fn stored(rig: &mut Rig) -> Option<Value> {
    let next =
        rig.writes().into_iter().find_map(|(_, v)| if let Verb::PoolStatus(_, s) = v { Some(s) } else { None })?;
    next.rate_limits.first().map(|rest| serde_json::to_value(rest).unwrap())
}

fn changed(in_place: bool) -> Input {
    Input::CredentialChanged { namespace: key("p").namespace, identity: IDENTITY.to_owned(), in_place }
}

/// An older controller parked it, or one whose pools did not probe.
#[test]
fn a_parked_credential_without_a_time_gets_one() {
    let rests = json!([{"key": IDENTITY, "parked": true, "reason": "401"}]);
    let mut rig = Rig::new(&[sharing("p", 1, rests)], &[], &[]);
    let now = rig.now().wall;
    let entry = stored(&mut rig).unwrap();
    let until: jiff::Timestamp = entry["until"].as_str().unwrap().parse().unwrap();
    assert_eq!(until.duration_since(now), jiff::SignedDuration::from_hours(1));
    assert_eq!((&entry["parked"], &entry["reason"]), (&json!(true), &json!("401")));
}

#[test]
fn a_new_value_unparks_a_credential_and_dates_the_workers_that_have_the_old_one() {
    for in_place in [false, true] {
        let rests = json!([{"key": IDENTITY, "parked": true, "until": "2026-01-01T09:00:00Z", "strikes": 2}]);
        let mut rig = Rig::new(&[sharing("p", 1, rests)], &[], &[]);
        rig.apply(changed(in_place));
        let entry = stored(&mut rig).unwrap();
        let now = entry["clearedAt"].clone();
        assert!(now.is_string(), "what began before says nothing: {entry}");
        let mut wanted = json!({"key": IDENTITY, "parked": false, "strikes": 0, "clearedAt": now});
        if !in_place {
            wanted["staleBefore"] = now;
        }
        assert_eq!(entry, wanted);
    }
}

/// A program that starts may report it sooner than its controller knows the pools.
#[test]
fn a_new_value_is_not_forgotten_before_the_pools_are_known() {
    let mut rig = Rig::unlisted(config());
    rig.apply(changed(false));
    rig.list(&[sharing("p", 1, json!([]))], &[], &[]);
    rig.list_host(&[]);
    let entry = stored(&mut rig).unwrap();
    assert!(entry["staleBefore"].is_string(), "{entry}");
}

/// It is reported once. The pool is seen with another rest, or another spec, before the change is stored.
#[test]
fn a_new_value_is_not_forgotten_when_the_pool_changes_meanwhile() {
    let rests = json!([{"key": IDENTITY, "parked": true, "until": "2026-01-01T09:00:00Z", "strikes": 2}]);
    for change in ["rests", "spec"] {
        let mut rig = Rig::new(&[sharing("p", 1, rests.clone())], &[], &[]);
        rig.apply(changed(false));
        let mut other = sharing("p", 5, rests.clone());
        let p = Arc::make_mut(&mut other);
        match change {
            "spec" => p.spec.max = 2,
            _ => p.status.as_mut().unwrap().rate_limits[0].strikes = 3,
        }
        rig.apply(Input::Pool(Seen::Present(other)));
        let entry = stored(&mut rig).unwrap();
        assert!(entry["staleBefore"].is_string() && entry["parked"] == false, "{change}: {entry}");
    }
}

/// The clock was set back since the last change, or since the refusal.
#[test]
fn a_new_value_is_later_than_what_is_stored() {
    let later = "2027-01-01T00:00:00.000000Z";
    for parked in [false, true] {
        let rests = json!([{"key": IDENTITY, "parked": parked, "clearedAt": later, "staleBefore": later}]);
        let mut rig = Rig::new(&[sharing("p", 1, rests)], &[], &[]);
        rig.apply(changed(false));
        let entry = stored(&mut rig).unwrap();
        let next = "2027-01-01T00:00:00.000001Z";
        assert_eq!(entry["staleBefore"], next, "{entry}");
        assert_eq!(entry["clearedAt"], if parked { next } else { later }, "{entry}");
    }
}

/// The account may be the same.
#[test]
fn a_new_value_ends_no_rest_after_a_limit() {
    let rests = json!([{"key": IDENTITY, "parked": false, "until": "2026-01-01T09:00:00.000000Z", "strikes": 2}]);
    let mut rig = Rig::new(&[sharing("p", 1, rests.clone())], &[], &[]);
    rig.apply(changed(false));
    let mut entry = stored(&mut rig).unwrap();
    assert!(entry.as_object_mut().unwrap().remove("staleBefore").is_some());
    assert_eq!(entry, rests[0]);
    let mut rig = Rig::new(&[sharing("p", 1, rests.clone())], &[], &[]);
    rig.apply(changed(true));
    assert!(stored(&mut rig).is_none_or(|entry| entry == rests[0]), "workers see it");
}

/// Whatever waits: the worker may have the old value.
#[test]
fn a_worker_from_before_the_change_of_a_credential_is_replaced() {
    let rests = json!([{"key": IDENTITY, "parked": false, "staleBefore": START}]);
    let idle = worker("p-0", 2, Some("c"), json!({"phase": "Ready", "idleSince": START}));
    let t = object("t", 10, json!({"pool": "p"}), json!({"phase": "Pending"}));
    let mut rig = Rig::new(&[sharing("p", 1, rests)], &[idle], &[t]);
    let writes = rig.writes();
    let ends: Vec<String> = writes
        .iter()
        .filter_map(|(_, v)| if let Verb::DeleteWorker(_, why) = v { Some(why.to_string()) } else { None })
        .collect();
    assert_eq!(ends, ["it may have an old value of its credential"], "{writes:?}");
}
