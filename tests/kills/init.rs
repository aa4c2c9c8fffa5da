//! A real systemd, as the manager of a user's units, that stops and restarts the local server.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kube::Api;
use kube::api::PostParams;
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, until};
use tempfile::TempDir;

use crate::PROGRAM;
use crate::engine::Engine;
use crate::server::{processes, workers};
use crate::supervisor::{Supervisor, dispatches, judge};
use crate::swapped;
use poolkeeper_testkit::truth::Truth;

/// It looks for a booted system in /run, so it gets a /run of its own; and a part of each tree of cgroups.
const START: &str = r#"set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
for cgroup in "$@"; do
  mkdir "$cgroup"
  echo $$ >"$cgroup/cgroup.procs"
done
exec /lib/systemd/systemd --user --unit=poolkeeper-test.target
"#;

/// The manager, with what it started.
struct Systemd {
    manager: Child,
    dir: TempDir,
    cgroups: Vec<PathBuf>,
}

impl Systemd {
    /// None: it is not wanted here, and the test is skipped.
    fn up(docker: &str) -> Option<Self> {
        if std::env::var_os("POOLKEEPER_SYSTEMD").is_none() {
            let name = std::thread::current().name().unwrap_or("?").to_owned();
            // Past the test harness, which keeps the output of tests that pass to itself.
            let why = "POOLKEEPER_SYSTEMD is not set: no systemd may be started, which needs root";
            let mut stderr = std::io::stderr();
            writeln!(stderr, "SKIPPED: {name}: {why}").unwrap();
            return None;
        }
        let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/tmp").unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        std::fs::create_dir(dir.path().join("units")).unwrap();
        std::fs::write(dir.path().join("units/poolkeeper-test.target"), "[Unit]\nDescription=Tests of Poolkeeper\n")
            .unwrap();
        let name = dir.path().file_name().unwrap();
        let trees = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
        let trees = trees.map(Path::new).into_iter().filter(|tree| tree.join("cgroup.procs").exists());
        let cgroups: Vec<PathBuf> = trees.map(|tree| tree.join(name)).collect();
        let mut manager = Command::new("unshare");
        manager.args(["--mount", "sh", "-c", START, "sh"]).args(&cgroups).env("DOCKER_HOST", docker);
        manager.env("XDG_RUNTIME_DIR", dir.path().join("run"));
        // After the colon: what every user's manager has.
        manager.env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().join("units").display()));
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        manager.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let manager = manager.spawn().unwrap();
        let mut systemd = Self { manager, dir, cgroups };
        let socket = systemd.dir.path().join("run/systemd/private");
        until("systemd runs", || {
            let ended = systemd.manager.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", std::fs::read_to_string(systemd.dir.path().join("log")).unwrap());
            socket.exists()
        });
        Some(systemd)
    }

    #[track_caller]
    fn systemctl(&self, args: &[&str]) {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(args).env("XDG_RUNTIME_DIR", self.dir.path().join("run"));
        let said = command.output().unwrap();
        assert!(said.status.success(), "systemctl {args:?}: {}", String::from_utf8_lossy(&said.stderr));
    }

    /// Starts the server as a unit.
    fn start(&self, rig: &Rig, unit: &str) {
        std::fs::write(self.dir.path().join("units/poolkeeper.service"), unit).unwrap();
        self.systemctl(&["daemon-reload"]);
        self.systemctl(&["start", "poolkeeper"]);
        answers(rig);
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // Everything that it started dies with it.
        for cgroup in &self.cgroups {
            let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
        }
        let _ = self.manager.kill();
        let _ = self.manager.wait();
        for cgroup in &self.cgroups {
            // The innermost first. It may take a moment until the last process is gone.
            let remove =
                ["-c", "for n in 1 2 3 4 5; do find \"$0\" -depth -type d -exec rmdir {} + && exit; sleep 0.2; done"];
            let _ = Command::new("sh").args(remove).arg(cgroup).stderr(Stdio::null()).status();
        }
    }
}

#[track_caller]
fn answers(rig: &Rig) {
    until("the server answers", || rig.local(&["status"]).code == 0);
}

/// A server as a unit, with tasks that run until they may end: two in processes, and two in containers if there is an engine.
struct Day {
    rig: Rig,
    truth: Truth,
    pools: Vec<&'static str>,
    supervisors: Vec<Supervisor>,
    // After the server, which it must not start again.
    systemd: Systemd,
    engine: Option<Engine>,
}

impl Day {
    async fn begin(change: impl Fn(&str) -> String) -> Option<Self> {
        let engine = Engine::up();
        let none = "unix:///nonexistent/docker.sock".to_owned();
        let systemd = Systemd::up(&engine.as_ref().map_or(none, Engine::address))?;
        let rig = Rig::with_docker(PROGRAM);
        let truth = Truth::new(&rig.file("truth"), "test -e @DIR@/go");
        let unit = rig.local(&["unit"]).exits(0).stdout;
        systemd.start(&rig, &change(&unit));
        let api: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
        api.create(&PostParams::default(), &processes()).await.unwrap();
        let mut pools = vec!["processes"];
        if engine.is_some() {
            api.create(&PostParams::default(), &swapped::pool("boxes", &truth)).await.unwrap();
            pools.push("boxes");
        }
        let supervisors: Vec<Supervisor> =
            pools.iter().map(|pool| Supervisor::start(&rig, pool, 2, &truth, &truth.tasks(pool, 2))).collect();
        until("all tasks run", || truth.count("begin") == 2 * pools.len());
        Some(Self { rig, truth, pools, supervisors, systemd, engine })
    }

    /// Lets the tasks end. Returns how many attempts ended without a report of how the task ended.
    async fn end(self) -> usize {
        std::fs::write(format!("{}/go", self.truth.dir()), "").unwrap();
        for (pool, supervisor) in self.pools.iter().zip(self.supervisors) {
            supervisor.finish(&self.rig, pool);
        }
        let unknown = judge(&self.truth, &dispatches(&self.rig).await, 2 * self.pools.len());
        let ends = self.truth.ends();
        assert!(ends.values().all(|n| *n == 1), "{}", self.truth.said());
        self.rig.local(&["down", "--force"]).exits(0);
        assert!(self.engine.is_none_or(|engine| engine.containers().is_empty()));
        unknown.lost + unknown.worker_lost
    }
}

#[tokio::test]
async fn the_unit_ends_the_server_alone() {
    let Some(day) = Day::begin(str::to_owned).await else { return };
    let (rig, systemd) = (&day.rig, &day.systemd);
    let (before, begun) = (workers(rig).await, day.truth.count("begin"));
    for _ in 0..2 {
        let pid = rig.pid();
        systemd.systemctl(&["restart", "poolkeeper"]);
        answers(rig);
        assert_ne!(rig.pid(), pid);
    }
    // systemd starts it again after a crash.
    let pid = rig.pid();
    systemd.systemctl(&["kill", "--kill-who=main", "--signal=KILL", "poolkeeper"]);
    until("another server runs", || rig.local(&["status"]).code == 0 && rig.pid() != pid);
    systemd.systemctl(&["stop", "poolkeeper"]);
    systemd.systemctl(&["start", "poolkeeper"]);
    answers(rig);
    assert_eq!((workers(rig).await, day.truth.count("begin")), (before, begun));
    assert_eq!(day.end().await, 0);
}

#[tokio::test]
async fn an_init_system_that_kills_the_whole_cgroup_costs_an_attempt_of_each_process_and_no_task() {
    let whole = |unit: &str| {
        assert!(unit.contains("\nKillMode=process\n"), "{unit}");
        unit.replace("KillMode=process", "KillMode=control-group")
    };
    let Some(day) = Day::begin(whole).await else { return };
    let begun = day.truth.count("begin");
    day.systemd.systemctl(&["restart", "poolkeeper"]);
    answers(&day.rig);
    until("the tasks of processes began again", || day.truth.count("begin") == begun + 2);
    assert_eq!(day.end().await, 2);
}
