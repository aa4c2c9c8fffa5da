//! `scale`, `set image`, `pause`, `resume` and `delete`.
use std::process::Stdio;

use kube::api::{Api, Patch, PostParams};
use poolkeeper::api::{Dispatch, Worker};
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::get::create_pool;
use crate::terminal::typed;

/// An object as the server has it; null: it is not there.
pub fn object(rig: &Rig, what: &str) -> Value {
    let said = rig.run(&["get", what, "-o", "json"]);
    if said.code == 3 { Value::Null } else { serde_json::from_str(&said.exits(0).stdout).unwrap() }
}

pub fn until_ready(rig: &Rig, n: usize) {
    until("the workers are ready", || rig.run(&["get", "workers"]).stdout.matches(" Ready ").count() == n);
}

/// Starts a dispatch that is not reported, and waits until it runs. Answers with its worker.
pub async fn hold(rig: &Rig, pool: &str, task: &str) -> String {
    let dispatches: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    let dispatch = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": task}, "spec": {"pool": pool},
    });
    dispatches.create(&PostParams::default(), &serde_json::from_value(dispatch).unwrap()).await.unwrap();
    let mut worker = String::new();
    until("the dispatch runs", || {
        worker = object(rig, &format!("dispatch/{task}"))["status"]["worker"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        !worker.is_empty()
    });
    worker
}

#[tokio::test]
async fn scale_counts_from_the_workers_that_are_there() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 2, "max": 3})).await;
    until_ready(&rig, 2);
    let min = || object(&rig, "pool/agents")["spec"]["min"].clone();
    let said = rig.run(&["scale", "agents", "+1"]).exits(0).stderr;
    assert_eq!(said, "poolkeeper: using the local server\npoolkeeper: spec.min of pool agents is 3 now; it was 2\n");
    until_ready(&rig, 3);
    let said = rig.run(&["scale", "agents", "+1"]).exits(2).stderr;
    assert!(said.contains("would be 4, and spec.max is 3: add --max 4 to raise it"), "{said}");
    assert_eq!(min(), 3);
    let said = rig.run(&["scale", "agents", "0", "--context", "poolkeeper-local"]).exits(0).stderr;
    assert!(
        said.starts_with("poolkeeper: spec.min of pool agents is 0 now; it was 3\n"),
        "a named server is not said: {said}"
    );
    assert!(said.contains("3 workers are there: idle ones above spec.min are removed after 30m"), "{said}");
    // Three are there, so one more is a fourth, and one fewer is no reason to keep two.
    rig.run(&["scale", "agents", "-1"]).exits(0);
    assert_eq!(min(), 0);
    rig.run(&["scale", "agents", "+1", "--max", "4"]).exits(0);
    until_ready(&rig, 4);
    rig.run(&["scale", "agents", "-9"]).exits(0);
    assert_eq!(min(), 0);
    for (args, code, message) in [
        (&["scale", "nope", "1"][..], 3, "\"nope\" not found"),
        (&["scale", "agents", "many"], 2, "such as 3, +1 or -1"),
        (&["scale", "a/b", "1"], 2, "\"a/b\" is no name"),
        (&["scale", "agents", "1", "--max", "0"], 2, "spec.max is 0"),
    ] {
        let said = rig.run(args).exits(code);
        assert!(said.stderr.contains(message), "{args:?}: {}", said.stderr);
    }
}

/// Not the count in the pool's status, which follows a moment later.
#[tokio::test]
async fn a_pause_counts_the_attempts_that_are_open_now() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 1, "max": 1})).await;
    hold(&rig, "agents", "job").await;
    let said = rig.run(&["pause", "agents"]).exits(0).stderr;
    assert!(said.ends_with("pool agents is paused now; 1 attempt that runs goes on\n"), "{said}");
    let uid = object(&rig, "dispatch/job")["metadata"]["uid"].as_str().unwrap().to_owned();
    rig.run(&["report", "job", "Succeeded", "--uid", &uid, "--attempt", "1"]).exits(0);
    rig.run(&["wait", "job", "--for", "finished"]).exits(0);
    let said = rig.run(&["pause", "agents"]).exits(0).stderr;
    assert!(said.ends_with("pool agents is paused already\n"), "{said}");
}

#[tokio::test]
async fn a_pool_that_starts_nothing_says_why() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({})).await;
    let said = rig.run(&["pause", "agents"]).exits(0).stderr;
    assert!(said.ends_with("pool agents is paused now\n"), "{said}");
    assert!(rig.run(&["pause", "agents"]).exits(0).stderr.ends_with("pool agents is paused already\n"));
    let said = rig.run(&["scale", "agents", "1"]).exits(0).stderr;
    assert!(said.contains("nothing starts: the pool is paused; `poolkeeper resume agents` ends that"), "{said}");
    create_pool(&rig, "others", json!({"paused": true})).await;
    let said = rig.run(&["resume", "--all"]).exits(0).stderr;
    assert!(said.contains("pool agents is not paused now") && said.contains("pool others is not paused now"), "{said}");
    until_ready(&rig, 1);
    // Several at a time are several more.
    create_pool(&rig, "many", json!({"paused": true})).await;
    let more: Vec<_> =
        (0..4).map(|_| rig.poolkeeper(&["scale", "many", "+1"]).stderr(Stdio::null()).spawn().unwrap()).collect();
    for mut one in more {
        assert!(one.wait().unwrap().success());
    }
    assert_eq!(object(&rig, "pool/many")["spec"]["min"], 4);
    rig.run(&["pause"]).exits(2);
    rig.run(&["pause", "nope"]).exits(3);
    create_pool(&rig, "broken", json!({"command": ["/nonexistent/program"]})).await;
    until("a start has failed", || {
        rig.run(&["scale", "broken", "1"]).exits(0);
        !object(&rig, "pool/broken")["status"]["startBackoff"].is_null()
    });
    until("the failure is said", || {
        rig.run(&["scale", "broken", "2"]).exits(0).stderr.contains("nothing starts: workers do not start: ")
    });
}

#[tokio::test]
async fn an_image_is_set_where_there_is_one() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({})).await;
    let said = rig.run(&["set", "image", "agents", "alpine:3"]).exits(2).stderr;
    assert!(said.contains("runtime Process has no image"), "{said}");
    let pools: Api<poolkeeper::api::ContainerPool> = Api::default_namespaced(rig.client().await);
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "boxes"},
        "spec": {"runtime": "Docker", "image": "alpine:3", "paused": true},
    });
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let said = rig.run(&["set", "image", "boxes", "alpine:3.20"]).exits(0).stderr;
    assert!(said.contains("the image of pool boxes is alpine:3.20 now; it was alpine:3\n"), "{said}");
    assert!(said.contains("no worker is replaced while the pool is paused"), "{said}");
    assert_eq!(object(&rig, "pool/boxes")["spec"]["image"], "alpine:3.20");
    assert!(rig.run(&["set", "image", "boxes", "alpine:3.20"]).exits(0).stderr.contains("is alpine:3.20 already"));
    rig.run(&["set", "image", "nope", "a"]).exits(3);
}

#[tokio::test]
async fn a_busy_worker_is_deleted_only_if_that_is_asked_for() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 2, "max": 3})).await;
    until_ready(&rig, 2);
    let busy = hold(&rig, "agents", "task-1").await;
    let said = rig.run(&["delete", "worker", &busy]).exits(4).stderr;
    assert!(said.contains(&format!("worker {busy} is busy with task-1, attempt 1 since ")), "{said}");
    assert!(
        said.contains("--wait to let it finish") && said.contains("--force to end the attempt as Forced"),
        "{said}"
    );
    let uid = object(&rig, &format!("worker/{busy}"))["metadata"]["uid"].clone();
    let said = rig.run(&["delete", "worker", &busy, "--wait", "--timeout", "1s"]).exits(5).stderr;
    assert!(said.contains(&format!("waiting for worker {busy}: it is busy with task-1, attempt 1")), "{said}");
    assert!(said.contains("still there after 1s (--timeout): it is busy with task-1"), "{said}");
    assert_eq!(object(&rig, "dispatch/task-1")["status"]["phase"], "Assigned", "it works on");
    let said = rig.run(&["delete", "worker", &busy, "--force"]).exits(0).stderr;
    assert!(said.ends_with(&format!("worker {busy} is gone\n")), "{said}");
    until("the attempt has ended", || object(&rig, "dispatch/task-1")["status"]["phase"] == "Failed");
    assert_eq!(object(&rig, "dispatch/task-1")["status"]["reason"], "Forced");
    until("another worker is there", || {
        let now = object(&rig, &format!("worker/{busy}"))["metadata"]["uid"].clone();
        !now.is_null() && now != uid
    });
}

#[tokio::test]
async fn it_is_said_whether_another_worker_follows() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 2, "max": 3})).await;
    until_ready(&rig, 2);
    let said = rig.run(&["delete", "worker/agents-0"]).exits(0).stderr;
    assert!(
        said.contains("another worker follows, since spec.min of pool agents is 2; --shrink lowers it as well"),
        "{said}"
    );
    until_ready(&rig, 2);
    rig.run(&["cooldown", "agents-0", "--for", "1h"]).exits(0);
    let said = rig.run(&["delete", "worker", "agents-0", "--shrink"]).exits(0).stderr;
    assert!(said.contains("goes with it: another worker does not know of the limit"), "{said}");
    assert!(said.contains("spec.min of pool agents is 1 now; it was 2"), "{said}");
    let left = rig.run(&["get", "workers", "-o", "name"]).exits(0).stdout;
    assert_eq!(left.lines().count(), 1, "{left}");
    for (args, code, message) in [
        (&["delete", "worker", "nope"][..], 3, "\"nope\" not found"),
        (&["delete", "worker"], 2, "which worker? Add its name"),
        (&["delete", "pods", "a"], 2, "expected pool, worker or dispatch"),
        (&["delete", "pool", "agents", "--shrink"], 2, "--shrink and --host-gone are for workers"),
        (&["delete", "worker", "agents-1", "--host-gone"], 4, "the host of worker agents-1 (local) answers"),
        (&["delete", "worker", "agents-1", "--host-gone", "--force"], 2, "cannot be used with"),
    ] {
        let said = rig.run(args).exits(code);
        assert!(said.stderr.contains(message), "{args:?}: {}", said.stderr);
    }
}

#[tokio::test]
async fn a_host_that_never_comes_back_is_given_up_by_a_person() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"paused": true})).await;
    // A worker on a host that does not answer: the engine of this test does not exist.
    let workers: Api<Worker> = Api::default_namespaced(rig.client().await);
    let worker = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker",
        "metadata": {"name": "agents-0", "finalizers": ["poolkeeper.dev/instance"]},
        "spec": {"pool": "agents", "poolGeneration": 1, "runtime": "Docker", "host": "local", "templateHash": "0"},
        "status": {"phase": "Ready", "handle": {"id": "0", "started": "0"}},
    });
    let mut made: Worker =
        workers.create(&PostParams::default(), &serde_json::from_value(worker.clone()).unwrap()).await.unwrap();
    made.status = serde_json::from_value(worker["status"].clone()).unwrap();
    workers.replace_status("agents-0", &PostParams::default(), &made).await.unwrap();
    until("its host is unreachable", || {
        object(&rig, "pool/agents")["status"]["notReady"][0]["reason"] == "HostUnreachable"
    });
    let said = rig.run(&["delete", "worker", "agents-0", "--host-gone"]).exits(2).stderr;
    assert!(said.contains("host local does not answer") && said.contains("Add --yes"), "{said}");
    let said = rig.run(&["delete", "worker", "agents-0", "--timeout", "1s"]).exits(5).stderr;
    assert!(said.contains("is being deleted and still there"), "nothing takes it away: {said}");
    // On a terminal a person types the name.
    let line = "poolkeeper delete worker agents-0 --host-gone";
    if let Some(said) = typed(&rig, line, "agents-1\n") {
        let said = said.exits(130).stdout;
        assert!(said.contains("Type the name of the worker if the host is gone for good:"), "{said}");
        assert!(said.contains("nothing was done: agents-0 was not typed"), "{said}");
        assert!(!object(&rig, "worker/agents-0").is_null());
        let said = typed(&rig, line, "agents-0\n").unwrap().exits(0).stdout;
        assert!(said.contains("worker agents-0 is forgotten"), "{said}");
    } else {
        let said = rig.run(&["delete", "worker", "agents-0", "--host-gone", "--yes"]).exits(0).stderr;
        assert!(said.ends_with("worker agents-0 is forgotten\n"), "{said}");
    }
    assert_eq!(object(&rig, "worker/agents-0"), Value::Null);
}

#[tokio::test]
async fn an_attempt_on_a_host_that_is_given_up_ends_as_forced() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let kind = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let client = rig.client().await;
    let post = PostParams::default();
    let pools: Api<poolkeeper::api::ContainerPool> = Api::default_namespaced(client.clone());
    let pool = kind("ContainerPool", "boxes", json!({"runtime": "Docker", "image": "alpine"}));
    pools.create(&post, &serde_json::from_value(pool).unwrap()).await.unwrap();
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    let task = kind("Dispatch", "task-1", json!({"pool": "boxes", "timeout": "0s"}));
    let task = dispatches.create(&post, &serde_json::from_value(task).unwrap()).await.unwrap();
    let workers: Api<Worker> = Api::default_namespaced(client);
    let spec = json!({"pool": "boxes", "poolGeneration": 1, "runtime": "Docker", "host": "local", "templateHash": "0"});
    let mut worker = kind("Worker", "boxes-0", spec);
    worker["metadata"]["finalizers"] = json!(["poolkeeper.dev/instance"]);
    let mut worker: Worker = workers.create(&post, &serde_json::from_value(worker).unwrap()).await.unwrap();
    // As if the engine had gone away while the task runs.
    let at = "2026-11-29T12:00:00.000000Z";
    let assigned = json!({"phase": "Assigned", "attempt": 1, "assignedAt": at, "worker": {"name": "boxes-0", "uid": worker.metadata.uid}});
    let status = Patch::Merge(json!({"status": assigned}));
    let assigned = dispatches.patch_status("task-1", &Default::default(), &status).await.unwrap();
    assert_eq!(assigned.status.unwrap().attempt, 1);
    let named = json!({"name": "task-1", "uid": task.metadata.uid, "attempt": 1, "assignedAt": at});
    worker.status =
        serde_json::from_value(json!({"phase": "Busy", "handle": {"id": "0", "started": "0"}, "dispatch": named}))
            .unwrap();
    workers.replace_status("boxes-0", &post, &worker).await.unwrap();
    until("the host is seen to be away", || rig.run(&["delete", "worker", "boxes-0", "--host-gone"]).code == 2);
    let said = rig.run(&["delete", "worker", "boxes-0", "--host-gone"]).exits(2).stderr;
    assert!(said.contains("Worker boxes-0 is forgotten, and task-1 ends as Forced. Add --yes"), "{said}");
    rig.run(&["delete", "worker", "boxes-0", "--host-gone", "--yes"]).exits(0);
    until("the attempt has ended", || object(&rig, "dispatch/task-1")["status"]["reason"] == "Forced");
}

#[tokio::test]
async fn a_pool_waits_for_its_busy_workers() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 1})).await;
    let busy = hold(&rig, "agents", "task-1").await;
    let said = rig.run(&["delete", "pool", "agents", "--timeout", "3s"]).exits(5).stderr;
    assert!(said.contains(&format!("the pool is being deleted; waits for {busy} (busy with task-1)")), "{said}");
    assert!(said.contains("--force ends open attempts"), "{said}");
    let said = rig.run(&["delete", "pool", "agents", "--force"]).exits(0).stderr;
    assert!(said.ends_with("pool agents is gone\n"), "{said}");
    assert_eq!(object(&rig, "dispatch/task-1")["status"]["reason"], "Forced");
    rig.run(&["delete", "pool", "agents"]).exits(3);
    create_pool(&rig, "agents", json!({"min": 1})).await;
    let said = rig.run(&["delete", "pool", "agents", "--wait=false"]).exits(0).stderr;
    assert!(said.ends_with("pool agents is being deleted\n"), "{said}");
    until("the pool is gone", || object(&rig, "pool/agents").is_null());
}

/// The pool's status would name a worker for some seconds after its task has ended.
#[tokio::test]
async fn a_deletion_waits_for_the_workers_that_are_busy_now() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 2})).await;
    let first = hold(&rig, "agents", "task-1").await;
    let second = hold(&rig, "agents", "task-2").await;
    let said = rig.run(&["delete", "pool", "agents", "--timeout", "1s"]).exits(5).stderr;
    assert!(said.contains(&format!("{first} (busy with task-1)")), "{said}");
    let uid = object(&rig, "dispatch/task-1")["metadata"]["uid"].as_str().unwrap().to_owned();
    rig.run(&["report", "task-1", "Succeeded", "--uid", &uid, "--attempt", "1"]).exits(0);
    until("the worker is gone", || object(&rig, &format!("worker/{first}")).is_null());
    let said = rig.run(&["delete", "pool", "agents", "--timeout", "1s"]).exits(5).stderr;
    assert!(said.contains(&format!("waits for {second} (busy with task-2); --force")), "{said}");
    assert!(!said.contains("task-1"), "{said}");
    rig.run(&["delete", "pool", "agents", "--force"]).exits(0);
}

#[tokio::test]
async fn dispatches_are_deleted_without_a_loss_of_workers() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 1, "max": 1})).await;
    let busy = hold(&rig, "agents", "task-1").await;
    let uid = || object(&rig, &format!("worker/{busy}"))["metadata"]["uid"].clone();
    let first = uid();
    let dispatches: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    let waits = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": "task-2"}, "spec": {"pool": "agents"},
    });
    dispatches.create(&PostParams::default(), &serde_json::from_value(waits).unwrap()).await.unwrap();
    // One that waits is cancelled first.
    let said = rig.run(&["delete", "dispatch", "task-2"]).exits(0).stderr;
    assert!(said.ends_with("dispatch task-2 is gone\n"), "{said}");
    let said = rig.run(&["delete", "dispatch", "task-1"]).exits(4).stderr;
    assert!(said.contains(&format!("dispatch task-1 runs on worker {busy}: add --wait")), "{said}");
    let patch = json!({"spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
    dispatches.patch("task-1", &Default::default(), &kube::api::Patch::Merge(patch)).await.unwrap();
    rig.run(&["delete", "task/task-1", "--wait"]).exits(0);
    assert_eq!(object(&rig, "dispatch/task-1"), Value::Null);
    until_ready(&rig, 1);
    assert_eq!(uid(), first, "the worker is still the same");
    hold(&rig, "agents", "task-3").await;
    rig.run(&["delete", "dispatch", "task-3", "--force"]).exits(0);
    assert_eq!(object(&rig, "dispatch/task-3"), Value::Null);
    until("its worker was replaced", || ![first.clone(), Value::Null].contains(&uid()));
    rig.run(&["delete", "dispatch", "task-3"]).exits(3);
}
