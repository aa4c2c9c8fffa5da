//! What every [`Runtime`](poolkeeper::runtime::Runtime) must do. Each function is one case.

use futures::StreamExt;
use futures::stream::BoxStream;
use poolkeeper::api::pool::Credential;
use poolkeeper::runtime::{Exit, Instance, InstanceKey, InstanceState, Observation, RuntimeError, StartError};

use super::subject::{Subject, next, soon, state_of};

/// Listed by an observer that begins now.
async fn listed(subject: &Subject) -> Vec<Instance> {
    match next(&mut subject.runtime.observe(&subject.host)).await {
        Observation::Listed(instances) => instances,
        other => panic!("the first observation is {other:?}"),
    }
}

/// Waits until an observer sees that this instance ended.
async fn exit_of(observations: &mut BoxStream<'static, Observation>, key: &InstanceKey) -> Exit {
    match state_of(observations, key, |state| matches!(state, InstanceState::Exited(_))).await {
        InstanceState::Exited(exit) => exit,
        other => panic!("it is {other:?}"),
    }
}

async fn wait_gone(observations: &mut BoxStream<'static, Observation>, key: &InstanceKey) {
    let wait = async {
        while let Some(observation) = observations.next().await {
            match observation {
                Observation::Gone(gone) if gone == *key => return,
                Observation::Listed(instances) if instances.iter().all(|instance| instance.key != *key) => return,
                _ => {}
            }
        }
    };
    soon("a report that it is gone", wait).await;
}

pub async fn a_start_is_idempotent(subject: &Subject) {
    let spec = subject.idle();
    let first = subject.brought_up(&spec).await;
    assert_eq!((&first.key, &first.state), (&spec.key, &InstanceState::Running));
    assert!(!first.handle.id.is_empty() && !first.handle.started.is_empty(), "{:?}", first.handle);
    assert_eq!(subject.runtime.start(&spec).await.unwrap(), first);
    assert_eq!(listed(subject).await, [first]);
}

pub async fn starts_of_one_key_at_the_same_time_make_one_instance(subject: &Subject) {
    let spec = subject.idle();
    let start = || subject.runtime.start(&spec);
    let (a, b, c) = tokio::join!(start(), start(), start());
    let first = a.unwrap();
    assert_eq!((&b.unwrap().handle, &c.unwrap().handle), (&first.handle, &first.handle));
    let up = subject.brought_up(&spec).await;
    assert_eq!(listed(subject).await, [up]);
}

pub async fn a_start_that_nobody_waits_for_makes_a_whole_instance_or_none(subject: &Subject) {
    let spec = subject.idle();
    drop(tokio::time::timeout(std::time::Duration::from_millis(1), subject.runtime.start(&spec)).await);
    let instance = subject.brought_up(&spec).await;
    assert_eq!(instance.state, InstanceState::Running);
    assert_eq!(listed(subject).await, [instance]);
}

pub async fn different_keys_are_different_instances(subject: &Subject) {
    // Same names on purpose: the uid alone tells them apart.
    let (a, b) = (subject.started().await, subject.started().await);
    assert_ne!(a.key, b.key);
    assert_ne!(a.handle, b.handle);
    assert_ne!(subject.runtime.target(&a), subject.runtime.target(&b));
    subject.runtime.stop(&subject.host, &a.key).await.unwrap();
    assert_eq!(listed(subject).await, std::slice::from_ref(&b));
    assert_eq!(subject.runtime.check(&subject.host, &b.key).await, Ok(Some(b)));
}

pub async fn an_observer_is_told_of_starts_and_stops(subject: &Subject) {
    let mut observations = subject.runtime.observe(&subject.host);
    assert_eq!(next(&mut observations).await, Observation::Listed(Vec::new()));
    let instance = subject.started().await;
    let running = Observation::Changed(instance.clone());
    while next(&mut observations).await != running {}
    subject.runtime.stop(&subject.host, &instance.key).await.unwrap();
    wait_gone(&mut observations, &instance.key).await;
}

pub async fn a_stop_is_confirmed_and_idempotent(subject: &Subject) {
    let instance = subject.started().await;
    for _ in 0..2 {
        subject.runtime.stop(&subject.host, &instance.key).await.unwrap();
        assert_eq!(subject.runtime.check(&subject.host, &instance.key).await, Ok(None));
        assert_eq!(listed(subject).await, []);
    }
    subject.runtime.stop(&subject.host, &subject.key()).await.expect("of what never was");
}

pub async fn an_end_is_told_with_code_and_last_output(subject: &Subject) {
    let mut observations = subject.runtime.observe(&subject.host);
    let spec = subject.spec((subject.ending)(3, "some last words"));
    let started = subject.runtime.start(&spec).await.unwrap();
    let exit = exit_of(&mut observations, &spec.key).await;
    assert_eq!((exit.code, exit.out_of_memory), (Some(3), false));
    assert_eq!(exit.tail.trim(), "some last words");
    let checked = subject.runtime.check(&subject.host, &spec.key).await.unwrap().unwrap();
    assert_eq!((&checked.handle, &checked.state), (&started.handle, &InstanceState::Exited(exit)));
    assert_eq!(subject.runtime.start(&spec).await.unwrap(), checked, "one uid never gets a second instance");
    assert_eq!(listed(subject).await, [checked]);
    subject.runtime.stop(&subject.host, &spec.key).await.unwrap();
    assert_eq!(listed(subject).await, []);
}

pub async fn a_killed_instance_is_told_at_once(subject: &Subject) {
    let mut observations = subject.runtime.observe(&subject.host);
    let instance = subject.started().await;
    (subject.kill)(instance.clone()).await;
    exit_of(&mut observations, &instance.key).await;
    subject.runtime.stop(&subject.host, &instance.key).await.unwrap();
    assert_eq!(listed(subject).await, []);
}

pub async fn what_never_was_is_not_there(subject: &Subject) {
    assert_eq!(subject.runtime.check(&subject.host, &subject.key()).await, Ok(None));
    assert_eq!(listed(subject).await, []);
}

pub async fn a_refused_start_leaves_nothing(subject: &Subject) {
    let mut spec = subject.idle();
    (subject.refuse)(&mut spec);
    let refused = subject.runtime.start(&spec).await;
    assert!(matches!(&refused, Err(StartError::Refused(why)) if !why.is_empty()), "{refused:?}");
    assert_eq!(subject.runtime.check(&subject.host, &spec.key).await, Ok(None));
    assert_eq!(listed(subject).await, []);
}

pub async fn a_command_that_cannot_run_is_refused_or_ends(subject: &Subject) {
    let spec = subject.spec(vec!["/no/such/program".to_owned()]);
    match subject.runtime.start(&spec).await {
        Err(StartError::Refused(why)) => assert!(why.contains("/no/such/program"), "{why}"),
        Ok(instance) => {
            let exit = exit_of(&mut subject.runtime.observe(&subject.host), &instance.key).await;
            assert_ne!(exit.code, Some(0));
        }
        Err(other) => panic!("{other:?}"),
    }
}

pub async fn an_unknown_host_is_said_to_be_one(subject: &Subject) {
    assert_eq!(subject.runtime.hosts(), std::slice::from_ref(&subject.host));
    let mut spec = subject.idle();
    spec.host = "nowhere".to_owned();
    assert!(matches!(subject.runtime.start(&spec).await, Err(StartError::Refused(_))));
    assert!(matches!(subject.runtime.stop("nowhere", &spec.key).await, Err(RuntimeError::Refused(_))));
    assert!(matches!(subject.runtime.check("nowhere", &spec.key).await, Err(RuntimeError::Refused(_))));
    assert!(matches!(next(&mut subject.runtime.observe("nowhere")).await, Observation::Unreachable(_)));
}

pub async fn a_credential_that_has_no_value_is_a_refusal(subject: &Subject) {
    let mut spec = subject.idle();
    let from_env = Some("POOLKEEPER_TEST_NOT_SET".to_owned());
    spec.credential = Some(Credential { name: "a".into(), env: "TOKEN".into(), from_env, ..Credential::default() });
    let refused = subject.runtime.start(&spec).await.unwrap_err();
    assert!(
        matches!(&refused, StartError::Refused(why) if why.contains("POOLKEEPER_TEST_NOT_SET") || why.contains("secretKeyRef")),
        "{refused:?}"
    );
    assert_eq!(listed(subject).await, []);
}
