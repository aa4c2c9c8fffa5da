//! What cannot be done, and how it is said. Nothing is left of a start that was refused.

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use poolkeeper::api::pool::{Credential, Mount};
use poolkeeper::runtime::docker::{DockerOptions, DockerRuntime, Endpoint, HostOptions};
use poolkeeper::runtime::{InstanceSpec, LOCAL_HOST, Observation, Runtime, RuntimeError, StartError};

use crate::fixture::{Fixture, IMAGE, Observed};

/// The words of a refusal, after which there must be nothing.
async fn refused(fx: &Fixture, spec: InstanceSpec) -> String {
    let StartError::Refused(why) = fx.runtime.start(&spec).await.unwrap_err() else { panic!("not refused") };
    assert_eq!(fx.count().await, 0, "left behind by: {why}");
    assert_eq!(fx.runtime.check(LOCAL_HOST, &spec.key).await, Ok(None));
    why
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_named_with_what_to_do() {
    let Some(fx) = Fixture::new().await else { return };
    // A port without a listener: no network is needed to be refused.
    let why = refused(&fx, InstanceSpec { image: Some("127.0.0.1:9/no/such:1".into()), ..fx.spec() }).await;
    for part in ["127.0.0.1:9/no/such:1", "host local", "docker pull", "spec.image", "connection refused"] {
        assert!(why.contains(part), "{part:?} in {why}");
    }
}

#[tokio::test]
async fn a_mount_or_a_directory_that_cannot_be() {
    let Some(fx) = Fixture::new().await else { return };
    // Refused only when it is started, after it was made.
    let mount = Mount { host_path: "/tmp".into(), mount_path: "/etc/passwd".into(), read_only: true };
    let why = refused(&fx, InstanceSpec { mounts: vec![mount], ..fx.spec() }).await;
    assert!(why.contains("/etc/passwd"), "{why}");
    let mount = Mount { host_path: "/no/such/dir".into(), mount_path: "/m".into(), read_only: true };
    let why = refused(&fx, InstanceSpec { mounts: vec![mount], ..fx.spec() }).await;
    assert!(why.contains("/no/such/dir"), "{why}");
    assert!(!std::path::Path::new("/no/such/dir").exists());
    let why = refused(&fx, InstanceSpec { working_dir: Some("here".into()), ..fx.spec() }).await;
    assert!(why.contains("here"), "{why}");
}

#[tokio::test]
async fn what_docker_cannot_honour_is_refused_before_anything_is_made() {
    let Some(fx) = Fixture::new().await else { return };
    let why = refused(&fx, InstanceSpec { pod_template: Some(serde_json::Map::new()), ..fx.spec() }).await;
    assert!(why.contains("podTemplate"), "{why}");
    let unset = Credential {
        name: "team-a".into(),
        env: "TOKEN".into(),
        from_env: Some("POOLKEEPER_NO_SUCH_VARIABLE".into()),
        ..Credential::default()
    };
    let why = refused(&fx, InstanceSpec { credential: Some(unset), ..fx.spec() }).await;
    assert!(why.contains("team-a") && why.contains("POOLKEEPER_NO_SUCH_VARIABLE"), "{why}");
    let why = refused(&fx, InstanceSpec { host: "gpu7".into(), ..fx.spec() }).await;
    assert!(why.contains("gpu7") && why.contains("local"), "{why}");
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_not_taken_over() {
    let Some(fx) = Fixture::new().await else { return };
    let spec = fx.spec();
    let name = spec.key.instance_name();
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let body = ContainerCreateBody { image: Some(IMAGE.into()), ..ContainerCreateBody::default() };
    let theirs = fx.docker.create_container(Some(options), body).await.unwrap().id;
    let answer = fx.runtime.start(&spec).await;
    let stopped = fx.runtime.stop(LOCAL_HOST, &spec.key).await;
    let kept = fx.docker.inspect_container(&theirs, None).await.is_ok();
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    fx.docker.remove_container(&theirs, Some(options)).await.unwrap();
    assert!(matches!(&answer, Err(StartError::Refused(why)) if why.contains(&name)), "{answer:?}");
    assert!(stopped == Ok(()) && kept);
}

#[tokio::test]
async fn without_an_engine_everything_says_where_it_looked_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let host = |name: &str| HostOptions { name: name.into(), endpoint: Some(Endpoint::Unix(socket.clone())) };
    let options =
        DockerOptions { hosts: vec![host(LOCAL_HOST), host("gpu1")], installation: "none".into(), owner_process: None };
    let runtime = DockerRuntime::new(options).unwrap();
    assert_eq!(runtime.hosts(), ["gpu1", LOCAL_HOST]);
    let path = socket.display().to_string();
    for (host, hint) in [(LOCAL_HOST, "--runtime Process"), ("gpu1", "host gpu1")] {
        let Err(RuntimeError::Unreachable(why)) = runtime.probe(host).await else { panic!("reached") };
        assert!(why.contains(&path) && why.contains(hint) && why.contains("No such file"), "{why}");
        let Observation::Unreachable(seen) = Observed(runtime.observe(host)).next().await else { panic!("reached") };
        assert_eq!(seen, why);
    }
    let Some(fx) = Fixture::new().await else { return };
    assert!(matches!(runtime.start(&fx.spec()).await, Err(StartError::Unreachable(why)) if why.contains(&path)));
    assert!(matches!(runtime.stop(LOCAL_HOST, &fx.spec().key).await, Err(RuntimeError::Unreachable(_))));
    assert!(matches!(runtime.check(LOCAL_HOST, &fx.spec().key).await, Err(RuntimeError::Unreachable(_))));
    assert!(matches!(runtime.check("gpu7", &fx.spec().key).await, Err(RuntimeError::Refused(_))));
}
