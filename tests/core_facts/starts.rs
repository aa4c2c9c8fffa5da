//! Starts that are never reported, and starts that stand still.

use std::sync::Arc;

use poolkeeper::core::{Action, Core, Input, RuntimeFact, RuntimeOrder, Seen, Verb};
use poolkeeper::runtime::{InstanceState, Observation};

use super::{host, instance, later, now, pool, starting};

/// The pool's first worker; its runtime answered that it is being made.
fn answered() -> Core {
    let (mut core, _) = starting();
    let answer = instance(0, InstanceState::Starting);
    core.apply(Input::Runtime(RuntimeFact::Started(answer.key.clone(), Ok(answer))), now());
    core
}

fn is_let_go(actions: &[Action]) -> bool {
    actions.iter().any(|a| matches!(a, Action::Write(_, Verb::DeleteWorker(..))))
}

/// Its Pod was deleted while the watch was down, so nothing reports it.
#[test]
fn a_worker_that_starts_and_is_not_listed_is_asked_for() {
    let mut core = answered();
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Listed(vec![]))), now());
    let then = core.decide(now());
    assert!(then.iter().any(|a| matches!(a, Action::Runtime(RuntimeOrder::Check(..)))), "{then:?}");
    let gone = RuntimeFact::Checked(instance(0, InstanceState::Starting).key, Ok(None));
    core.apply(Input::Runtime(gone), now());
    assert!(is_let_go(&core.decide(now())));
}

#[test]
fn a_worker_that_starts_and_is_listed_late_is_not_asked_for_again() {
    let mut core = answered();
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Listed(vec![]))), now());
    core.decide(now());
    let answer = instance(0, InstanceState::Starting);
    core.apply(Input::Runtime(RuntimeFact::Checked(answer.key.clone(), Ok(Some(answer)))), now());
    let then = core.decide(later(60));
    assert!(!then.iter().any(|a| matches!(a, Action::Runtime(_))), "{then:?}");
}

/// `spec.health.startTimeout` is 5 min.
#[test]
fn the_time_of_a_start_stands_still_while_its_host_cannot_be_reached() {
    let mut core = answered();
    let away = Observation::Unreachable("no route to host".into());
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), away)), later(60));
    assert!(!is_let_go(&core.decide(later(3600))));
    let listed = Observation::Listed(vec![instance(0, InstanceState::Starting)]);
    core.apply(Input::Runtime(RuntimeFact::Observed(host(), listed)), later(3700));
    assert!(!is_let_go(&core.decide(later(3700))));
    assert!(!is_let_go(&core.decide(later(3700 + 299))));
    assert!(is_let_go(&core.decide(later(3700 + 301))));
}

#[test]
fn a_paused_pool_gives_up_no_worker_that_starts() {
    let mut core = answered();
    let pause = |paused: bool, version: u32, image: &str| {
        let mut p = pool();
        let new = Arc::make_mut(&mut p);
        new.spec.paused = paused;
        new.spec.working_dir = Some(image.to_owned());
        new.metadata.resource_version = Some(version.to_string());
        Input::Pool(Seen::Present(p))
    };
    core.apply(pause(true, 2, "/another"), now());
    assert!(!is_let_go(&core.decide(now())), "not as outdated");
    assert!(!is_let_go(&core.decide(later(3600))), "not as late");
    core.apply(pause(false, 3, "/another"), later(3700));
    assert!(is_let_go(&core.decide(later(3700))), "outdated now");
}
