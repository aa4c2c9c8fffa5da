//! From `up` to `down --purge`.
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::{Value, json};

use crate::PROGRAM;

pub fn pool(name: &str, spec: Value) -> ContainerPool {
    let mut spec = spec;
    spec["runtime"] = "Process".into();
    serde_json::from_value(json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

pub fn dispatch(name: &str, spec: Value) -> Dispatch {
    serde_json::from_value(json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

pub async fn assigned(dispatches: &Api<Dispatch>, name: &str) -> Dispatch {
    phase(dispatches, name, DispatchPhase::Assigned).await
}

pub async fn phase(dispatches: &Api<Dispatch>, name: &str, phase: DispatchPhase) -> Dispatch {
    let is = |d: Option<&Dispatch>| d.and_then(|d| d.status.as_ref()).is_some_and(|s| s.phase == phase);
    let wait = kube::runtime::wait::await_condition(dispatches.clone(), name, is);
    tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn a_server_is_started_once_and_its_objects_outlive_it() {
    let rig = Rig::new(PROGRAM);
    let said = rig.local(&["status"]).exits(3);
    assert_eq!(
        said.stderr,
        format!(
            "poolkeeper: there is no local server in {}: start one with `poolkeeper local up`\n",
            rig.home().display()
        )
    );
    assert_eq!(rig.local(&["env"]).exits(3).stdout, "(exit 3)\n");
    rig.local(&["down"]).exits(0);

    let said = rig.local(&["up"]).exits(0);
    let pid = rig.pid();
    let expected = format!(
        "poolkeeper: the local server runs as process {pid}; its state is in {}\n  to use it with kubectl in this shell: eval \"$(poolkeeper local env)\"\n",
        rig.home().display()
    );
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", expected.as_str()));
    assert_eq!(rig.local(&["up"]).exits(0).stderr, expected, "it is harmless when repeated");
    let second = rig.local(&["up", "--foreground"]).exits(4);
    let taken = format!("poolkeeper: a local server runs already with {}, as process {pid}\n", rig.home().display());
    assert!(second.stderr.ends_with(&taken), "{}", second.stderr);
    let env = rig.local(&["env"]).exits(0).stdout;
    assert_eq!(env, format!("export KUBECONFIG='{}'\n", rig.kubeconfig().display()));
    for (file, mode) in
        [("", 0o700), ("kubeconfig", 0o600), ("access.json", 0o600), ("store.redb", 0o600), ("server.log", 0o600)]
    {
        let found = fs::metadata(rig.home().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file:?}");
    }

    let client = rig.client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let created = pools.create(&PostParams::default(), &pool("agents", json!({"min": 1, "max": 2}))).await.unwrap();
    let kubeconfig = fs::read(rig.kubeconfig()).unwrap();
    rig.kill();
    let said = rig.local(&["status"]).exits(6);
    assert!(said.stderr.contains("it does not run; start it with `poolkeeper local up`"), "{}", said.stderr);
    rig.up();
    assert_ne!(rig.pid(), pid);
    // Clients read it once: neither the port nor the token nor the authority has changed, and they go on.
    assert_eq!(fs::read(rig.kubeconfig()).unwrap(), kubeconfig);
    let found = pools.get("agents").await.unwrap();
    assert_eq!(found.uid(), created.uid());
    let status: Value = serde_json::from_str(&rig.local(&["status", "-o", "json"]).exits(0).stdout).unwrap();
    assert_eq!((&status["pools"], &status["pid"]), (&json!(1), &json!(rig.pid())));

    rig.local(&["up", "--restart"]).exits(0);
    assert_eq!(pools.get("agents").await.unwrap().uid(), created.uid());
    rig.local(&["down"]).exits(0);
    rig.local(&["status"]).exits(6);
    rig.local(&["down", "--purge"]).exits(0);
    assert!(!rig.home().exists());
    rig.local(&["status"]).exits(3);
}

#[tokio::test]
async fn down_is_refused_while_attempts_are_open_and_keeps_rests() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    let workers: Api<Worker> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &pool("agents", json!({"max": 2}))).await.unwrap();
    // One worker rests.
    dispatches.create(&PostParams::default(), &dispatch("limited", json!({"pool": "agents"}))).await.unwrap();
    let uid = assigned(&dispatches, "limited").await.uid();
    let result = json!({"metadata": {"uid": uid}, "spec": {
        "result": {"attempt": 1, "outcome": "RateLimited", "retryAfter": "1h"}, "retry": null,
    }});
    dispatches.patch("limited", &PatchParams::default(), &Patch::Merge(&result)).await.unwrap();
    // A Dispatch that is deleted before its result is taken over ends without a report, and its worker is replaced.
    let closed = |d: Option<&Dispatch>| d.and_then(|d| d.status.as_ref()).is_some_and(|s| s.last_result.is_some());
    let wait = kube::runtime::wait::await_condition(dispatches.clone(), "limited", closed);
    tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.unwrap().unwrap();
    // Whether it is retried or not, it gets no worker that rests.
    dispatches.delete("limited", &DeleteParams::default()).await.unwrap();
    // And one works.
    dispatches.create(&PostParams::default(), &dispatch("long", json!({"pool": "agents"}))).await.unwrap();
    let worker = assigned(&dispatches, "long").await.status.unwrap().worker.unwrap();

    let said = rig.local(&["down"]).exits(4);
    let expected = format!(
        "poolkeeper: 1 attempt is open: long on {}. Wait for the end with --wait, or end them with --force, which counts as the loss of their workers\n",
        worker.name
    );
    assert_eq!(said.stderr, expected);
    assert_eq!(rig.local(&["status"]).code, 0, "a refused `down` changes nothing");
    rig.kill();
    let said = rig.local(&["down"]).exits(4);
    assert!(
        said.stderr.starts_with("poolkeeper: the server does not run, and 1 attempt is open: long on "),
        "{}",
        said.stderr
    );
    rig.up();
    rig.local(&["down", "--force"]).exits(0);

    rig.up();
    let ended = phase(&dispatches, "long", DispatchPhase::Failed).await.status.unwrap();
    assert_eq!(ended.reason.as_deref(), Some("WorkerLost"));
    let resting: Vec<Worker> = workers.list(&Default::default()).await.unwrap().items;
    let rests = |w: &Worker| w.status.as_ref().and_then(|s| s.cooldown.as_ref()).is_some_and(|c| c.until.is_some());
    assert!(resting.iter().any(rests), "the rest is forgotten: {resting:?}");
}

#[tokio::test]
async fn a_worker_whose_finalizer_was_taken_off_is_stopped_like_any_other() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let (pools, workers): (Api<ContainerPool>, Api<Worker>) =
        (Api::default_namespaced(client.clone()), Api::default_namespaced(client));
    pools.create(&PostParams::default(), &pool("agents", json!({"min": 1, "max": 1}))).await.unwrap();
    let is_there = |worker: Option<&Worker>| worker.is_some();
    let wait = kube::runtime::wait::await_condition(workers.clone(), "agents-0", is_there);
    tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.unwrap().unwrap();
    let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    workers.patch("agents-0", &PatchParams::default(), &bare).await.unwrap();
    rig.local(&["down"]).exits(0);
}

/// A pool of one worker, with `job` in it and `next` in its queue; and `down --wait`, which waits for `job`.
async fn waiting_down(rig: &Rig, dispatches: &Api<Dispatch>, pools: &Api<ContainerPool>) -> (Dispatch, Child) {
    pools.create(&PostParams::default(), &pool("agents", json!({"max": 1}))).await.unwrap();
    dispatches.create(&PostParams::default(), &dispatch("job", json!({"pool": "agents"}))).await.unwrap();
    let job = assigned(dispatches, "job").await;
    dispatches.create(&PostParams::default(), &dispatch("next", json!({"pool": "agents"}))).await.unwrap();
    phase(dispatches, "next", DispatchPhase::Pending).await;
    let mut down = rig.command(&["down", "--wait"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(down.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "poolkeeper: waiting: 1 attempt is open: job on agents-0\n");
    until("the server stands down", || rig.local(&["logs"]).stdout.contains(" standing down: nothing is assigned"));
    (job, down)
}

async fn succeeds(dispatches: &Api<Dispatch>, job: &Dispatch) {
    let result = json!({"metadata": {"uid": job.uid()}, "spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
    dispatches.patch(&job.name_any(), &PatchParams::default(), &Patch::Merge(&result)).await.unwrap();
}

#[tokio::test]
async fn down_waits_for_what_is_open_and_leaves_what_is_queued() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    let (job, mut down) = waiting_down(&rig, &dispatches, &pools).await;
    let said = rig.local(&["down"]).exits(4);
    assert!(said.stderr.starts_with("poolkeeper: 1 attempt is open: job on agents-0"), "{}", said.stderr);
    let words = |d: &Dispatch| d.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
    while !words(&dispatches.get("next").await.unwrap()).starts_with("the server stands down: it assigns nothing more")
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    succeeds(&dispatches, &job).await;
    assert!(down.wait().unwrap().success());
    rig.local(&["status"]).exits(6);
    assert!(
        !rig.home().join("process/workers").read_dir().unwrap().flatten().any(|e| e.path().join("socket").exists())
    );
    rig.up();
    assert_eq!(dispatches.get("job").await.unwrap().status.unwrap().phase, DispatchPhase::Succeeded);
    let next = assigned(&dispatches, "next").await.status.unwrap();
    assert_eq!(next.attempt, 1, "no attempt of it began while the server stood down");
}

#[tokio::test]
async fn a_down_that_is_called_off_leaves_the_server_at_work() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    let (job, mut down) = waiting_down(&rig, &dispatches, &pools).await;
    down.kill().unwrap();
    down.wait().unwrap();
    until("the server is at work", || rig.local(&["logs"]).stdout.contains("no longer standing down"));
    succeeds(&dispatches, &job).await;
    assigned(&dispatches, "next").await;
    // With --force nothing is waited for, and the other client has what it waited for.
    let mut down = rig.command(&["down", "--wait"]).stderr(Stdio::null()).spawn().unwrap();
    until("the server stands down", || {
        rig.local(&["logs"]).stdout.matches(" standing down: nothing is assigned").count() == 2
    });
    rig.local(&["down", "--force"]).exits(0);
    assert!(down.wait().unwrap().success());
}

#[tokio::test]
async fn a_backup_is_one_moment_and_goes_on_above_all_versions() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &pool("before", json!({"max": 1}))).await.unwrap();
    let (running, stopped) = (rig.file("running.redb"), rig.file("stopped.redb"));
    rig.local(&["backup", running.to_str().unwrap()]).exits(0);
    let said = rig.local(&["backup", running.to_str().unwrap()]).exits(4);
    assert_eq!(said.stderr, format!("poolkeeper: {} exists: name another file\n", running.display()));
    let after = pools.create(&PostParams::default(), &pool("after", json!({"max": 1}))).await.unwrap();
    rig.local(&["down"]).exits(0);
    rig.local(&["backup", stopped.to_str().unwrap()]).exits(0);
    assert_eq!(fs::metadata(&stopped).unwrap().permissions().mode() & 0o777, 0o600);

    fs::copy(&running, rig.home().join("store.redb")).unwrap();
    rig.up();
    let names =
        |list: kube::core::ObjectList<ContainerPool>| list.iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    let list = pools.list(&Default::default()).await.unwrap();
    let version: u64 = list.metadata.resource_version.clone().unwrap().parse().unwrap();
    assert!(version > after.resource_version().unwrap().parse().unwrap());
    assert_eq!(names(list), ["before"]);
}

#[test]
fn a_damaged_store_is_named_and_left_alone() {
    let rig = Rig::new(PROGRAM);
    rig.up().local(&["down"]).exits(0);
    let store = rig.home().join("store.redb");
    fs::write(&store, "not a store").unwrap();
    let said = rig.local(&["up"]).exits(1);
    assert!(
        said.stderr.starts_with(&format!("poolkeeper: the store {} is damaged: ", store.display())),
        "{}",
        said.stderr
    );
    assert_eq!(fs::read(&store).unwrap(), b"not a store");
    fs::remove_file(&store).unwrap();
}

#[test]
fn a_port_that_is_taken_is_named_and_can_be_changed() {
    let rig = Rig::new(PROGRAM);
    rig.up().local(&["down"]).exits(0);
    let status =
        |rig: &Rig| -> Value { serde_json::from_str(&rig.local(&["status", "-o", "json"]).exits(0).stdout).unwrap() };
    let access: Value = serde_json::from_slice(&fs::read(rig.home().join("access.json")).unwrap()).unwrap();
    let port = u16::try_from(access["port"].as_u64().unwrap()).unwrap();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = rig.local(&["up"]).exits(4);
    assert!(said.stderr.starts_with(&format!("poolkeeper: port {port} of 127.0.0.1: ")), "{}", said.stderr);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    rig.local(&["up", "--port", &free.to_string()]).exits(0);
    assert_eq!(status(&rig)["address"], format!("https://127.0.0.1:{free}"));
    rig.kill();
    rig.up();
    assert_eq!(status(&rig)["address"], format!("https://127.0.0.1:{free}"), "it stays");
}

#[test]
fn a_directory_of_another_machine_is_refused() {
    let rig = Rig::new(PROGRAM);
    rig.up().local(&["down"]).exits(0);
    let file = rig.home().join("installation.json");
    let own = fs::read(&file).unwrap();
    fs::write(&file, r#"{"id":"x","machine":"another"}"#).unwrap();
    let said = rig.local(&["up"]).exits(4);
    assert!(said.stderr.contains("was made on another machine, and its workers are there"), "{}", said.stderr);
    fs::write(&file, own).unwrap();
    rig.up();
}

/// The processes that are servers of the rig, or would become one.
fn servers(rig: &Rig) -> Vec<i32> {
    let home = rig.home().display().to_string().into_bytes();
    let has = |file: &str, words: &[u8]| {
        fs::read(file).is_ok_and(|text| text.windows(words.len()).any(|window| window == words))
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| has(&format!("/proc/{pid}/cmdline"), b"--foreground"))
        .filter(|pid| has(&format!("/proc/{pid}/environ"), &home))
        .collect()
}

#[test]
fn a_server_whose_directory_is_removed_ends() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    assert_eq!(servers(&rig), [rig.pid()]);
    // It may write a file meanwhile.
    until("the directory is removed", || fs::remove_dir_all(rig.home()).is_ok());
    until("the server has ended", || servers(&rig).is_empty());
    assert!(!rig.home().exists());
    rig.up();
    assert_eq!(servers(&rig), [rig.pid()]);
}

#[test]
fn starts_at_the_same_time_are_one_start() {
    let rig = Rig::new(PROGRAM);
    let mut ups: Vec<_> =
        (0..4).map(|_| rig.command(&["up"]).stderr(std::process::Stdio::null()).spawn().unwrap()).collect();
    for up in &mut ups {
        assert!(up.wait().unwrap().success());
    }
    // One that has not looked yet would become the server after `down --purge`, of a directory that no command knows.
    assert_eq!(servers(&rig), [rig.pid()]);
    let logs = rig.local(&["logs"]).exits(0).stdout;
    assert_eq!(logs.matches("poolkeeper local server").count(), 1, "{logs}");
    assert_eq!(rig.local(&["logs", "--tail", "0"]).exits(0).stdout, "");
    until("the log has its line", || rig.local(&["logs"]).stdout.contains("poolkeeper local server"));
}

#[tokio::test]
async fn variables_of_the_server_are_kept_and_not_shown() {
    let rig = Rig::new(PROGRAM);
    let mut up = rig.command(&["up", "--env", "A_TOKEN", "--env", "SSH_AUTH_SOCK=/run/agent"]);
    let said = poolkeeper_testkit::local_server::Said::of(up.env("A_TOKEN", "kept-value").output().unwrap()).exits(0);
    assert!(!said.stderr.contains("kept-value"), "{}", said.stderr);
    let has = |pid: i32, text: &str| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        environment.split(|byte| *byte == 0).any(|variable| variable == text.as_bytes())
    };
    assert!(has(rig.pid(), "A_TOKEN=kept-value") && has(rig.pid(), "SSH_AUTH_SOCK=/run/agent"));
    // From another shell, by a crash, and by an init system: they are settings.
    rig.kill();
    rig.up();
    assert!(has(rig.pid(), "A_TOKEN=kept-value"));
    let pid = rig.pid();
    let status = rig.local(&["status"]).exits(0).stdout;
    assert!(status.contains("variables   A_TOKEN, SSH_AUTH_SOCK\n") && !status.contains("kept-value"), "{status}");
    let json = rig.local(&["status", "-o", "json"]).exits(0).stdout;
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["environment"], json!(["A_TOKEN", "SSH_AUTH_SOCK"]));
    for said in [json, rig.local(&["env"]).exits(0).stdout, rig.local(&["logs"]).exits(0).stdout] {
        assert!(!said.contains("kept-value"), "{said}");
    }
    let mode = fs::metadata(rig.home().join("environment.json")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    for (args, message) in [
        (&["up", "--env", "NOT_SET_ANYWHERE"][..], "NOT_SET_ANYWHERE is not set here"),
        (&["up", "--env", "DOCKER_HOST=x"], "use --docker-host"),
        (&["up", "--env", "A-B=x"], "write NAME or NAME=VALUE"),
    ] {
        let said = rig.local(args).exits(2);
        assert!(said.stderr.contains(message), "{}", said.stderr);
    }
    assert_eq!(rig.pid(), pid, "a refusal changes nothing");
    rig.local(&["up", "--unset-env", "A_TOKEN"]).exits(0);
    assert!(!has(rig.pid(), "A_TOKEN=kept-value") && has(rig.pid(), "SSH_AUTH_SOCK=/run/agent"));
    rig.local(&["down"]).exits(0);
    let foreground = rig.command(&["up", "--foreground"]).stderr(Stdio::null()).spawn().unwrap();
    until("it is ready", || rig.local(&["status"]).code == 0);
    assert_eq!(rig.pid(), i32::try_from(foreground.id()).unwrap(), "it is the process that systemd started");
    assert!(has(rig.pid(), "SSH_AUTH_SOCK=/run/agent"));
    let mut foreground = foreground;
    rig.local(&["down", "--purge"]).exits(0);
    foreground.wait().unwrap();
    assert!(!rig.home().exists());
}
