//! Objects that a controller of an older version stored are read as before: `stored.json` was recorded on the local server of a
//! build from before Overloaded, as `kubectl get -o json` shows it, without managed fields.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

fn stored<K: DeserializeOwned>(kind: &str) -> Vec<Arc<K>> {
    let all: Vec<Value> = serde_json::from_str(include_str!("stored.json")).unwrap();
    let of_kind = all.into_iter().filter(|object| object["kind"] == kind);
    of_kind.map(|object| Arc::new(serde_json::from_value(object).unwrap())).collect()
}

/// Where `new` is not as `old`: paths with the value that is there now.
fn differences(old: &Value, new: &Value, path: &str, all: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let of = |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or_default();
                differences(&of(old), &of(new), &format!("{path}.{key}"), all);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (i, (old, new)) in old.iter().zip(new).enumerate() {
                differences(old, new, &format!("{path}[{i}]"), all);
            }
        }
        _ if old == new => {}
        _ => all.push(format!("{path} = {new}")),
    }
}

fn read_differently<K: DeserializeOwned + Serialize>(kind: &str) -> std::collections::BTreeSet<String> {
    let all: Vec<Value> = serde_json::from_str(include_str!("stored.json")).unwrap();
    let mut found = Vec::new();
    for old in all.iter().filter(|object| object["kind"] == kind) {
        let new = serde_json::to_value(serde_json::from_value::<K>(old.clone()).unwrap()).unwrap();
        differences(old, &new, kind, &mut found);
    }
    found.into_iter().collect()
}

/// Fields that came later are absent, or at a default that says what was so before there was the field.
#[test]
fn nothing_is_lost_and_what_came_later_is_at_its_default() {
    assert_eq!(read_differently::<Dispatch>("Dispatch"), ["Dispatch.spec.retry.overloaded = 0".to_owned()].into());
    assert_eq!(read_differently::<Worker>("Worker"), [].into());
    // The same period in other words; and a default that changes what happens: refused credentials are probed (CHANGELOG).
    let differences = ["ContainerPool.spec.cooldown = \"1m\"", "ContainerPool.spec.rateLimit.parkProbe = \"1h\""];
    assert_eq!(read_differently::<ContainerPool>("ContainerPool"), differences.map(str::to_owned).into());
}

/// All that was stored, and an instance for each worker, at this time.
fn rig(at: &str) -> Rig {
    let (pools, workers, dispatches) = (stored("ContainerPool"), stored::<Worker>("Worker"), stored("Dispatch"));
    let mut rig = Rig::without_host(&[], &[], &[]);
    let start: Timestamp = START.parse().unwrap();
    rig.passed = at.parse::<Timestamp>().unwrap().duration_since(start).unsigned_abs();
    for p in pools {
        rig.apply(Input::Pool(Seen::Present(p)));
    }
    for w in &workers {
        rig.apply(Input::Worker(Seen::Present(w.clone())));
    }
    for d in dispatches {
        rig.apply(Input::Dispatch(Seen::Present(d)));
    }
    let instances = workers
        .iter()
        .map(|w: &Arc<Worker>| Instance { handle: w.status.as_ref().unwrap().handle.clone().unwrap(), ..instance(w) });
    let listed = Observation::Listed(instances.collect());
    rig.apply(Input::Runtime(RuntimeFact::Observed(host(), listed)));
    rig
}

/// Which dispatch each worker is reserved for, which dispatches end, and which workers go.
fn decided(rig: &mut Rig) -> (Vec<(String, String)>, Vec<String>, usize) {
    let (mut reserved, mut ended, mut gone) = (Vec::new(), Vec::new(), 0);
    for _ in 0..4 {
        for (subject, verb) in rig.writes() {
            match verb {
                // The worker of the last attempt no longer names the dispatch.
                Verb::GetWorker(worker) => {
                    let all = stored::<Worker>("Worker");
                    let found = all.into_iter().find(|w| w.metadata.name.as_deref() == Some(&*worker.name));
                    rig.settle(subject, Settled::Done(Some(Fetched::Worker(found))));
                }
                Verb::WorkerStatus(w, next) => {
                    let named = next.dispatch.map(|d| d.name);
                    reserved.extend(named.map(|name| (w.metadata.name.clone().unwrap(), name)));
                }
                Verb::DispatchStatus(d, next) if next.phase.is_final() => ended.extend(d.metadata.name.clone()),
                Verb::DeleteWorker(..) => gone += 1,
                Verb::PoolStatus(..) => rig.settle(subject, Settled::Done(None)),
                _ => {}
            }
        }
    }
    (reserved, ended, gone)
}

fn pair(worker: &str, dispatch: &str) -> (String, String) {
    (worker.to_owned(), dispatch.to_owned())
}

#[test]
fn rests_and_waits_go_on_as_they_were() {
    let nothing = (vec![], vec![], 0);
    assert_eq!(decided(&mut rig("2026-11-30T06:41:00Z")), nothing, "all of them rest");
    assert_eq!(decided(&mut rig("2026-11-30T08:40:40Z")), nothing, "and the wait of 2 hours lasts");
    // One waits for a credential until 12:40, one has waited for 2 hours, and the other credential is parked.
    let (_, ended, gone) = decided(&mut rig("2026-11-30T08:40:41Z"));
    assert_eq!((ended, gone), (vec!["alone".to_owned()], 0));
    let (reserved, ..) = decided(&mut rig("2026-11-30T12:40:41Z"));
    assert!(reserved.contains(&pair("agents-0", "limited")), "it is the oldest: {reserved:?}");
    assert!(!reserved.iter().any(|(worker, _)| worker == "agents-1"), "its credential is parked: {reserved:?}");
}
