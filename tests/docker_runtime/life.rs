//! Start, observe, check, stop.

use bollard::models::RestartPolicyNameEnum;
use bollard::query_parameters::RenameContainerOptionsBuilder;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use poolkeeper::api::names;
use poolkeeper::api::pool::{Credential, EnvVar, Mount, Resources};
use poolkeeper::runtime::{InstanceSpec, InstanceState, LOCAL_HOST, Observation, Runtime};

use crate::fixture::{Fixture, within, words};

#[tokio::test]
async fn however_often_it_is_asked_for_there_is_one_instance() {
    let Some(fx) = Fixture::new().await else { return };
    let spec = fx.spec();
    let (a, b, c) = tokio::join!(fx.runtime.start(&spec), fx.runtime.start(&spec), fx.runtime.start(&spec));
    let first = a.unwrap();
    assert_eq!((Ok(first.clone()), Ok(first.clone())), (b, c));
    assert_eq!(fx.runtime.start(&spec).await, Ok(first.clone()));
    assert_eq!((fx.count().await, &first.state, &first.key), (1, &InstanceState::Running, &spec.key));
    assert_eq!(fx.runtime.check(LOCAL_HOST, &spec.key).await, Ok(Some(first.clone())));

    let found = fx.inspect(&first).await;
    let host = found.host_config.unwrap();
    assert_eq!((host.init, host.restart_policy.unwrap().name), (Some(true), Some(RestartPolicyNameEnum::NO)));
    assert_eq!(found.name.unwrap(), format!("/{}", spec.key.instance_name()));
    let labels = found.config.unwrap().labels.unwrap();
    for (name, value) in [(names::POOL, "run"), (names::WORKER_UID, &spec.key.uid), (names::NAMESPACE, "default")] {
        assert_eq!(labels[name], value);
    }
    assert_eq!(labels[names::INSTALLATION], fx.installation);
}

#[tokio::test]
async fn a_stopped_instance_is_gone_and_stopping_it_again_is_no_error() {
    let Some(fx) = Fixture::new().await else { return };
    let (one, other) = (fx.start(&fx.spec()).await, fx.start(&fx.spec()).await);
    assert_eq!(fx.count().await, 2, "two installations may both have a worker run-0");
    fx.runtime.stop(LOCAL_HOST, &one.key).await.unwrap();
    assert_eq!(fx.runtime.check(LOCAL_HOST, &one.key).await, Ok(None));
    assert_eq!(fx.runtime.check(LOCAL_HOST, &other.key).await, Ok(Some(other.clone())));
    fx.runtime.stop(LOCAL_HOST, &one.key).await.unwrap();
    let (a, b) = tokio::join!(fx.runtime.stop(LOCAL_HOST, &other.key), fx.runtime.stop(LOCAL_HOST, &other.key));
    assert_eq!((a, b), (Ok(()), Ok(())));
    assert_eq!(fx.count().await, 0);
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed_and_a_renamed_one_is_found() {
    let Some(fx) = Fixture::new().await else { return };
    let stubborn = fx.start(&fx.script("trap '' TERM; while :; do sleep 60; done")).await;
    let options = RenameContainerOptionsBuilder::default().name(&format!("renamed-{}", stubborn.key.uid)).build();
    fx.docker.rename_container(&stubborn.handle.id, options).await.unwrap();
    assert_eq!(fx.runtime.check(LOCAL_HOST, &stubborn.key).await, Ok(Some(stubborn.clone())));
    within(fx.runtime.stop(LOCAL_HOST, &stubborn.key)).await.unwrap();
    assert_eq!(fx.count().await, 0);
}

#[tokio::test]
async fn a_death_and_a_removal_are_seen_as_they_happen() {
    let Some(fx) = Fixture::new().await else { return };
    let before = fx.start(&fx.spec()).await;
    let mut seen = fx.observe().await;
    assert_eq!(seen.next().await, Observation::Listed(vec![before.clone()]));
    let spec = fx.script("echo ready; echo steady >&2; touch /tmp/up; exec sleep infinity");
    let instance = fx.start(&spec).await;
    assert_eq!(seen.next().await, Observation::Changed(instance.clone()));

    fx.sh(&fx.runtime.target(&instance), "while ! [ -e /tmp/up ]; do sleep 0.05; done").await.text();
    fx.docker.kill_container(&instance.handle.id, None).await.unwrap();
    let exit = seen.exited(&spec.key).await;
    assert_eq!((exit.code, exit.out_of_memory), (Some(137), false));
    assert!(exit.tail.contains("ready") && exit.tail.contains("steady"), "{exit:?}");
    let checked = fx.runtime.check(LOCAL_HOST, &spec.key).await.unwrap().unwrap();
    assert_eq!((checked.state, checked.handle), (InstanceState::Exited(exit.clone()), instance.handle));

    // A later observer sees the dead one too.
    let late = fx.observe().await.listed().await;
    assert!(late.iter().any(|i| i.key == spec.key && i.state == InstanceState::Exited(exit.clone())), "{late:?}");
    // It is the same instance, and is not started again.
    assert_eq!(fx.start(&spec).await.state, InstanceState::Exited(exit));
    fx.runtime.stop(LOCAL_HOST, &spec.key).await.unwrap();
    seen.gone(&spec.key).await;
    fx.runtime.stop(LOCAL_HOST, &before.key).await.unwrap();
    seen.gone(&before.key).await;
}

#[tokio::test]
async fn what_ends_at_once_was_started_and_its_end_is_seen() {
    let Some(fx) = Fixture::new().await else { return };
    let mut seen = fx.observe().await;
    assert!(seen.listed().await.is_empty());
    let spec = fx.script("i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; exit 3");
    fx.start(&spec).await;
    let exit = seen.exited(&spec.key).await;
    assert_eq!(exit.code, Some(3));
    assert!(exit.tail.ends_with("line 299") && exit.tail.len() <= 1024, "{exit:?}");

    // The engine's init is what runs first, so a command that is not there is a death too, with the reason in its words.
    let spec = InstanceSpec { command: words(&["no-such-program"]), ..fx.spec() };
    fx.start(&spec).await;
    let exit = seen.exited(&spec.key).await;
    assert!(exit.code == Some(127) && exit.tail.contains("exec no-such-program failed"), "{exit:?}");
}

#[tokio::test]
async fn out_of_memory_is_told_from_other_deaths() {
    let Some(fx) = Fixture::new().await else { return };
    let mut seen = fx.observe().await;
    let limits = [("memory", "16Mi"), ("cpu", "500m")];
    let limits = limits.map(|(name, value)| (name.to_owned(), IntOrString::String(value.to_owned()))).into();
    let spec = InstanceSpec {
        resources: Some(Resources { limits, ..Resources::default() }),
        ..fx.script("while ! [ -e /tmp/go ]; do sleep 0.1; done; exec tail /dev/zero")
    };
    let instance = fx.start(&spec).await;
    let host = fx.inspect(&instance).await.host_config.unwrap();
    assert_eq!((host.memory, host.nano_cpus), (Some(16 << 20), Some(500_000_000)));
    // Its end may not be heard: the container may be gone by then.
    fx.sh(&fx.runtime.target(&instance), "touch /tmp/go").await;
    assert!(seen.exited(&spec.key).await.out_of_memory);
}

#[tokio::test]
async fn the_worker_has_its_environment_directory_and_mounts() {
    let Some(fx) = Fixture::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("given"), "from the host").unwrap();
    let source = dir.path().to_str().unwrap().to_owned();
    let mount = |path: &str, read_only| Mount { host_path: source.clone(), mount_path: path.into(), read_only };
    let spec = InstanceSpec {
        env: vec![EnvVar { name: "COLOUR".into(), value: "blue = green".into() }],
        credential: Some(Credential {
            name: "team-a".into(),
            env: "TOKEN".into(),
            from_command: words(&["echo", "sesame-open"]),
            ..Credential::default()
        }),
        working_dir: Some("/etc".into()),
        mounts: vec![mount("/ro", true), mount("/rw", false)],
        ..fx.script(
            "echo $COLOUR; echo my token is $TOKEN; pwd; cat /ro/given; echo; echo back > /rw/taken; touch /ro/x",
        )
    };
    let mut seen = fx.observe().await;
    assert!(seen.listed().await.is_empty());
    fx.start(&spec).await;
    let exit = seen.exited(&spec.key).await;
    assert_eq!(std::fs::read_to_string(dir.path().join("taken")).unwrap(), "back\n");
    assert!(exit.code != Some(0) && exit.tail.contains("Read-only file system"), "{exit:?}");
    for expected in ["blue = green\n", "my token is ***\n", "/etc\n", "from the host"] {
        assert!(exit.tail.contains(expected), "{expected:?} in {exit:?}");
    }
    assert!(!dir.path().join("x").exists());
    let labels = fx.inspect(&fx.start(&spec).await).await.config.unwrap().labels.unwrap();
    assert!(!labels.values().any(|value| value.contains("sesame")), "{labels:?}");
}
