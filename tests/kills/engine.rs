//! Docker Engines of the tests' own.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub const IMAGE: &str = "poolkeeper-test:1";

/// An engine with its state, taken down at the end.
pub struct Engine(TempDir);

impl Engine {
    /// None: no engine may be started here, and the test is skipped.
    pub fn up() -> Option<Self> {
        if std::env::var_os("POOLKEEPER_DOCKERD_PRIVATE").is_none() {
            let why = "POOLKEEPER_DOCKERD_PRIVATE is not set: no dockerd may be started";
            assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "{why}");
            // Past the test harness, which keeps the output of tests that pass to itself.
            let mut stderr = std::io::stderr();
            writeln!(stderr, "SKIPPED: {}: {why}", std::thread::current().name().unwrap_or("?")).unwrap();
            return None;
        }
        // Short, since the path of a socket may have 107 characters.
        let engine = Self(tempfile::Builder::new().prefix("pk").tempdir_in("/tmp").unwrap());
        engine.script("docker-up.sh");
        engine.script("docker-image.sh");
        Some(engine)
    }

    fn command(&self, script: &str) -> Command {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
        let mut command = Command::new(path);
        command.arg(self.0.path()).env_remove("DOCKER_HOST");
        command
    }

    fn script(&self, script: &str) {
        let done = self.command(script).output().unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn socket(&self) -> PathBuf {
        self.0.path().join("docker.sock")
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Runs `docker …` on it.
    pub fn docker(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } =
            Command::new("docker").args(args).env("DOCKER_HOST", self.address()).output().unwrap();
        assert!(status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap().trim().to_owned()
    }

    pub fn id(&self) -> String {
        self.docker(&["info", "--format", "{{.ID}}"])
    }

    /// All containers of pools, by id.
    pub fn containers(&self) -> Vec<String> {
        let all = self.docker(&["ps", "-aq", "--no-trunc", "--filter", "label=poolkeeper.dev/pool"]);
        let mut all: Vec<String> = all.lines().map(str::to_owned).collect();
        all.sort();
        all
    }

    /// Sends a signal to dockerd and its containerd.
    pub fn signal(&self, signal: Signal) {
        for file in ["dockerd.pid", "exec/containerd/containerd.pid"] {
            let pid = std::fs::read_to_string(self.0.path().join(file)).unwrap();
            kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), signal).unwrap();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.command("docker-down.sh").env("WIPE", "1").output();
    }
}
