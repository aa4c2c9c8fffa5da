//! Attempts whose holder does not know whether the task still runs.

use poolkeeper::api::dispatch::{DispatchStatus, LastResult, Outcome};

use super::*;

/// An attempt on worker `p-0`, which its holder reported as Lost.
fn reported_lost(retry: Value) -> Arc<Dispatch> {
    let spec = json!({"pool": "p", "retry": retry, "result": {"attempt": 1, "outcome": "Lost"}});
    let status = json!({"phase": "Assigned", "attempt": 1, "assignedAt": START,
        "worker": {"name": "p-0", "uid": "p-0-uid"}});
    object("t", 10, spec, status)
}

fn busy() -> Arc<Worker> {
    let named = json!({"name": "t", "uid": "t-uid", "attempt": 1, "assignedAt": START});
    worker("p-0", 2, None, json!({"phase": "Busy", "dispatch": named}))
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
