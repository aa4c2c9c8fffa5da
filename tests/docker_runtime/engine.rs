//! An engine that dies and comes back. It is one of the test's own.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt;
use poolkeeper::clock::Ids;
use poolkeeper::runtime::docker::{DockerOptions, DockerRuntime, Endpoint, HostOptions};
use poolkeeper::runtime::exec::{ExecError, Executor, Output, Task, TaskEnd};
use poolkeeper::runtime::{
    InstanceKey, InstanceSpec, InstanceState, LOCAL_HOST, Observation, Runtime, RuntimeError, StartError,
};
use tokio::process::Command;

use crate::fixture::{IMAGE, Observed, skip, within, words};

/// A private engine, taken down with all its state at the end.
struct Engine(PathBuf);

impl Engine {
    async fn up(dir: &Path) -> Self {
        let engine = Self(dir.to_owned());
        engine.script("docker-up.sh").await;
        engine.script("docker-image.sh").await;
        engine
    }

    fn command(&self, script: &str) -> std::process::Command {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
        let mut command = std::process::Command::new(path);
        command.arg(&self.0).env_remove("DOCKER_HOST");
        command
    }

    async fn script(&self, script: &str) {
        let done = within(Command::from(self.command(script)).output()).await.unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    }

    async fn kill(&self) {
        let pid = std::fs::read_to_string(self.0.join("dockerd.pid")).unwrap();
        assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().await.unwrap().success());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.command("docker-down.sh").env("WIPE", "1").status();
    }
}

#[tokio::test]
async fn an_engine_that_dies_and_comes_back() {
    if std::env::var_os("POOLKEEPER_DOCKERD_PRIVATE").is_none() {
        return skip("POOLKEEPER_DOCKERD_PRIVATE is not set: no dockerd may be started and killed");
    }
    let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/tmp").unwrap();
    let engine = Engine::up(dir.path()).await;
    let endpoint = Endpoint::Unix(dir.path().join("docker.sock"));
    let options = DockerOptions {
        hosts: vec![HostOptions { name: LOCAL_HOST.into(), endpoint: Some(endpoint.clone()) }],
        installation: Ids::random().uid(),
        owner_process: None,
    };
    let runtime = DockerRuntime::new(options).unwrap();
    let executor = runtime.executor();
    let spec = |uid: &str| InstanceSpec {
        key: InstanceKey { namespace: "default".into(), worker: "run-0".into(), uid: uid.into() },
        pool: "run".into(),
        host: LOCAL_HOST.into(),
        image: Some(IMAGE.into()),
        command: vec![],
        args: vec![],
        env: vec![],
        working_dir: None,
        resources: None,
        mounts: vec![],
        credential: None,
        grace: None,
        protected_for: None,
        pool_uid: "p-1".to_owned(),
        pod_template: None,
    };
    let mut seen = Observed(runtime.observe(LOCAL_HOST));
    assert_eq!(seen.next().await, Observation::Listed(vec![]));
    let instance = runtime.start(&spec("11111111")).await.unwrap();
    assert_eq!(seen.next().await, Observation::Changed(instance.clone()));
    let target = runtime.target(&instance);
    let argv = words(&["sh", "-c", "echo running; exec sleep infinity"]);
    let mut task = executor.exec(&target, Task { argv, ..Task::default() }).await.unwrap();
    assert_eq!(within(task.output.next()).await, Some(Output::Stdout(Bytes::from("running\n"))));

    engine.kill().await;
    let why = seen.unreachable().await;
    assert!(why.contains(&endpoint.to_string()), "{why}");
    while within(task.output.next()).await.is_some() {}
    assert!(matches!(within(task.end).await, TaskEnd::Lost(_)));
    let answer = runtime.start(&spec("22222222")).await;
    assert!(matches!(&answer, Err(StartError::Unreachable(why)) if why.contains("start Docker")), "{answer:?}");
    let answer = runtime.stop(LOCAL_HOST, &instance.key).await;
    assert!(matches!(&answer, Err(RuntimeError::Unreachable(_))), "{answer:?}");
    let argv = words(&["true"]);
    let answer = executor.exec(&target, Task { argv: argv.clone(), ..Task::default() }).await;
    assert!(matches!(answer.err(), Some(ExecError::Worker(_))));

    engine.script("docker-up.sh").await;
    let listed = seen.listed().await;
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].key, &listed[0].handle), (&instance.key, &instance.handle));
    // An engine without live restore ends what still ran.
    assert!(matches!(listed[0].state, InstanceState::Exited(_)), "{listed:?}");
    runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
    seen.gone(&instance.key).await;
    // Changes are followed again.
    let next = runtime.start(&spec("33333333")).await.unwrap();
    assert_eq!(seen.next().await, Observation::Changed(next.clone()));
    runtime.stop(LOCAL_HOST, &next.key).await.unwrap();
}
