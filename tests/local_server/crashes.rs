//! `kill -9` of the server: nothing that was answered is lost, and tasks run on.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use serde_json::{Value, json};

use crate::life::{assigned, dispatch, phase, pool};
use poolkeeper_testkit::local_server::{Rig, until};
use poolkeeper_testkit::program::kubectl;

use crate::PROGRAM;

/// How often the server is killed. In CI 30 times.
fn kills() -> usize {
    std::env::var("POOLKEEPER_KILLS").ok().map_or(3, |kills| kills.parse().unwrap())
}

/// Writes that are answered before the server is killed.
const ANSWERS: usize = 60;

/// What the writers of one life of the server share.
#[derive(Default)]
struct Load {
    round: usize,
    stop: AtomicBool,
    answers: AtomicUsize,
}

/// A pool, and the label and the version of each write to it that was answered.
type Answered = (String, Vec<(String, u64)>);

impl Load {
    fn label(&self, answered: &[(String, u64)]) -> (String, Value) {
        let label = format!("{}-{}", self.round, answered.len());
        let patch = json!({"metadata": {"labels": {"n": label}}});
        (label, patch)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Writes with a client library until it is not answered.
    async fn write(self: Arc<Self>, client: Client, name: String) -> Answered {
        let pools: Api<ContainerPool> = Api::default_namespaced(client);
        let _ = pools.create(&PostParams::default(), &pool(&name, json!({"max": 1}))).await;
        let mut answered = Vec::new();
        while self.goes_on() {
            let (label, patch) = self.label(&answered);
            let Ok(pool) = pools.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await else { break };
            answered.push((label, pool.resource_version().unwrap().parse().unwrap()));
            self.answers.fetch_add(1, Ordering::SeqCst);
        }
        (name, answered)
    }

    /// The same with kubectl.
    fn write_with_kubectl(&self, kubectl: &Path, kubeconfig: &Path, name: String) -> Answered {
        let mut answered = Vec::new();
        while self.goes_on() {
            let (label, patch) = self.label(&answered);
            let mut command = Command::new(kubectl);
            command.env("KUBECONFIG", kubeconfig).args(["patch", "containerpool", &name, "--type=merge", "-p"]);
            command.args([&*patch.to_string(), "-o", "jsonpath={.metadata.resourceVersion}"]);
            let said = command.output().unwrap();
            if !said.status.success() {
                break;
            }
            answered.push((label, String::from_utf8(said.stdout).unwrap().parse().unwrap()));
            self.answers.fetch_add(1, Ordering::SeqCst);
        }
        (name, answered)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answered_write_is_lost_and_no_version_comes_twice() {
    let rig = Rig::new(PROGRAM);
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.up().client().await);
    pools.create(&PostParams::default(), &pool("kubectl", json!({"max": 1}))).await.unwrap();
    let kubectl = kubectl();
    let mut versions: BTreeSet<u64> = BTreeSet::new();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..kills() {
        let load = Arc::new(Load { round, ..Load::default() });
        let mut writers = Vec::new();
        for writer in 0..4 {
            writers.push(tokio::spawn(load.clone().write(rig.client().await, format!("pool-{writer}"))));
        }
        if let Some(kubectl) = kubectl.clone() {
            let (load, kubeconfig) = (load.clone(), rig.kubeconfig());
            let write = move || load.write_with_kubectl(&kubectl, &kubeconfig, "kubectl".to_owned());
            writers.push(tokio::task::spawn_blocking(write));
        }
        until("writes are answered", || load.answers.load(Ordering::SeqCst) >= ANSWERS);
        rig.kill();
        load.stop.store(true, Ordering::SeqCst);
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
            *answers.entry(name.clone()).or_default() += answered.len();
            for (label, version) in answered {
                assert!(versions.insert(version), "version {version} of {name} ({label}) came twice");
            }
        }
    }
    println!("{} kills; answered writes: {answers:?}", kills());
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
    let task = Command::new(&target.argv[0])
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
