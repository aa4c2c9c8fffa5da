//! A newer build takes over: workers and their command lines stay with the build that made them.
use std::path::{Path, PathBuf};
use std::process::Command;

use kube::api::PostParams;
use kube::{Api, ResourceExt};
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::json;

use crate::PROGRAM;
use crate::life::{assigned, dispatch, pool};

fn builds(rig: &Rig) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        rig.home().join("bin").read_dir().unwrap().map(|entry| entry.unwrap().path().join("poolkeeper")).collect();
    found.sort();
    found
}

/// `local up` with another build of the program.
fn up(rig: &Rig, program: &Path) {
    let mut command = Command::new(program);
    command.args(["local", "up", "--restart"]).env("POOLKEEPER_HOME", rig.home());
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    assert!(command.status().unwrap().success());
}

#[tokio::test]
async fn a_worker_keeps_the_build_that_made_it() {
    let rig = Rig::new(PROGRAM);
    // Two builds that differ in nothing but their files.
    let (old, new) = (rig.file("old"), rig.file("new"));
    std::fs::copy(PROGRAM, &old).unwrap();
    std::fs::copy(PROGRAM, &new).unwrap();
    up(&rig, &old);
    let client = rig.client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    let workers: Api<Worker> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &pool("agents", json!({"max": 2}))).await.unwrap();
    dispatches.create(&PostParams::default(), &dispatch("first", json!({"pool": "agents"}))).await.unwrap();
    let first = assigned(&dispatches, "first").await.status.unwrap().target.unwrap();
    assert_eq!(builds(&rig), [PathBuf::from(&first.argv[0])]);

    // The file of the old build is replaced, and the new one takes over.
    std::fs::remove_file(&old).unwrap();
    up(&rig, &new);
    let run = |argv: &[String]| Command::new(&argv[0]).args(&argv[1..]).arg("true").status().unwrap().success();
    assert!(run(&first.argv), "{:?}", first.argv);
    dispatches.create(&PostParams::default(), &dispatch("second", json!({"pool": "agents"}))).await.unwrap();
    let second = assigned(&dispatches, "second").await.status.unwrap().target.unwrap();
    assert_ne!(first.argv[0], second.argv[0]);
    assert!(run(&second.argv), "{:?}", second.argv);
    assert_eq!(builds(&rig).len(), 2);

    // The old build goes with its last worker, at the next start.
    let names: Vec<String> =
        workers.list(&Default::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["agents-0", "agents-1"]);
    rig.local(&["down", "--force"]).exits(0);
    up(&rig, &new);
    assert_eq!(builds(&rig), [PathBuf::from(&second.argv[0])]);
    rig.local(&["down", "--force", "--purge"]).exits(0);
    until("the directory is gone", || !rig.home().exists());
}
