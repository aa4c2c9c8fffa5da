//! Instances without a Worker, of this installation and of others.

use poolkeeper::runtime::Instance;

use super::*;

/// What is done about an instance whose Worker is not there: what is asked, then what is ordered once the Worker is not found.
fn swept(own: bool) -> (bool, bool) {
    let mut core = core(&[]);
    core.decide(now());
    let found = Instance { own, ..instance(7, InstanceState::Running) };
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Changed(found.clone()))), now());
    let orphan = Subject::Orphan(Box::new(found.key));
    let asked = core.decide(now()).iter().any(|a| matches!(a, Action::Write(s, _) if *s == orphan));
    if asked {
        core.apply(Input::Settled(orphan, Settled::Done(Some(Fetched::Worker(None)))), now());
    }
    (asked, core.decide(now()).iter().any(|a| matches!(a, Action::Runtime(RuntimeOrder::Stop(..)))))
}

#[test]
fn only_what_this_installation_made_is_removed_without_a_worker() {
    assert_eq!(swept(true), (true, true));
    assert_eq!(swept(false), (false, false));
}

/// It is another installation's by its label alone: the Worker is here.
#[test]
fn a_worker_lives_on_an_instance_that_another_installation_made() {
    let open = dispatch(0, ASSIGNED, &Value::Null);
    let mut core = core(&[open]);
    let others = Instance { own: false, ..instance(0, InstanceState::Running) };
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Listed(vec![others.clone()]))), now());
    let lost = |v: &Verb| matches!(v, Verb::DispatchStatus(_, s) if s.last_result.is_some());
    assert!(!verbs(&mut core).iter().any(lost), "it runs");
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Gone(others.key))), now());
    assert!(verbs(&mut core).iter().any(lost), "only what the runtime says is an end");
}
