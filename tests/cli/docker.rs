//! The same in containers. Skipped, loudly, where no Docker Engine has the image of `scripts/docker-image.sh`.
use std::io::Write;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::{Place, Ran, examples};

const IMAGE: &str = "poolkeeper-test:1";

fn has_docker() -> bool {
    let mut command = Command::new("docker");
    command.args(["image", "inspect", IMAGE]).stdout(Stdio::null()).stderr(Stdio::null());
    let has = command.status().is_ok_and(|s| s.success());
    if !has {
        let why = "no Docker Engine with the image poolkeeper-test:1 (scripts/docker-up.sh, docker-image.sh)";
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "POOLKEEPER_REQUIRE_DOCKER is set: {why}");
        // Past the test harness, which keeps the output of tests that pass to itself.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "SKIPPED: {}: {why}", module_path!()).unwrap();
    }
    has
}

/// Containers of a pool, running or not.
fn containers(pool: &str) -> String {
    let filter = format!("label=poolkeeper.dev/pool={pool}");
    let listed = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap()
}

fn run(place: &Place, pool: &str, flags: &[&str], command: &[&str]) -> Ran {
    let ran = place.run(&[&[pool, "--image", IMAGE], flags, &["--"], command].concat());
    assert_eq!(containers(pool), "");
    ran
}

#[test]
fn a_batch_runs_in_containers() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    let (tasks, mount) = (examples().join("tasks.txt"), format!("{}:/examples", examples().display()));
    let flags = ["--workers", "3", "--cooldown", "2s", "--mount", &mount, "--tasks", tasks.to_str().unwrap()];
    let ran = run(&place, "batch", &flags, &["/examples/limited-agent.sh"]).exits(0);
    assert_eq!(ran.lines().len(), 20);
    ran.says(&["rate limited; batch-", "tasks: 20 succeeded"]);
}

#[test]
fn a_command_ends_as_it_does_anywhere() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    run(&place, "ends", &[], &["sh", "-c", "exit 3"]).exits(3);
    run(&place, "ends", &[], &["no-such-command"]).exits(127).says(&["no-such-command"]);
    let limited =
        r#"[ $POOLKEEPER_ATTEMPT = 2 ] || echo '{"outcome":"RateLimited","retryAfter":"100ms"}' > $POOLKEEPER_RESULT"#;
    run(&place, "ends", &["--cooldown", "1h"], &["sh", "-c", limited]).exits(0).says(&["rate limited"]);
    let lost = "[ $POOLKEEPER_ATTEMPT = 2 ] || { kill -9 -1; sleep 100; }";
    run(&place, "ends", &[], &["sh", "-c", lost]).exits(0).says(&["attempt 1 lost with ends-0"]);
}

#[test]
fn an_image_that_cannot_be_had_ends_the_run_with_the_reason() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    let ran = place.run(&["--image", "localhost:1/no/such:1", "--", "true"]).exits(125);
    ran.says(&["no worker can be started", "localhost:1/no/such:1", "spec.image"]);
    let ran = place.run(&["--image", "poolkeeper-bare:1", "--", "/cat"]).exits(125);
    ran.says(&["no worker can be started", "sleep", "--file"]);
}

#[test]
fn ctrl_c_leaves_no_container() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    let run = place.start_until(&["stopped", "--image", IMAGE, "--progress", "lines", "--", "sleep", "100"], "→");
    assert_ne!(containers("stopped"), "");
    run.signal(Signal::INT);
    run.end().exits(130);
    assert_eq!(containers("stopped"), "");
}

/// Needs no engine: a socket that accepts, and never answers.
#[test]
fn ctrl_c_is_heard_while_an_engine_does_not_answer() {
    let place = Place::new();
    let socket = place.path("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut command = place.command(&["run", "--local", "--image", IMAGE, "--", "true"]);
    let mut child = command.env("DOCKER_HOST", format!("unix://{}", socket.display())).spawn().unwrap();
    let connection = listener.accept().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
    let pause = std::time::Duration::from_millis(20);
    // Much less than the minute that a request may take.
    let ended = (0..500).any(|_| {
        std::thread::sleep(pause);
        child.try_wait().unwrap().is_some()
    });
    if !ended {
        child.kill().unwrap();
    }
    drop(connection);
    Ran::from(child.wait_with_output().unwrap()).exits(130).says(&["interrupted"]);
    place.is_clean();
}

#[test]
fn what_a_crash_left_is_removed_by_the_next_run() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    place.write("tasks.txt", "1\n");
    let args = [
        "crashed",
        "--image",
        IMAGE,
        "--tasks",
        "tasks.txt",
        "--out",
        "out",
        "--",
        "sh",
        "-c",
        "[ -e /tmp/x ]; sleep ${S:-0}",
    ];
    let mut first = place.start_until(&[&args[..1], &["--env", "S=1000"], &args[1..]].concat(), "→");
    let left = containers("crashed");
    first.child.kill().unwrap();
    first.end();
    assert_eq!(containers("crashed"), left);
    place.run(&[&args[..1], &["--resume"], &args[1..]].concat()).exits(0).says(&["1 succeeded"]);
    assert_eq!(containers("crashed"), "");
}

#[test]
fn containers_share_the_state_of_a_task() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    place.write("tasks.txt", "1\n");
    let script = "echo $POOLKEEPER_WORKER >> $POOLKEEPER_STATE/seen
        [ $POOLKEEPER_ATTEMPT = 2 ] && { echo $POOLKEEPER_STATE; cat $POOLKEEPER_STATE/seen; exit 0; }; exit 75";
    let flags = ["--workers", "2", "--cooldown", "1h", "--tasks", "tasks.txt", "--state", "kept"];
    let ran = run(&place, "shared", &flags, &["sh", "-c", script]).exits(0);
    assert_eq!(ran.lines(), ["/poolkeeper/state/line-1", "shared-0", "shared-1"]);
    assert_eq!(place.read("kept/line-1/seen"), "shared-0\nshared-1\n");
}

/// To hang up ends nothing in a container: its processes are ended there, and the worker goes on.
#[test]
fn a_silent_task_is_ended_in_its_container() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    place.write("tasks.txt", "hangs\nstubborn\nlooks\n");
    let script = "case $TASK in hangs) sleep 1000;; stubborn) trap '' TERM; sleep 1000 & while :; do wait; done;; esac
        ps -o args | grep -c '^sleep 1000'; echo $POOLKEEPER_WORKER; exit 0";
    let flags = ["--workers", "1", "--silence", "1s", "--tasks", "tasks.txt", "--out", "out"];
    let ran = run(&place, "silent", &flags, &["sh", "-c", script]).exits(1);
    assert_eq!(ran.lines(), ["0", "silent-0"], "{}", ran.stderr);
    ran.says(&["line-1 attempt 1 failed", "line-2 attempt 1 failed", "silent for 1s", "1 succeeded, 2 failed"]);
}
