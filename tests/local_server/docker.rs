//! Containers of the local server: it takes them over. What another engine in the place of theirs does: `tests/kills/swapped.rs`.
//!
//! Skipped, loudly, where no engine answers; `POOLKEEPER_REQUIRE_DOCKER=1` makes that a failure.
use std::process::Command;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use serde_json::json;

use crate::life::{assigned, dispatch, pool};
use poolkeeper_testkit::local_server::{Rig, until};

use crate::PROGRAM;

const IMAGE: &str = "poolkeeper-test:1";

fn docker(args: &[&str]) -> Option<String> {
    let output = Command::new("docker").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn containers(pool: &str) -> Vec<String> {
    let label = format!("label=poolkeeper.dev/pool={pool}");
    let mut found: Vec<String> =
        docker(&["ps", "-aq", "--no-trunc", "--filter", &label]).unwrap().lines().map(str::to_owned).collect();
    found.sort();
    found
}

#[tokio::test]
async fn containers_are_taken_over() {
    if docker(&["image", "inspect", IMAGE]).is_none() {
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "no Docker Engine has {IMAGE}");
        eprintln!("SKIPPED: no Docker Engine answers, or it has no image {IMAGE}");
        return;
    }
    let rig = Rig::with_docker(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "local-server"},
        "spec": {"image": IMAGE, "min": 2, "max": 2, "credentials": [
            {"name": "a", "env": "API_TOKEN", "secretKeyRef": {"name": "tokens", "key": "a"}},
        ]},
    });
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let tokens = json!({"metadata": {"name": "tokens"}, "stringData": {"a": "sesame-open"}});
    secrets.create(&PostParams::default(), &serde_json::from_value(tokens).unwrap()).await.unwrap();
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    dispatches.create(&PostParams::default(), &dispatch("job", json!({"pool": "local-server"}))).await.unwrap();
    let target = assigned(&dispatches, "job").await.status.unwrap().target.unwrap();
    assert_eq!(target.argv[1], "-H", "it names the engine, whatever the reader's own is: {:?}", target.argv);
    let mut task = Command::new(&target.argv[0]);
    let said = task.args(&target.argv[1..]).args(["sh", "-c", "echo $API_TOKEN"]).output().unwrap().stdout;
    assert_eq!(String::from_utf8(said).unwrap(), "sesame-open\n");
    until("both workers are there", || containers("local-server").len() == 2);
    let before = containers("local-server");

    // A run removes what dead runs left, and nothing of a server that is away.
    rig.kill();
    let run = ["run", "--local", "--image", IMAGE, "--workers", "1", "--", "true"];
    assert!(Command::new(env!("CARGO_BIN_EXE_poolkeeper")).args(run).status().unwrap().success());
    rig.up();
    assert_eq!(containers("local-server"), before);

    assert!(pools.get("local-server").await.unwrap().uid().is_some());
    rig.local(&["down", "--force"]).exits(0);
    assert_eq!(containers("local-server"), Vec::<String>::new());
}

/// It is healthy while there is a file, which the command of each container makes.
#[tokio::test]
async fn a_worker_whose_healthcheck_fails_is_replaced() {
    const HEALTH: &str = "poolkeeper-health:1";
    if docker(&["image", "inspect", HEALTH]).is_none() {
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "no Docker Engine has {HEALTH}");
        eprintln!("SKIPPED: no Docker Engine answers, or it has no image {HEALTH}");
        return;
    }
    let rig = Rig::with_docker(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let workers: Api<Worker> = Api::default_namespaced(client);
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "healthcheck"},
        "spec": {
            "image": HEALTH, "min": 1, "max": 1, "health": {"interval": "1s"},
            "command": ["sh", "-c", "touch /tmp/well; exec sleep infinity"],
        },
    });
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let ready = async |not: &str| {
        let is_ready = |worker: Option<&Worker>| {
            worker
                .filter(|w| w.uid().is_some_and(|uid| uid != not))
                .and_then(|w| w.status.as_ref())
                .is_some_and(|s| s.phase == WorkerPhase::Ready)
        };
        let wait = kube::runtime::wait::await_condition(workers.clone(), "healthcheck-0", is_ready);
        let wait = tokio::time::timeout(std::time::Duration::from_secs(120), wait).await;
        wait.expect("no worker became Ready").unwrap().unwrap()
    };
    let first = ready("").await;
    let id = first.status.as_ref().unwrap().handle.clone().unwrap().id;
    docker(&["exec", &id, "rm", "/tmp/well"]).unwrap();
    ready(&first.uid().unwrap()).await;
    assert!(docker(&["inspect", &id]).is_none(), "the first container is still there");
    rig.local(&["down", "--force"]).exits(0);
}

/// The address of the engine stays until a person changes it.
#[tokio::test]
async fn the_engine_is_the_one_that_was_named() {
    let rig = Rig::new(PROGRAM);
    let said = rig.local(&["up", "--docker-host", "npipe://host"]).exits(2);
    assert!(said.stderr.contains("Poolkeeper supports unix:///PATH, tcp://HOST:PORT"), "{}", said.stderr);
    rig.local(&["up", "--docker-host", "unix:///nonexistent/a.sock"]).exits(0);
    let pid = rig.pid();
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    let mut asked = pool("agents", json!({"min": 1, "image": "busybox"}));
    asked.spec.runtime = None;
    pools.create(&PostParams::default(), &asked).await.unwrap();
    let says = |words: &'static str| {
        let says = move |pool: Option<&ContainerPool>| {
            let conditions = pool.and_then(|pool| pool.status.as_ref()).map(|s| &*s.conditions).unwrap_or_default();
            conditions.iter().any(|c| c.message.contains(words))
        };
        let wait = kube::runtime::wait::await_condition(pools.clone(), "agents", says);
        async move { tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.unwrap().unwrap() }
    };
    says("unix:///nonexistent/a.sock").await;
    // It stays, whatever DOCKER_HOST is where the next `up` is typed, and also when there are no workers.
    rig.local(&["down"]).exits(0);
    rig.up();
    says("unix:///nonexistent/a.sock").await;
    // Another one is used at once.
    rig.local(&["up", "--docker-host", "tcp://127.0.0.1:1"]).exits(0);
    assert_ne!(rig.pid(), pid);
    says("tcp://127.0.0.1:1").await;
    rig.local(&["up", "--docker-host", "auto"]).exits(0);
    says("unix:///nonexistent/docker.sock").await;
}

/// The processor time that a container has used, in nanoseconds, as its cgroup counts it.
async fn used(engine: &bollard::Docker, container: &str) -> u64 {
    let options = bollard::query_parameters::StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let stats = Box::pin(engine.stats(container, Some(options))).next().await.unwrap().unwrap();
    stats.cpu_stats.unwrap().cpu_usage.unwrap().total_usage.unwrap()
}

/// Two workers never stop computing, and one of them rests. The server is killed repeatedly meanwhile.
#[tokio::test]
async fn a_worker_that_rests_uses_no_processor_time_if_the_pool_asks_for_that() {
    if docker(&["image", "inspect", IMAGE]).is_none() {
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "no Docker Engine has {IMAGE}");
        eprintln!("SKIPPED: no Docker Engine answers, or it has no image {IMAGE}");
        return;
    }
    let engine = match std::env::var("DOCKER_HOST") {
        Ok(host) => bollard::Docker::connect_with_host(&host).unwrap(),
        Err(_) => bollard::Docker::connect_with_unix_defaults().unwrap(),
    };
    let engine = engine.negotiate_version().await.unwrap();
    let rig = Rig::with_docker(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let workers: Api<Worker> = Api::default_namespaced(client);
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "pauses"},
        "spec": {
            "image": IMAGE, "min": 2, "max": 2, "rateLimit": {"pause": true}, "health": {"interval": "1s"},
            "command": ["sh", "-c", "while :; do :; done"], "resources": {"limits": {"cpu": "200m"}},
            "terminationGracePeriod": "1s",
        },
    });
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let mut ids = Vec::new();
    for name in ["pauses-0", "pauses-1"] {
        let ready = |w: Option<&Worker>| {
            w.and_then(|w| w.status.as_ref()).is_some_and(|s| s.phase == WorkerPhase::Ready && s.handle.is_some())
        };
        let wait = kube::runtime::wait::await_condition(workers.clone(), name, ready);
        let wait = tokio::time::timeout(std::time::Duration::from_secs(120), wait).await;
        let worker = wait.expect("no worker became Ready").unwrap().unwrap();
        ids.push(worker.status.unwrap().handle.unwrap().id);
    }
    let (rests, works) = (ids[0].as_str(), ids[1].as_str());
    let status = |id: &str| docker(&["inspect", "-f", "{{.State.Status}}", id]).unwrap().trim().to_owned();
    let until_used = async |id: &str, more: u64| {
        let end = used(&engine, id).await + more;
        while used(&engine, id).await < end {}
    };

    rig.run(&["cooldown", "pauses-0", "--for", "1h"]).exits(0);
    until("it is paused", || status(rests) == "paused");
    let before = used(&engine, rests).await;
    for _ in 0..3 {
        rig.kill();
        until_used(works, 20_000_000).await;
        rig.up();
        until_used(works, 20_000_000).await;
        assert_eq!((status(rests), used(&engine, rests).await), ("paused".to_owned(), before));
        assert_eq!(status(works), "running");
    }
    let refused = rig.run(&["exec", "worker/pauses-0", "--", "true"]).exits(125).stderr;
    assert!(refused.contains("spec.rateLimit.pause"), "{refused}");
    rig.run(&["exec", "worker/pauses-1", "--", "true"]).exits(0);

    // What changed while no server ran: a pause by hand is undone.
    rig.kill();
    docker(&["pause", works]).unwrap();
    rig.up();
    until("it goes on", || status(works) == "running");
    assert_eq!((status(rests), used(&engine, rests).await), ("paused".to_owned(), before));

    // The rest is over.
    rig.run(&["cooldown", "pauses-0", "--clear"]).exits(0);
    until("it goes on after its rest", || status(rests) == "running");
    until_used(rests, 1_000_000).await;
    rig.run(&["exec", "worker/pauses-0", "--", "true"]).exits(0);

    // One that is paused is removed as any other.
    rig.run(&["cooldown", "pauses-0", "--for", "1h"]).exits(0);
    until("it is paused again", || status(rests) == "paused");
    rig.local(&["down", "--force"]).exits(0);
    assert!(docker(&["inspect", rests]).is_none(), "it is still there");
}
