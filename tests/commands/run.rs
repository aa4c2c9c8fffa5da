//! `poolkeeper run POOL`: in a pool of a server that others use too.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use poolkeeper::api::Dispatch;
use poolkeeper_testkit::local_server::{Rig, Said, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::PROGRAM;
use crate::acquire::one_worker;
use crate::get::create_pool;

/// A batch of these many tasks. Each appends a line to the file `ran`, then waits for the file `go`.
pub struct Batch {
    pub out: PathBuf,
    ran: PathBuf,
    go: PathBuf,
    args: Vec<String>,
}

impl Batch {
    pub fn new(rig: &Rig, name: &str, pool: &str, tasks: usize) -> Self {
        let (out, file) = (rig.file(name), rig.file(&format!("{name}.txt")));
        let (ran, go) = (rig.file(&format!("{name}.ran")), rig.file(&format!("{name}.go")));
        fs::write(&file, (1..=tasks).map(|n| format!("{name}-{n}\n")).collect::<String>()).unwrap();
        let script = format!(
            "echo $TASK $POOLKEEPER_ATTEMPT >> {}; while [ ! -e {} ]; do sleep 0.1; done; echo done $TASK",
            ran.display(),
            go.display()
        );
        let words = ["run", pool, "--tasks", &file.display().to_string(), "--out", &out.display().to_string()];
        let mut args: Vec<String> = words.map(str::to_owned).into();
        args.extend(["--progress=lines", "--", "sh", "-c", &script].map(str::to_owned));
        Self { out, ran, go, args }
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let mut args = self.args.clone();
        args.splice(2..2, more.iter().map(|word| (*word).to_owned()));
        args
    }

    /// Starts it, and waits until the first tasks run.
    pub fn start(&self, rig: &Rig, more: &[&str], running: usize) -> Child {
        let args = self.args(more);
        let mut command = rig.poolkeeper(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("the first tasks run", || self.ran().len() >= running);
        child
    }

    pub fn let_go(&self) {
        fs::write(&self.go, "").unwrap();
    }

    /// Which tasks were started, with their attempts.
    pub fn ran(&self) -> Vec<String> {
        fs::read_to_string(&self.ran).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    pub fn result(&self, line: usize) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.out.join(format!("line-{line}/result.json"))).unwrap()).unwrap()
    }
}

pub fn ended(child: Child) -> Said {
    Said::of(child.wait_with_output().unwrap())
}

fn run_id(out: &Path) -> String {
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join(".poolkeeper/run.json")).unwrap()).unwrap();
    record["runId"].as_str().unwrap().chars().take(8).collect()
}

async fn leases(rig: &Rig) -> Vec<Lease> {
    Api::<Lease>::default_namespaced(rig.client().await).list(&Default::default()).await.unwrap().items
}

#[tokio::test]
async fn a_batch_runs_in_the_workers_of_a_pool() {
    let rig = one_worker().await;
    fs::write(rig.file("t.txt"), "a\nb\nc\n").unwrap();
    let script = "echo out $TASK; echo err >&2; case $TASK in b) exit 3;; c) [ $POOLKEEPER_ATTEMPT = 2 ] || \
                  { echo '{\"outcome\":\"RateLimited\",\"retryAfter\":\"100ms\"}' > $POOLKEEPER_RESULT; };; esac";
    let (tasks, out) = (rig.file("t.txt").display().to_string(), rig.file("out").display().to_string());
    let args = ["run", "agents", "--tasks", &tasks, "--out", &out, "--progress=lines", "--", "sh", "-c", script];
    let said = rig.run(&args).exits(1);
    for line in ["out a\n", "out b\n", "out c\n"] {
        assert!(said.stdout.contains(line), "{}", said.stdout);
    }
    for text in ["using the local server", "3 tasks to run; up to 1 worker (Process)", "rate limited", "2 succeeded"] {
        assert!(said.stderr.contains(text), "{text}: {}", said.stderr);
    }
    let read = |path: &str| fs::read_to_string(rig.file("out").join(path)).unwrap();
    assert_eq!((read("line-2/stdout"), read("line-2/stderr")), ("out b\n".to_owned(), "err\n".to_owned()));
    assert!(read("line-3/result.json").contains("\"attempts\": 2"), "{}", read("line-3/result.json"));

    // Names and labels say which run it is, and its Lease is gone.
    let run = run_id(&rig.file("out"));
    let dispatches: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    for dispatch in dispatches.list(&Default::default()).await.unwrap() {
        let name = dispatch.metadata.name.unwrap();
        assert!(name.starts_with(&format!("{run}-00000000")), "{name}");
        assert_eq!(dispatch.metadata.labels.unwrap()["poolkeeper.dev/run"], run);
        assert_eq!(dispatch.spec.lease_name.unwrap(), format!("poolkeeper-run-{run}"));
    }
    assert_eq!(leases(&rig).await, []);
}

#[tokio::test]
async fn a_single_command_ends_as_it_would_here() {
    let rig = one_worker().await;
    let code = |args: &[&str], code| rig.run(&[&["run", "agents"], args].concat()).exits(code);
    assert_eq!(code(&["--", "sh", "-c", "echo out; echo err >&2; exit 9"], 9).stdout, "out\n");
    let said = code(&["--", "no-such-program"], 127);
    assert!(said.stderr.contains("no-such-program cannot be run in a worker"), "{}", said.stderr);
    code(&["--", "/etc/passwd"], 126);
    code(&["--", "sh", "-c", "kill -9 $$"], 137);
    let said = code(&["--timeout", "200ms", "--", "sleep", "300"], 124);
    assert!(said.stderr.contains("timed out"), "{}", said.stderr);
    let script = "printf 'some text' | poolkeeper run agents -- wc -c";
    assert_eq!(Said::of(rig.shell("sh", script).output().unwrap()).exits(0).stdout.trim(), "9");
    assert_eq!(leases(&rig).await, []);
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_runs() {
    let rig = Rig::new(PROGRAM);
    let refused = |args: &[&str], code, words: &str| {
        let said = rig.run(&[args, &["--", "true"]].concat()).exits(code);
        assert!(said.stderr.contains(words), "{args:?}: {}", said.stderr);
    };
    refused(&["run", "agents"], 6, "there is no server to talk to");
    rig.up();
    refused(&["run"], 2, "name the pool, or add --local");
    refused(&["run", "agents"], 3, "there is no pool \"agents\" in namespace default of the local server");
    refused(&["run", "a?b"], 2, "\"a?b\" is no name");
    refused(&["run", "agents", "--image", "alpine"], 2, "--image describes a pool for this run alone: add --local");
    refused(&["run", "--local", "-n", "x"], 2, "--local uses no server: leave out -n x");
    refused(&["run", "--local", "--patience", "1m"], 2, "cannot be used with");
    create_pool(&rig, "agents", json!({"max": 1})).await;
    refused(&["run", "agents", "--tasks", "/nonexistent"], 3, "--tasks /nonexistent");
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let rig = one_worker().await;
    let batch = Batch::new(&rig, "patient", "agents", 2);
    let run = batch.start(&rig, &[], 1);
    rig.local(&["up", "--restart"]).exits(0);
    rig.kill();
    batch.let_go();
    until("the task has ended", || batch.out.join("line-1/result.json").exists());
    rig.up();
    let said = ended(run).exits(0);
    for words in ["the server is away", "waiting for it for 5m (--patience)", "the server is back", "2 succeeded"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert_eq!(batch.ran(), ["patient-1 1", "patient-2 1"], "nothing ran twice");
    assert_eq!(leases(&rig).await, []);
}

#[tokio::test]
async fn patience_has_an_end() {
    let rig = one_worker().await;
    let batch = Batch::new(&rig, "hasty", "agents", 1);
    let run = batch.start(&rig, &["--patience", "1s"], 1);
    rig.kill();
    let said = ended(run).exits(125);
    assert!(said.stderr.contains("the server has been away for 1s (--patience)"), "{}", said.stderr);
    assert!(said.stderr.contains("rerun with --out and --resume to continue"), "{}", said.stderr);
    rig.up();
    batch.let_go();
    // What was left there is ended first.
    ended(batch.start(&rig, &["--resume"], 2)).exits(0);
    assert_eq!(batch.ran(), ["hasty-1 1", "hasty-1 1"]);
}

#[tokio::test]
async fn a_server_that_stands_down_is_waited_for() {
    let rig = one_worker().await;
    let batch = Batch::new(&rig, "down", "agents", 2);
    let run = batch.start(&rig, &[], 1);
    let down = rig.command(&["down", "--wait"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it stands down", || rig.local(&["down"]).stderr.contains("open"));
    batch.let_go();
    Said::of(down.wait_with_output().unwrap()).exits(0);
    rig.up();
    let said = ended(run).exits(0);
    assert!(said.stderr.contains("the server is away") && said.stderr.contains("2 succeeded"), "{}", said.stderr);
    assert_eq!(batch.ran(), ["down-1 1", "down-2 1"]);
}

#[tokio::test]
async fn a_full_queue_is_waited_out() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 1, "max": 1, "dispatch": {"queueLimit": 1}})).await;
    rig.run(&["acquire", "agents", "--task", "busy"]).exits(0);
    let batch = Batch::new(&rig, "full", "agents", 3);
    batch.let_go();
    let run = batch.start(&rig, &[], 0);
    let refused = || rig.run(&["get", "dispatches"]).stdout.contains("QueueFull");
    until("the queue is full", refused);
    rig.run(&["report", "busy", "Succeeded"]).exits(0);
    let said = ended(run).exits(0);
    assert!(said.stderr.contains("3 succeeded"), "{}", said.stderr);
    assert_eq!(batch.ran().len(), 3);
}

#[tokio::test]
async fn a_run_that_was_killed_is_resumed() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 2, "max": 2})).await;
    let batch = Batch::new(&rig, "killed", "agents", 3);
    let run = batch.start(&rig, &[], 2);
    let former = run_id(&batch.out);
    kill_process(Pid::from_child(&run), Signal::KILL).unwrap();
    ended(run).exits(-1);
    batch.let_go();
    let said = ended(batch.start(&rig, &["--resume"], 2)).exits(0);
    assert!(said.stderr.contains("waiting for the end of what the earlier run left"), "{}", said.stderr);
    assert_eq!(batch.result(1)["outcome"], "Succeeded");
    assert_ne!(run_id(&batch.out), former);
    // Nothing of the earlier one is open, and its Lease is gone.
    let dispatches: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    for dispatch in dispatches.list(&Default::default()).await.unwrap() {
        assert!(dispatch.status.unwrap().phase.is_final());
    }
    assert_eq!(leases(&rig).await, []);
    assert!(!fs::read_to_string(batch.out.join(".poolkeeper/run.json")).unwrap().contains("former"));
}

#[tokio::test]
async fn a_signal_gives_back_what_the_run_holds() {
    let rig = one_worker().await;
    let batch = Batch::new(&rig, "stopped", "agents", 3);
    let run = batch.start(&rig, &[], 1);
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    ended(run).exits(130);
    let cancelled = || rig.run(&["get", "dispatches"]).stdout.lines().filter(|l| l.contains(" Cancelled ")).count();
    until("all is cancelled", || cancelled() == 2);
    assert_eq!(leases(&rig).await, []);
    batch.let_go();
    ended(batch.start(&rig, &["--resume"], 1)).exits(0);
}

#[tokio::test]
async fn two_runs_share_a_pool() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 2, "max": 2})).await;
    let (one, other) = (Batch::new(&rig, "one", "agents", 6), Batch::new(&rig, "other", "agents", 6));
    one.let_go();
    other.let_go();
    let (first, second) = (one.start(&rig, &[], 0), other.start(&rig, &[], 0));
    for (run, batch) in [(first, &one), (second, &other)] {
        let said = ended(run).exits(0);
        assert!(said.stderr.contains("6 succeeded"), "{}", said.stderr);
        assert_eq!(batch.ran().len(), 6, "nothing ran twice");
    }
}

#[tokio::test]
async fn a_pool_that_is_deleted_ends_the_run() {
    let rig = one_worker().await;
    let batch = Batch::new(&rig, "orphan", "agents", 4);
    let run = batch.start(&rig, &[], 1);
    let delete = rig.poolkeeper(&["delete", "pool", "agents"]).stderr(Stdio::null()).spawn().unwrap();
    until("it is being deleted", || {
        rig.run(&["get", "pool", "agents", "-o", "yaml"]).stdout.contains("deletionTimestamp:")
    });
    batch.let_go();
    let said = ended(run).exits(125);
    assert!(said.stderr.contains("pool agents was deleted"), "{}", said.stderr);
    assert_eq!(batch.ran(), ["orphan-1 1"]);
    Said::of(delete.wait_with_output().unwrap()).exits(0);
}

#[tokio::test]
async fn old_leases_of_runs_are_removed_and_no_others() {
    let rig = one_worker().await;
    let api: Api<Lease> = Api::default_namespaced(rig.client().await);
    let make = async |name: &str, run: bool, renewed: &str| {
        let mut labels = vec![("app.kubernetes.io/managed-by".to_owned(), "poolkeeper".to_owned())];
        labels.extend(run.then(|| ("poolkeeper.dev/run".to_owned(), "00000000".to_owned())));
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.into_iter().collect()),
            ..ObjectMeta::default()
        };
        api.create(&PostParams::default(), &Lease { metadata, spec: None }).await.unwrap();
        let spec = json!({"spec": {"renewTime": renewed, "leaseDurationSeconds": 60}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&spec)).await.unwrap();
    };
    let now = poolkeeper::clock::Clock::now(&poolkeeper::clock::SystemClock::new());
    make("old", true, "2020-01-01T00:00:00.000000Z").await;
    make("of-a-person", false, "2020-01-01T00:00:00.000000Z").await;
    make("new", true, &format!("{now:.6}")).await;
    rig.run(&["run", "agents", "--", "true"]).exits(0);
    let names: Vec<_> = leases(&rig).await.into_iter().map(|lease| lease.metadata.name.unwrap()).collect();
    assert_eq!(names, ["new", "of-a-person"]);
}
