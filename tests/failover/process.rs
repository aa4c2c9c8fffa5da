//! A `poolkeeper controller` as a process of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};

use poolkeeper_testkit::program;
use rustix::process::{Pid, Signal, kill_process};

/// Short times of an election: how long the Lease holds, how long its holder goes on, how often it is looked at.
pub const LEASE: u64 = 3;
const ELECTION: [&str; 4] = ["--leader-elect", "--lease-duration=3s", "--renew-deadline=2s", "--retry-period=500ms"];

/// Ended by `kill -9` when dropped.
pub struct Controller {
    /// With which its identity in the Lease begins.
    pub name: String,
    child: Child,
}

impl Controller {
    /// Starts one that keeps the pools of a namespace, and has its Lease there; `elect`: together with others.
    pub fn start(name: &str, kubeconfig: &Path, namespace: &str, dir: &Path, elect: bool) -> Self {
        let log = dir.join(format!("{name}.log"));
        let mut command = program::command(env!("CARGO_BIN_EXE_poolkeeper"));
        command.arg("controller").arg("--kubeconfig").arg(kubeconfig).args(["--http-bind", "127.0.0.1:0"]);
        command.args(["--namespace", namespace, "--lease-namespace", namespace]);
        if elect {
            command.args(ELECTION);
        }
        let out = || File::options().create(true).append(true).open(&log).unwrap();
        let level = std::env::var("POOLKEEPER_LOG").unwrap_or_else(|_| "warn,poolkeeper=info".to_owned());
        command.env("POD_NAME", name).env("POOLKEEPER_LOG", level);
        command.stdin(Stdio::null()).stdout(out()).stderr(out());
        Self { name: name.to_owned(), child: command.spawn().unwrap() }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it still is: None while it runs.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
