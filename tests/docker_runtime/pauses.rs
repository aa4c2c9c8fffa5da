//! A container that is paused, by the engine's own word.

use bollard::models::HealthStatusEnum;
use bollard::query_parameters::StatsOptionsBuilder;
use futures::StreamExt;
use poolkeeper::runtime::exec::{ExecError, Task};
use poolkeeper::runtime::{Instance, InstanceKey, InstanceSpec, InstanceState, LOCAL_HOST, Observation, Runtime};

use crate::fixture::{Fixture, Observed, within, words};

/// Unhealthy as soon as its HEALTHCHECK runs.
const ILL: &str = "poolkeeper-health:1";

async fn until(seen: &mut Observed, key: &InstanceKey, wanted: &InstanceState) {
    let of_worker = |i: Instance| (i.key == *key && i.state == *wanted).then_some(());
    seen.until(|observation| match observation {
        Observation::Listed(all) => all.into_iter().find_map(of_worker),
        Observation::Changed(one) => of_worker(one),
        _ => None,
    })
    .await;
}

/// The processor time that a container has used, in nanoseconds, as its cgroup counts it.
async fn used(fx: &Fixture, instance: &Instance) -> u64 {
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let mut stats = fx.docker.stats(&instance.handle.id, Some(options)).boxed();
    within(stats.next()).await.unwrap().unwrap().cpu_stats.unwrap().cpu_usage.unwrap().total_usage.unwrap()
}

/// Waits until a container has used that much more.
async fn until_used(fx: &Fixture, instance: &Instance, nanoseconds: u64) {
    let end = used(fx, instance).await + nanoseconds;
    within(async { while used(fx, instance).await < end {} }).await;
}

#[tokio::test]
async fn a_paused_container_uses_no_processor_time_and_goes_on_as_it_was() {
    let Some(fx) = Fixture::new().await else { return };
    let mut seen = fx.observe().await;
    let busy = || fx.script("while :; do :; done");
    let (paused, other) = (fx.start(&busy()).await, fx.start(&busy()).await);
    let set = async |on: bool| fx.runtime.set_paused(LOCAL_HOST, &paused.key, on).await.unwrap().unwrap();
    until_used(&fx, &paused, 1_000_000).await;
    for _ in 0..2 {
        assert_eq!(set(true).await, Instance { state: InstanceState::Paused, ..paused.clone() });
    }
    until(&mut seen, &paused.key, &InstanceState::Paused).await;
    let checked = fx.runtime.check(LOCAL_HOST, &paused.key).await.unwrap().unwrap();
    assert_eq!(checked.state, InstanceState::Paused);
    let before = used(&fx, &paused).await;
    until_used(&fx, &other, 100_000_000).await;
    assert_eq!(used(&fx, &paused).await, before);
    let task = Task { argv: words(&["true"]), ..Task::default() };
    let refused = fx.exec(&fx.runtime.target(&paused), task).await.unwrap_err();
    assert!(matches!(&refused, ExecError::Worker(why) if why.contains("spec.rateLimit.pause")), "{refused:?}");
    for _ in 0..2 {
        assert_eq!(set(false).await, paused);
    }
    until(&mut seen, &paused.key, &InstanceState::Running).await;
    until_used(&fx, &paused, 1_000_000).await;
    assert_eq!(fx.sh(&fx.runtime.target(&paused), "echo on").await.text(), "on\n");
    let never = InstanceKey { uid: "never-was".to_owned(), ..paused.key.clone() };
    assert_eq!(fx.runtime.set_paused(LOCAL_HOST, &never, true).await, Ok(None));
}

/// It heeds SIGTERM, as one that is not paused does.
#[tokio::test]
async fn a_paused_container_is_stopped_in_good_order() {
    let Some(fx) = Fixture::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let mount = poolkeeper::api::pool::Mount {
        host_path: dir.path().to_str().unwrap().to_owned(),
        mount_path: "/out".to_owned(),
        read_only: false,
    };
    let script = "trap 'touch /out/heeded; exit 0' TERM; touch /out/ready; while :; do sleep 0.01; done";
    let instance = fx.start(&InstanceSpec { mounts: vec![mount], ..fx.script(script) }).await;
    within(async {
        while !dir.path().join("ready").exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    fx.runtime.set_paused(LOCAL_HOST, &instance.key, true).await.unwrap();
    fx.runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
    assert!(dir.path().join("heeded").exists(), "it was killed");
    assert_eq!(fx.count().await, 0);
}

/// The engine runs no HEALTHCHECK in a paused container. What it said last does not count meanwhile, and counts again afterwards.
#[tokio::test]
async fn a_healthcheck_counts_only_while_the_container_goes_on() {
    let Some(fx) = Fixture::new().await else { return };
    let mut seen = fx.observe().await;
    let instance =
        fx.start(&InstanceSpec { image: Some(ILL.into()), ..fx.script("touch /tmp/well; sleep infinity") }).await;
    until(&mut seen, &instance.key, &InstanceState::Running).await;
    let target = fx.runtime.target(&instance);
    let set = async |on: bool| fx.runtime.set_paused(LOCAL_HOST, &instance.key, on).await.unwrap().unwrap().state;
    assert_eq!(set(true).await, InstanceState::Paused);
    let looks = async || fx.inspect(&instance).await.state.unwrap().health.unwrap().log.unwrap_or_default().len();
    // A second container shows that the engine goes on with its looks.
    let other = fx.start(&InstanceSpec { image: Some(ILL.into()), ..fx.spec() }).await;
    let of_other = async || fx.inspect(&other).await.state.unwrap().health.unwrap().log.unwrap_or_default().len();
    let before = looks().await;
    within(async { while of_other().await < 2 {} }).await;
    assert_eq!(looks().await, before);
    assert_eq!(fx.runtime.check(LOCAL_HOST, &instance.key).await.unwrap().unwrap().state, InstanceState::Paused);
    assert_eq!(
        set(false).await,
        InstanceState::Running,
        "the engine calls it unhealthy although no HEALTHCHECK has failed"
    );
    let status = async || fx.inspect(&instance).await.state.unwrap().health.unwrap().status;
    within(async { while status().await != Some(HealthStatusEnum::HEALTHY) {} }).await;
    fx.sh(&target, "rm /tmp/well").await.text();
    let ill = |i: Instance| (i.key == instance.key && i.state.why_not_ready().is_some()).then_some(());
    seen.until(|o| if let Observation::Changed(i) = o { ill(i) } else { None }).await;
    // One that is ill is not paused: its HEALTHCHECK could not tell that it is well again.
    assert_ne!(set(true).await, InstanceState::Paused);
}
