//! Two supervisors: `examples/supervisors/supervisor.sh` on a local server, and `run --local`.
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::ListParams;
use poolkeeper::api::Dispatch;
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper_testkit::local_server::Rig;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::engine::IMAGE;
use poolkeeper_testkit::truth::Truth;

/// How long all its tasks may take.
const PATIENCE: Duration = Duration::from_mins(15);

/// One that runs. It does not outlive the test.
pub struct Supervisor(Child);

impl Supervisor {
    /// Runs the tasks of a file in the workers of a pool.
    pub fn start(rig: &Rig, pool: &str, slots: usize, truth: &Truth, tasks: &Path) -> Self {
        let script = example("supervisor.sh");
        let command = format!("exec {} {} {}", script.display(), tasks.display(), truth.command());
        Self::of(rig, pool, slots, &command)
    }

    /// A command that is one of the examples.
    pub fn of(rig: &Rig, pool: &str, slots: usize, command: &str) -> Self {
        let said = std::fs::File::create(rig.file(&format!("said.{pool}"))).unwrap();
        let mut shell = rig.shell("bash", command);
        shell.env("POOL", pool).env("NAME", pool).env("SLOTS", slots.to_string()).env("STATE", rig.file(pool));
        shell.env("KUBECONFIG", rig.kubeconfig());
        shell.stdout(said.try_clone().unwrap()).stderr(said).process_group(0);
        Self(shell.stdin(Stdio::null()).spawn().unwrap())
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// True if it ended, and not well.
    pub fn has_failed(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some_and(|ended| !ended.success())
    }

    /// Ends it, or all its processes, as Ctrl-C does.
    pub fn end(mut self, signal: Signal, all: bool) {
        let pid = Pid::from_child(&self.0);
        let _ = if all { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        self.0.wait().unwrap();
        // What is left of it goes on.
        std::mem::forget(self);
    }

    /// Waits until all its tasks have succeeded.
    #[track_caller]
    pub fn finish(mut self, rig: &Rig, pool: &str) {
        ends_well(&mut self.0, rig, pool);
    }
}

pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/supervisors").join(name)
}

/// A `run --local` in two containers. It does not outlive the test.
pub struct Batch(Child);

impl Batch {
    /// `host`: the address of the engine. Results go to the directory `name`.
    pub fn start(rig: &Rig, name: &str, host: &str, truth: &Truth, tasks: &Path) -> Self {
        let mut run = rig.poolkeeper(&[
            "run",
            name,
            "--local",
            "--backoff",
            "0s",
            "--workers",
            "2",
            "--progress",
            "lines",
            "--image",
            IMAGE,
        ]);
        run.arg("--mount").arg(format!("{}:{}:rw", truth.dir(), truth.dir())).arg("--tasks").arg(tasks);
        run.arg("--out").arg(rig.file(name)).args(["--", "sh", "-c", &format!("exec {} \"$TASK\"", truth.command())]);
        let said = std::fs::File::create(rig.file(&format!("said.{name}"))).unwrap();
        Self(run.env("DOCKER_HOST", host).stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap())
    }

    /// Waits until it has ended well. Returns what it printed.
    #[track_caller]
    pub fn finish(mut self, rig: &Rig, name: &str) -> String {
        ends_well(&mut self.0, rig, name)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn ends_well(child: &mut Child, rig: &Rig, name: &str) -> String {
    let begin = Instant::now();
    let said = || std::fs::read_to_string(rig.file(&format!("said.{name}"))).unwrap_or_default();
    let ended = loop {
        match child.try_wait().unwrap() {
            Some(ended) => break ended,
            None => assert!(begin.elapsed() < PATIENCE, "the tasks of {name} do not end: {}", said()),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(ended.success(), "{ended}: {}", said());
    said()
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Attempts that did not end with a report of how the task ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// The holder did not know.
    pub lost: usize,
    /// The container or process was gone.
    pub worker_lost: usize,
}

/// Every task succeeded, and ran to its end once; or once more for each attempt of which that was not known.
#[track_caller]
pub fn judge(truth: &Truth, all: &[Dispatch], tasks: usize) -> Unknown {
    truth.check();
    assert_eq!(all.len(), tasks);
    let ends = truth.ends();
    let mut sum = Unknown::default();
    for dispatch in all {
        let (name, status) = (dispatch.metadata.name.clone().unwrap(), dispatch.status.clone().unwrap());
        assert_eq!(status.phase, DispatchPhase::Succeeded, "{name}: {status:?}");
        let retries = status.retries.unwrap_or_default();
        let [lost, worker_lost] = [retries.lost, retries.worker_lost].map(|n| usize::try_from(n).unwrap());
        let ended = ends.get(&name).copied().unwrap_or_default();
        let most = 1 + lost + worker_lost;
        assert!((1..=most).contains(&ended), "{name} ended {ended} times, at most {most}: {}", truth.said());
        sum = Unknown { lost: sum.lost + lost, worker_lost: sum.worker_lost + worker_lost };
    }
    println!("{sum:?}");
    sum
}

/// All dispatches there are.
pub async fn dispatches(rig: &Rig) -> Vec<Dispatch> {
    let api: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    api.list(&ListParams::default()).await.unwrap().items
}
