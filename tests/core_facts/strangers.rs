//! A Worker whose name its pool does not give: a person made it. It has no place in the pool, and the pool does not stumble over it.

use poolkeeper::core::Action;

use super::*;

/// A worker called `stranger`, Ready, made from another template than the pool has.
fn stranger() -> Arc<Worker> {
    let spec = json!({"pool": "p", "runtime": "Process", "host": "local", "credential": "a", "poolGeneration": 1, "templateHash": "old"});
    object("stranger", 5, spec, json!({"phase": "Ready", "handle": handle(9)}))
}

#[test]
fn an_outdated_one_does_not_stop_the_replacement_of_others() {
    let mut core = core(&[]);
    core.apply(Input::Worker(Seen::Present(stranger())), now());
    let key = InstanceKey { namespace: "ns".into(), worker: "stranger".into(), uid: "stranger-uid".into() };
    let running = Instance { key, ..instance(9, InstanceState::Running) };
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Changed(running))), now());
    for round in 0..3 {
        let actions: Vec<Action> = core.decide(later(round));
        let shown = format!("{actions:?}");
        assert!(!shown.contains("p--1"), "round {round}: {shown}");
    }
}
