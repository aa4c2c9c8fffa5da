//! The HEALTHCHECK of an image says when its container is able to take a task.

use poolkeeper::runtime::{
    Instance, InstanceKey, InstanceSpec, InstanceState, LOCAL_HOST, Observation, Runtime, RuntimeError,
};

use crate::fixture::{Fixture, Observed};

/// Healthy while there is a file /tmp/well. Until it is there for the first time, the container starts.
const IMAGE: &str = "poolkeeper-health:1";

/// Waits until the worker is reported in a state like this.
async fn until(seen: &mut Observed, key: &InstanceKey, wanted: impl Fn(&InstanceState) -> bool) -> InstanceState {
    let of_worker = |i: Instance| (i.key == *key && wanted(&i.state)).then_some(i.state);
    seen.until(|observation| match observation {
        Observation::Listed(all) => all.into_iter().find_map(of_worker),
        Observation::Changed(one) => of_worker(one),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_worker_is_ready_when_its_healthcheck_passes_and_not_while_it_fails() {
    let Some(fx) = Fixture::new().await else { return };
    let mut seen = fx.observe().await;
    let instance = fx.start(&InstanceSpec { image: Some(IMAGE.into()), ..fx.spec() }).await;
    assert_eq!(instance.state, InstanceState::Starting);
    let (key, target) = (&instance.key, fx.runtime.target(&instance));
    let check = async || fx.runtime.check(LOCAL_HOST, key).await.map(|found| found.map(|instance| instance.state));
    assert_eq!(check().await, Ok(Some(InstanceState::Starting)));
    for _ in 0..2 {
        fx.sh(&target, "touch /tmp/well").await.text();
        until(&mut seen, key, |state| *state == InstanceState::Running).await;
        assert_eq!(check().await, Ok(Some(InstanceState::Running)));
        fx.sh(&target, "rm /tmp/well").await.text();
        let ill = until(&mut seen, key, |state| state.why_not_ready().is_some()).await;
        let why = ill.why_not_ready().unwrap().to_owned();
        assert!(why.contains("HEALTHCHECK"), "{why}");
        assert_eq!(check().await, Err(RuntimeError::Refused(why)));
    }
}
