//! An engine that is stopped, and a network that is cut, while tasks run on all hosts.
use std::process::{Child, Command, Stdio};

use poolkeeper_testkit::local_server::until;
use serde_json::{Value, json};

use crate::hosts::{Hosts, NAMES};
use poolkeeper_testkit::truth::Truth;

/// A batch that runs. It does not outlive the test.
struct Batch(Child);

impl Batch {
    /// Each task is run until it succeeds. Its end may be lost with an engine.
    fn start(hosts: &Hosts, pool: &str, truth: &Truth, count: usize) -> Self {
        let tasks = truth.tasks(pool, count);
        let mut run = hosts.rig.poolkeeper(&["run", pool, "--progress", "lines", "--tasks", tasks.to_str().unwrap()]);
        run.arg("--out").arg(hosts.rig.file(pool)).args([
            "--",
            "sh",
            "-c",
            &format!("exec {} \"$TASK\"", truth.command()),
        ]);
        hosts.around(&mut run);
        let said = std::fs::File::create(hosts.rig.file(&format!("said.{pool}"))).unwrap();
        Self(run.stdout(said.try_clone().unwrap()).stderr(said).stdin(Stdio::null()).spawn().unwrap())
    }

    /// Waits until it has ended. Every task must have ended in one way or the other.
    fn finish(mut self, hosts: &Hosts, pool: &str, count: usize) -> String {
        let mut ended = None;
        until_in(20, "the batch has ended", || {
            ended = self.0.try_wait().unwrap();
            ended.is_some()
        });
        let said = std::fs::read_to_string(hosts.rig.file(&format!("said.{pool}"))).unwrap();
        assert!(ended.is_some_and(|ended| ended.success()), "{said}");
        assert!(said.contains(&format!("{count} succeeded")), "{said}");
        said
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As `until`, for so many of its limits.
fn until_in(limits: u32, what: &str, mut holds: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(60) * limits, "not within {limits} min: {what}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn pool(hosts: &Hosts, name: &str, truth: &Truth) {
    let more = json!({
        "mounts": [{"hostPath": truth.dir(), "mountPath": truth.dir(), "readOnly": false}],
    });
    hosts.filled(name, &NAMES, 6, more);
    for host in NAMES {
        assert_eq!(hosts.containers(host).len(), 2, "{host}");
    }
}

/// Name and uid of the workers of a host.
fn workers(hosts: &Hosts, host: &str) -> Vec<(String, String)> {
    let list = hosts.json(&["get", "workers", "--host", host, "-o", "json"]);
    let one = |w: &Value| {
        let text = |field: &str| w["metadata"][field].as_str().unwrap().to_owned();
        (text("name"), text("uid"))
    };
    let mut all: Vec<_> = list["items"].as_array().unwrap().iter().map(one).collect();
    all.sort();
    all
}

fn ordinals(workers: &[(String, String)]) -> Vec<&str> {
    workers.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn an_engine_that_is_stopped_and_started_again() {
    let Some(hosts) = Hosts::find().map(Hosts::with_file) else { return };
    hosts.poolkeeper(&["local", "up"]).exits(0);
    let truth = Truth::new(&hosts.rig.file("truth"), "test $n -ge 10 && test -e @DIR@/go");
    pool(&hosts, "stopped", &truth);
    let others = [workers(&hosts, "local"), workers(&hosts, "tls")].concat();
    let remain = || {
        let now = [workers(&hosts, "local"), workers(&hosts, "tls")].concat();
        others.iter().all(|worker| now.contains(worker))
    };
    let batch = Batch::start(&hosts, "stopped", &truth, 60);
    until("six tasks run", || truth.count("begin") >= 6);

    hosts.script("docker-down.sh", "far");
    until("the host says that it cannot be reached", || !hosts.unreachable("stopped", "far").is_empty());
    // The others work on. An engine that is stopped ends its containers, and may still say so: then their workers are replaced.
    std::fs::write(format!("{}/go", truth.dir()), "").unwrap();
    until("the others work on", || truth.count("end") >= 12);
    assert!(remain());
    hosts.script("docker-up.sh", "far");
    Command::new("chown").arg("pk-far").arg(hosts.dir.join("far/docker.sock")).status().unwrap();
    until("the host can be reached", || hosts.unreachable("stopped", "far").is_empty());
    let said = batch.finish(&hosts, "stopped", 60);
    truth.check();
    assert!(truth.ends().len() == 60, "{said}{}", truth.said());
    hosts.ready("stopped", 6);
    assert!(remain());
    hosts.end();
}

#[test]
fn a_network_that_is_cut_and_mended() {
    let Some(hosts) = Hosts::find().map(Hosts::with_file) else { return };
    hosts.poolkeeper(&["local", "up"]).exits(0);
    let truth = Truth::new(&hosts.rig.file("truth"), "test $n -ge 10 && test -e @DIR@/go");
    pool(&hosts, "cut", &truth);
    let (others, names) = ((workers(&hosts, "local"), workers(&hosts, "far")), workers(&hosts, "tls"));
    let batch = Batch::start(&hosts, "cut", &truth, 24);
    until("six tasks run", || truth.count("begin") == 6);
    let before = hosts.containers("tls");

    let link = std::fs::read_to_string(hosts.dir.join("net")).unwrap().trim().to_owned() + "-a";
    let set = |state: &str| assert!(Command::new("ip").args(["link", "set", &link, state]).status().unwrap().success());
    set("down");
    // Nothing closes the streams: only the silence tells.
    until_in(4, "the host says that it cannot be reached", || !hosts.unreachable("cut", "tls").is_empty());
    until_in(4, "the attempts there are lost", || {
        std::fs::read_to_string(hosts.rig.file("said.cut")).unwrap().matches("lost").count() >= 2
    });
    // The tasks there run on: none is repeated, and no worker takes the place of another.
    assert_eq!((hosts.containers("tls"), ordinals(&workers(&hosts, "tls"))), (before, ordinals(&names)));
    assert_eq!(truth.count("begin"), 6);
    std::fs::write(format!("{}/go", truth.dir()), "").unwrap();
    until("the others work on", || truth.count("end") >= 12);
    for host in ["local", "far"] {
        assert_eq!(hosts.containers(host).len(), 2, "{host}");
    }
    set("up");
    until_in(4, "the host can be reached", || hosts.unreachable("cut", "tls").is_empty());
    let said = batch.finish(&hosts, "cut", 24);
    truth.check();
    let ends = truth.ends();
    assert!(ends.len() == 24 && ends.values().all(|n| *n <= 2), "{said}{}", truth.said());
    hosts.ready("cut", 6);
    assert_eq!((workers(&hosts, "local"), workers(&hosts, "far")), others);
    hosts.end();
}

/// Ends every ssh of the tests, as a network does that breaks its connections.
fn kill_ssh(hosts: &Hosts) -> usize {
    let config = hosts.dir.join("ssh/config").display().to_string();
    let mut killed = 0;
    for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        let pid = process.file_name().to_string_lossy().parse().ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| words.contains(&config) && words.contains("dial-stdio")) {
            killed += usize::from(rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok());
        }
    }
    killed
}

/// The streams there end, so their attempts are Lost; the tasks may run on, and none runs twice at a time.
#[test]
fn connections_of_ssh_that_break() {
    let Some(hosts) = Hosts::find().map(Hosts::with_file) else { return };
    hosts.poolkeeper(&["local", "up"]).exits(0);
    let truth = Truth::new(&hosts.rig.file("truth"), "test $n -ge 10 && test -e @DIR@/go");
    pool(&hosts, "broken", &truth);
    let others = (workers(&hosts, "local"), workers(&hosts, "tls"));
    let batch = Batch::start(&hosts, "broken", &truth, 24);
    until("six tasks run", || truth.count("begin") == 6);
    assert!(kill_ssh(&hosts) > 0, "no ssh ran");
    until_in(4, "the attempts there are lost", || {
        std::fs::read_to_string(hosts.rig.file("said.broken")).unwrap().matches("lost").count() >= 2
    });
    std::fs::write(format!("{}/go", truth.dir()), "").unwrap();
    until_in(4, "the host can be reached", || hosts.unreachable("broken", "far").is_empty());
    let said = batch.finish(&hosts, "broken", 24);
    truth.check();
    let ends = truth.ends();
    assert!(ends.len() == 24 && ends.values().all(|n| *n <= 2), "{said}{}", truth.said());
    hosts.ready("broken", 6);
    assert_eq!((workers(&hosts, "local"), workers(&hosts, "tls")), others);
    hosts.end();
}
