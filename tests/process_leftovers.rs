//! What becomes of Process workers when those around them die. Everything here is real: this test binary runs
//! itself again as the owner that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use poolkeeper::api::dispatch::Target;
use poolkeeper::clock::Ids;
use poolkeeper::runtime::exec::{Executor, Output, Task, TaskEnd};
use poolkeeper::runtime::process::{ProcessExecutor, ProcessOptions, ProcessRuntime, sweep_leftovers};
use poolkeeper::runtime::{
    Instance, InstanceKey, InstanceSpec, InstanceState, LOCAL_HOST, Observation, Runtime, RuntimeError,
};
use poolkeeper_testkit::subject::{next, process_options, runs, soon, until};

const OWNER_DIR: &str = "POOLKEEPER_TEST_OWNER_DIR";
const OWNER_GRACE: &str = "POOLKEEPER_TEST_OWNER_GRACE_MS";

/// What a worker runs; it leaves something to find: a child in its own session that ignores
/// SIGTERM and has forgotten its environment.
const STUBBORN: &str = "setsid env -i sh -c 'trap \"\" TERM; echo $$; sleep 300; sleep 300' & wait";

fn options(run_dir: &Path, owner_grace: Duration) -> ProcessOptions {
    ProcessOptions { owner_grace, ..process_options(run_dir) }
}

fn idle() -> InstanceSpec {
    InstanceSpec {
        key: InstanceKey { namespace: "default".into(), worker: "pool-0".into(), uid: Ids::random().uid() },
        pool: "pool".into(),
        host: LOCAL_HOST.into(),
        image: None,
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        working_dir: None,
        resources: None,
        mounts: Vec::new(),
        credential: None,
        grace: None,
        protected_for: None,
        pool_uid: "p-1".to_owned(),
        pod_template: None,
    }
}

fn shell(script: &str) -> Task {
    Task { argv: ["sh", "-c", script].map(str::to_owned).to_vec(), ..Task::default() }
}

/// Starts a task that leaves the stubborn child, and returns that one's pid. The task runs on.
async fn stubborn(target: &Target) -> (String, poolkeeper::runtime::exec::Running) {
    let mut running = ProcessExecutor.exec(target, shell(STUBBORN)).await.unwrap();
    let Some(Output::Stdout(pid)) = soon("its pid", running.output.next()).await else { panic!("no pid") };
    let pid = String::from_utf8_lossy(&pid).trim().to_owned();
    assert!(runs(&pid), "{pid}");
    (pid, running)
}

fn workers(run_dir: &Path) -> usize {
    std::fs::read_dir(run_dir.join("workers")).map_or(0, Iterator::count)
}

async fn listed(runtime: &ProcessRuntime) -> Vec<Instance> {
    match next(&mut runtime.observe(LOCAL_HOST)).await {
        Observation::Listed(instances) => instances,
        other => panic!("{other:?}"),
    }
}

/// Not a test: the process that the others kill. Says the pid of a worker's shim, the pid of the stubborn child, and the
/// worker's target.
#[tokio::test]
#[ignore = "run by the other tests"]
async fn owner() {
    let dir = std::env::var(OWNER_DIR).unwrap();
    let grace = std::env::var(OWNER_GRACE).unwrap().parse().unwrap();
    let runtime = ProcessRuntime::new(options(Path::new(&dir), Duration::from_millis(grace))).await.unwrap();
    let instance = runtime.start(&idle()).await.unwrap();
    let (pid, _running) = stubborn(&runtime.target(&instance)).await;
    println!("\nOWNS {} {pid} {}", instance.handle.id, runtime.target(&instance).id);
    std::future::pending::<()>().await;
}

struct Owner {
    process: Child,
    shim: String,
    child: String,
    socket: String,
}

impl Owner {
    fn run(run_dir: &Path, owner_grace: Duration) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "owner", "--ignored", "--nocapture"])
            .env(OWNER_DIR, run_dir)
            .env(OWNER_GRACE, owner_grace.as_millis().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.into_iter().find(|line| line.starts_with("OWNS")).expect("the owner says what it owns");
        let mut words = line.split_whitespace().skip(1).map(str::to_owned);
        let mut word = || words.next().unwrap();
        Self { shim: word(), child: word(), socket: word(), process }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_killed_owner_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Owner::run(dir.path(), Duration::from_millis(200));
    assert!(runs(&owner.shim));
    assert_eq!(workers(dir.path()), 1);
    owner.kill();
    until("the end of all processes", || !runs(&owner.shim) && !runs(&owner.child)).await;
    until("the end of all files", || workers(dir.path()) == 0).await;
}

#[tokio::test]
async fn a_sweep_takes_what_a_dead_run_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Owner::run(dir.path(), Duration::from_secs(1000));
    assert_eq!(sweep_leftovers(dir.path()).await, Ok(Vec::new()), "its owner is alive");
    assert!(runs(&owner.shim) && runs(&owner.child));
    owner.kill();
    let swept = sweep_leftovers(dir.path()).await.unwrap();
    assert_eq!(swept.len(), 1);
    assert!(!runs(&owner.shim) && !runs(&owner.child), "gone before the sweep returns");
    assert_eq!(workers(dir.path()), 0);
    assert_eq!(sweep_leftovers(dir.path()).await, Ok(Vec::new()));
    assert_eq!(sweep_leftovers(&dir.path().join("no-such-run")).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_sweep_finds_what_a_killed_shim_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Owner::run(dir.path(), Duration::from_secs(1000));
    // This child still has its mark: that is how it is found after its shim has ended.
    let target = Target {
        runtime: poolkeeper::api::RuntimeKind::Process,
        host: None,
        id: owner.socket.clone(),
        argv: Vec::new(),
        endpoint: None,
    };
    let mut running = ProcessExecutor.exec(&target, shell("setsid sh -c 'echo $$; sleep 300'")).await.unwrap();
    let Some(Output::Stdout(marked)) = soon("its pid", running.output.next()).await else { panic!("no pid") };
    let marked = String::from_utf8_lossy(&marked).trim().to_owned();
    owner.kill();
    kill(&owner.shim);
    until("the end of the shim", || !runs(&owner.shim)).await;
    assert!(runs(&marked));
    assert_eq!(sweep_leftovers(dir.path()).await.unwrap().len(), 1);
    assert!(!runs(&marked));
    assert_eq!(workers(dir.path()), 0);
    // What left its session and cleared its environment is beyond reach once the shim is dead: see the record of
    // decisions. The shim itself would have ended it.
    kill(&owner.child);
}

#[tokio::test]
async fn a_sweep_does_not_touch_a_process_that_has_the_number_of_a_shim() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Owner::run(dir.path(), Duration::from_millis(100));
    let record_path = std::fs::read_dir(dir.path().join("workers")).unwrap().next().unwrap().unwrap().path();
    let record = std::fs::read_to_string(record_path.join("record.json")).unwrap();
    owner.kill();
    until("the end of the worker", || !runs(&owner.shim) && workers(dir.path()) == 0).await;
    // The same record, but its number is now a bystander's.
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["shim"]["pid"] = bystander.id().into();
    std::fs::create_dir(&record_path).unwrap();
    std::fs::write(record_path.join("record.json"), record.to_string()).unwrap();
    assert_eq!(sweep_leftovers(dir.path()).await.unwrap().len(), 1);
    assert_eq!(workers(dir.path()), 0);
    assert!(bystander.try_wait().unwrap().is_none(), "the bystander was killed");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn a_killed_shim_takes_everything_along() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = ProcessRuntime::new(process_options(dir.path())).await.unwrap();
    let mut observations = runtime.observe(LOCAL_HOST);
    let instance = runtime.start(&idle()).await.unwrap();
    let target = runtime.target(&instance);
    // One in the task's group, one in its own session, one in the shim's session without environment.
    let script = "sleep 300 & echo $!; setsid sh -c 'echo $$; sleep 300' & env -i sh -c 'echo $$; sleep 300' & wait";
    let mut running = ProcessExecutor.exec(&target, shell(script)).await.unwrap();
    let mut said = String::new();
    while said.lines().count() < 3 {
        let Some(Output::Stdout(data)) = soon("three pids", running.output.next()).await else { panic!("{said}") };
        said.push_str(&String::from_utf8_lossy(&data));
    }
    kill(&instance.handle.id);
    // When it is said to have exited, nothing of it runs.
    loop {
        let observation = next(&mut observations).await;
        if let Observation::Changed(Instance { state: InstanceState::Exited(_), .. }) = observation {
            break;
        }
    }
    for pid in said.lines() {
        assert!(!runs(pid), "{pid} of {said:?}");
    }
    while soon("the rest of the output", running.output.next()).await.is_some() {}
    assert!(matches!(soon("the task's end", running.end).await, TaskEnd::Lost(_)));
    runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
    assert_eq!(workers(dir.path()), 0);
}

#[tokio::test]
async fn a_stop_leaves_no_process_and_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = ProcessRuntime::new(process_options(dir.path())).await.unwrap();
    let instance = runtime.start(&idle()).await.unwrap();
    let target = runtime.target(&instance);
    let (pid, _running) = stubborn(&target).await;
    // A directory that its owner may not write, as package caches make them.
    let task = shell("mkdir -p $TMPDIR/a/b && touch $TMPDIR/a/b/c && chmod 500 $TMPDIR/a/b $TMPDIR/a && echo $TMPDIR");
    let mut running = ProcessExecutor.exec(&target, task).await.unwrap();
    let Some(Output::Stdout(tmp)) = soon("its TMPDIR", running.output.next()).await else { panic!("no TMPDIR") };
    let tmp = String::from_utf8_lossy(&tmp).trim().to_owned();
    assert!(tmp.starts_with(&*dir.path().canonicalize().unwrap().to_string_lossy()) && Path::new(&tmp).is_dir());
    runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
    assert!(!runs(&instance.handle.id) && !runs(&pid));
    assert_eq!(workers(dir.path()), 0);
}

#[tokio::test]
async fn a_next_controller_adopts_what_still_runs_and_sees_what_ended() {
    let dir = tempfile::tempdir().unwrap();
    let first = ProcessRuntime::new(process_options(dir.path())).await.unwrap();
    let instance = first.start(&idle()).await.unwrap();
    let ended = InstanceSpec { command: ["sh", "-c", "read x; exit 5"].map(str::to_owned).to_vec(), ..idle() };
    let ended = first.start(&ended).await.unwrap();
    until("its end", || !runs(&ended.handle.id)).await;
    drop(first);
    let second = ProcessRuntime::new(process_options(dir.path())).await.unwrap();
    let instances = listed(&second).await;
    assert_eq!(instances.len(), 2);
    assert!(instances.contains(&instance));
    let seen = instances.iter().find(|i| i.key == ended.key).unwrap();
    assert_eq!(seen.handle, ended.handle);
    assert!(matches!(&seen.state, InstanceState::Exited(exit) if exit.code == Some(5)), "{seen:?}");
    // It is watched as before.
    let mut observations = second.observe(LOCAL_HOST);
    kill(&instance.handle.id);
    loop {
        match next(&mut observations).await {
            Observation::Changed(changed) if changed.key == instance.key => break,
            _ => {}
        }
    }
    for key in [instance.key, ended.key] {
        second.stop(LOCAL_HOST, &key).await.unwrap();
    }
    assert_eq!(workers(dir.path()), 0);
}

#[tokio::test]
async fn a_directory_with_a_living_owner_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let owner = Owner::run(dir.path(), Duration::from_millis(100));
    let refused = ProcessRuntime::new(process_options(dir.path())).await.map(drop);
    let pid = owner.process.id().to_string();
    assert!(matches!(&refused, Err(RuntimeError::Refused(why)) if why.contains(&pid)), "{refused:?}");
    assert!(runs(&owner.shim));
    drop(owner);
    until("the end of all files", || workers(dir.path()) == 0).await;
}

#[tokio::test]
async fn a_deep_run_directory_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("x".repeat(120)).join("y".repeat(120));
    let runtime = ProcessRuntime::new(process_options(&deep)).await.unwrap();
    let instance = runtime.start(&idle()).await.unwrap();
    let task = Task { stdin: Bytes::from_static(b"deep"), ..shell("cat") };
    let mut running = ProcessExecutor.exec(&runtime.target(&instance), task).await.unwrap();
    assert_eq!(soon("its output", running.output.next()).await, Some(Output::Stdout("deep".into())));
    runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
}

fn kill(pid: &str) {
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}
