//! `examples/supervisors`: each runs tasks over 5 workers with rate limits, while it and its server are killed repeatedly.
//! No task is lost, no two attempts of a task run at the same time, and what is known to be done does not run again.
//!
//! POOLKEEPER_WHOLE_DAY: with 50 tasks and five kills. Needs kubectl, and a Python with the package `kubernetes`, named by POOLKEEPER_PYTHON. POOLKEEPER_REQUIRE_SUPERVISORS
//! makes their absence a failure.
#![allow(clippy::unwrap_used)]

mod truth;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch};
use poolkeeper_testkit::local_server::{Rig, until};
use poolkeeper_testkit::program::kubectl;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::json;

use self::truth::Truth;

const PROGRAM: &str = env!("CARGO_BIN_EXE_poolkeeper");
/// How long the last start may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// How a supervisor ends before its time: which signal, and whether all its processes get it, as by Ctrl-C, or it alone.
const ENDS: [(Signal, bool); 5] =
    [(Signal::KILL, false), (Signal::INT, true), (Signal::TERM, false), (Signal::KILL, true), (Signal::TERM, true)];

/// How many tasks there are, and how often the supervisor is killed. In CI more than by hand.
fn size() -> (usize, usize) {
    if std::env::var_os("POOLKEEPER_WHOLE_DAY").is_some() { (50, ENDS.len()) } else { (10, 1) }
}

/// A program, if there is one.
fn found(name: &str, at: Option<PathBuf>) -> Option<PathBuf> {
    let found = at.filter(|file| file.exists());
    if found.is_none() {
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_SUPERVISORS").is_none(), "there is no {name}");
        eprintln!("SKIPPED: there is no {name}");
    }
    found
}

/// The PATH of a supervisor: our program, kubectl, and what the machine has.
fn path(kubectl: Option<&Path>) -> std::ffi::OsString {
    let own = [Some(Path::new(PROGRAM)), kubectl].into_iter().flatten().filter_map(Path::parent).map(Path::to_owned);
    let machine = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(own.chain(std::env::split_paths(&machine))).unwrap()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/supervisors").join(name)
}

/// A supervisor that does not outlive the test.
struct Supervisor(Child);

impl Supervisor {
    fn start(mut command: Command, rig: &Rig, kubectl: Option<&Path>) -> Self {
        command.env("KUBECONFIG", rig.kubeconfig()).env("PATH", path(kubectl)).env("POOLKEEPER_HOME", rig.home());
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn().unwrap())
    }
}

/// One of the examples in bash.
fn bash(name: &str, rig: &Rig, truth: &Truth) -> Command {
    let mut command = Command::new(example(name));
    command.env("POOL", "agents").env("STATE", rig.file("state")).arg(truth.tasks()).arg(truth.command());
    command
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Attempts at a task of which a supervisor in bash did not learn how they ended, by its own record: a signal to `acquire` cancels the
/// Dispatch that counted them, and another one follows.
fn unknown(state: &Path, task: &str) -> i32 {
    let files = std::fs::read_dir(state).into_iter().flatten().map(|entry| entry.unwrap().path());
    let of_task = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{task}.")));
    let started = of_task.filter(|path| path.extension().is_some_and(|e| e == "started"));
    let is_unknown = |path: &PathBuf| {
        let ended = std::fs::read_to_string(path.with_extension("ended"));
        ended.map_or(true, |code| code.trim() == "125")
    };
    i32::try_from(started.filter(is_unknown).count()).unwrap()
}

/// A supervisor's day: it is started, killed and started again, until a start ends by itself.
async fn day(kubectl: Option<&Path>, make: impl Fn(&Rig, &Truth) -> Command) {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let (tasks, kills) = size();
    let truth = Truth::new(&rig.file("truth"), tasks);
    let client = rig.client().await;
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"},
        "spec": {"runtime": "Process", "min": 5, "max": 5, "cooldown": "1s"},
    });
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let start = || Supervisor::start(make(&rig, &truth), &rig, kubectl);
    for (round, (signal, group)) in ENDS.into_iter().take(kills).enumerate() {
        let before = truth.lines();
        let mut supervisor = start();
        // Somewhere in the middle of its work.
        until("some tasks began", || truth.lines() >= before + 4 + round || supervisor.0.try_wait().unwrap().is_some());
        let pid = Pid::from_child(&supervisor.0);
        let _ = if group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        supervisor.0.wait().unwrap();
        if round == 0 {
            rig.kill();
            rig.up();
        }
    }
    let mut supervisor = start();
    let dispatches: Api<Dispatch> = Api::default_namespaced(client);
    let mut ended = None;
    let begin = std::time::Instant::now();
    while ended.is_none() && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        ended = supervisor.0.try_wait().unwrap();
    }
    let all = dispatches.list(&ListParams::default()).await.unwrap().items;
    let ended = ended.unwrap_or_else(|| panic!("it does not end: {}", truth.said(&all)));
    assert!(ended.success(), "{ended}: {}", truth.said(&all));
    assert_eq!(all.len(), tasks);
    for dispatch in &all {
        let status = dispatch.status.clone().unwrap();
        assert_eq!(status.phase, DispatchPhase::Succeeded, "{}: {status:?}", dispatch.name_any());
        let retries = status.retries.unwrap_or_default();
        let lost = retries.lost + retries.worker_lost;
        truth.judge(&dispatch.name_any(), lost.max(unknown(&rig.file("state"), &dispatch.name_any())));
    }
    assert!(tasks < 50 || truth.limits() > 0, "no task met a limit");
}

/// What an earlier start left may wait for its Lease, and the lock is taken as long.
#[tokio::test]
async fn a_start_renews_the_lease_before_it_waits_for_what_an_earlier_one_left() {
    let mut examples = vec![("supervisor.sh", None)];
    examples.extend(kubectl().map(|kubectl| ("supervisor-kubectl.sh", Some(kubectl))));
    for (name, kubectl) in examples {
        let rig = Rig::new(PROGRAM);
        rig.up();
        std::fs::create_dir(rig.file("state")).unwrap();
        let lock = std::fs::File::create(rig.file("state/lock")).unwrap();
        lock.lock().unwrap();
        let truth = Truth::new(&rig.file("truth"), 1);
        let _supervisor = Supervisor::start(bash(name, &rig, &truth), &rig, kubectl.as_deref());
        let leases: Api<Lease> = Api::default_namespaced(rig.client().await);
        let renewed = |lease: Option<&Lease>| Some(lease?.spec.as_ref()?.renew_time.as_ref()?.0);
        let changed = async |before| {
            let changes = |lease: Option<&Lease>| renewed(lease) != before;
            let wait = await_condition(leases.clone(), "supervisor-example", changes);
            let lease = tokio::time::timeout(PATIENCE, wait).await;
            renewed(lease.unwrap_or_else(|_| panic!("{name} does not renew its Lease")).unwrap().as_ref())
        };
        let first = changed(None).await;
        assert!(changed(first).await > first);
    }
}

#[tokio::test]
async fn python_with_the_official_client() {
    let Some(python) = found("Python with kubernetes", std::env::var_os("POOLKEEPER_PYTHON").map(PathBuf::from)) else {
        return;
    };
    day(None, |rig, truth| {
        let mut command = Command::new(&python);
        command.arg(example("supervisor.py")).args(["--pool", "agents", "--state"]).arg(rig.file("state"));
        command.arg(truth.tasks()).arg("--").arg(truth.command());
        command
    })
    .await;
}

#[tokio::test]
async fn bash_with_kubectl_alone() {
    let Some(kubectl) = found("kubectl", kubectl()) else { return };
    day(Some(&kubectl), |rig, truth| bash("supervisor-kubectl.sh", rig, truth)).await;
}

#[tokio::test]
async fn bash_with_poolkeeper() {
    day(None, |rig, truth| bash("supervisor.sh", rig, truth)).await;
}
