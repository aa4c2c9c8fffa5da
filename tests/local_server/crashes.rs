//! `kill -9` of the server: nothing that was answered is lost, and tasks run on.
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use serde_json::json;

use crate::life::{assigned, dispatch, phase, pool};
use poolkeeper_testkit::local_server::{Rig, until};

use crate::PROGRAM;

/// How often the server is killed. In CI more often than by hand.
fn kills() -> usize {
    std::env::var("POOLKEEPER_KILLS").ok().map_or(3, |kills| kills.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answered_write_is_lost_and_no_version_comes_twice() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..kills() {
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (stop, client) = (stop.clone(), rig.client());
                let client = futures::executor::block_on(client);
                tokio::spawn(async move {
                    let pools: Api<ContainerPool> = Api::default_namespaced(client);
                    let name = format!("pool-{writer}");
                    let _ = pools.create(&PostParams::default(), &pool(&name, json!({"max": 1}))).await;
                    let mut answered = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        let patch = json!({"metadata": {"labels": {"n": format!("{round}-{}", answered.len())}}});
                        match pools.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                            Ok(pool) => {
                                answered.push((
                                    pool.labels()["n"].clone(),
                                    pool.resource_version().unwrap().parse::<u64>().unwrap(),
                                ));
                            }
                            Err(_) => break,
                        }
                    }
                    (name, answered)
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        rig.kill();
        stop.store(true, Ordering::SeqCst);
        rig.up();
        let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
        for writer in writers {
            let (name, answered) = writer.await.unwrap();
            let found = pools.get(&name).await.unwrap();
            let Some((label, version)) = answered.last() else { continue };
            let now: u64 = found.resource_version().unwrap().parse().unwrap();
            // The write that was under way may be there, and what the controller writes.
            assert!(now >= *version, "{name}: version {version} was answered, and {now} is there");
            let n = |label: &str| label.split_once('-').unwrap().1.parse::<u64>().unwrap();
            assert!(n(&found.labels()["n"]) >= n(label), "{name}: {label} was answered");
            for (label, version) in answered {
                if let Some(before) = versions.insert(format!("{name} {version}"), version) {
                    panic!("version {before} of {name} ({label}) came twice");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_task_runs_on_while_the_server_is_killed() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    let workers: Api<Worker> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &pool("agents", json!({"max": 1}))).await.unwrap();
    dispatches.create(&PostParams::default(), &dispatch("job", json!({"pool": "agents"}))).await.unwrap();
    let status = assigned(&dispatches, "job").await;
    let (uid, target) = (status.uid(), status.status.unwrap().target.unwrap());
    let go = rig.file("go");
    let script = format!("until test -e {}; do sleep 0.05; done; env", go.display());
    let task = std::process::Command::new(&target.argv[0])
        .args(&target.argv[1..])
        .args(["sh", "-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let worker = workers.get("agents-0").await.unwrap();
    for _ in 0..kills() {
        rig.kill();
        rig.up();
    }
    std::fs::write(go, "").unwrap();
    let output = task.wait_with_output().unwrap();
    assert!(output.status.success());
    let environment = String::from_utf8(output.stdout).unwrap();
    assert!(!environment.contains("A_TOKEN_OF_THE_SHELL"), "a worker has what the shell had that started the server");
    let result = json!({"metadata": {"uid": uid}, "spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
    dispatches.patch("job", &PatchParams::default(), &Patch::Merge(&result)).await.unwrap();
    let ended = phase(&dispatches, "job", DispatchPhase::Succeeded).await.status.unwrap();
    assert_eq!(ended.attempt, 1);
    assert_eq!(workers.get("agents-0").await.unwrap().uid(), worker.uid(), "it is the same worker");
}

#[tokio::test]
async fn a_signal_ends_the_server_alone() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let workers: Api<Worker> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &pool("agents", json!({"min": 1, "max": 1}))).await.unwrap();
    let ready = kube::runtime::wait::await_condition(workers.clone(), "agents-0", |w: Option<&Worker>| {
        w.and_then(|w| w.status.as_ref()).is_some_and(|s| s.handle.is_some())
    });
    let worker = ready.await.unwrap().unwrap();
    let pid = rustix::process::Pid::from_raw(rig.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    until("the server is gone", || rig.local(&["status"]).code == 6);
    rig.up();
    let now = workers.get("agents-0").await.unwrap();
    assert_eq!((now.uid(), now.status.unwrap().handle), (worker.uid(), worker.status.unwrap().handle));
}
