//! A local server of its own for a test, and the commands on it.
#![allow(clippy::disallowed_methods)] // The tests of the program wait in real time.
#![allow(clippy::return_self_not_must_use)] // A code is checked also where nothing else is.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::TempDir;

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// A directory for a server, and the commands of this package on it.
pub struct Rig {
    program: &'static str,
    dir: TempDir,
    docker: bool,
}

/// How a command ended.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

impl Rig {
    /// `program`: the binary of this package, which Cargo tells to its integration tests alone.
    pub fn new(program: &'static str) -> Self {
        Self { program, dir: tempfile::tempdir().unwrap(), docker: false }
    }

    /// With the Docker Engine of the environment. The others have none: they are about processes.
    pub fn with_docker(program: &'static str) -> Self {
        let mut rig = Self::new(program);
        rig.docker = true;
        rig
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.home().join("kubeconfig")
    }

    /// `poolkeeper local …`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.poolkeeper(&["local"]);
        command.args(args);
        command
    }

    /// `poolkeeper …`, in an environment that names no other server.
    pub fn poolkeeper(&self, args: &[&str]) -> Command {
        let mut command = self.around(self.program);
        command.args(args);
        command
    }

    /// A script of a shell, in which `poolkeeper` is this program.
    pub fn shell(&self, shell: &str, script: &str) -> Command {
        let mut command = self.around(shell);
        let dir = Path::new(self.program).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(["-c", script]).env("PATH", format!("{}:{path}", dir.display()));
        command
    }

    /// Another program, in an environment that names no other server.
    fn around(&self, program: &str) -> Command {
        let mut command = crate::program::command(program);
        command.env("POOLKEEPER_HOME", self.home()).env("HOME", self.dir.path());
        for variable in ["POOLKEEPER_TASK_ID", "POOLKEEPER_TASK_UID", "POOLKEEPER_ATTEMPT", "POOLKEEPER_WORKER"] {
            command.env_remove(variable);
        }
        for variable in ["KUBECONFIG", "POOLKEEPER_CONTEXT", "KUBERNETES_SERVICE_HOST"] {
            command.env_remove(variable);
        }
        if !self.docker {
            command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        }
        command.env("A_TOKEN_OF_THE_SHELL", "secret");
        command.stdin(Stdio::null());
        command
    }

    pub fn local(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().unwrap())
    }

    /// Runs `poolkeeper …` to its end.
    pub fn run(&self, args: &[&str]) -> Said {
        Said::of(self.poolkeeper(args).output().unwrap())
    }

    /// Starts the server.
    #[track_caller]
    pub fn up(&self) -> &Self {
        self.local(&["up"]).exits(0);
        self
    }

    /// The pid of the server.
    pub fn pid(&self) -> i32 {
        std::fs::read_to_string(self.home().join("server.lock")).unwrap().trim().parse().unwrap()
    }

    /// Ends the server as a power cut of the process would.
    pub fn kill(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // Its sockets are closed a moment before its lock is free.
        until("the server is gone", || self.local(&["status"]).stderr.contains("it does not run"));
    }

    /// What a reader of a failed test wants to see of the server.
    fn tell(&self) {
        for what in ["pools", "workers", "dispatches"] {
            // Also when the server is the one that does not answer.
            let said = self.around("timeout").args(["5", self.program, "get", what, "-o", "wide"]).output();
            let Ok(said) = said.map(Said::of) else { return };
            eprintln!("get {what}:\n{}{}", said.stdout, said.stderr);
        }
        let said = std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten().map(|file| file.path());
        let said = said.filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("said.")));
        for file in said.chain([self.home().join("server.log")]) {
            let text = std::fs::read(&file).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("{}:\n{}", file.display(), lines[lines.len().saturating_sub(200)..].join("\n"));
        }
    }

    /// A client of the server, as any program makes one of a kubeconfig.
    pub async fn client(&self) -> Client {
        let file = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        let _ = self.local(&["down", "--force", "--purge"]);
    }
}

/// Waits for a condition.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
