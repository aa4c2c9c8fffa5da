//! `poolkeeper run --local --image` on a real Docker Engine, seen from outside: the program, `docker`, files.
//!
//! Skipped, loudly, where no engine answers; `POOLKEEPER_REQUIRE_DOCKER=1` makes that a failure. The engine is stopped
//! and started only if it is a private one of `scripts/docker-up.sh`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poolkeeper_testkit::program;
use serde_json::Value;

const IMAGE: &str = "poolkeeper-test:1";
/// Longest wait for anything. What takes so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// One at a time: they count containers, and one stops the engine.
static ENGINE: Mutex<()> = Mutex::new(());

/// The engine, if there is one.
fn engine() -> Option<MutexGuard<'static, ()>> {
    let guard = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    if docker(&["image", "inspect", IMAGE]).status.success() {
        return Some(guard);
    }
    let why = "no Docker Engine answers, or it has no image poolkeeper-test:1 (scripts/docker-up.sh, scripts/docker-image.sh)";
    assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "{why}");
    skipped(why);
    None
}

/// Past the test harness, which keeps the output of tests that pass to itself.
fn skipped(why: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED: {why}").unwrap();
}

fn docker(args: &[&str]) -> Output {
    Command::new("docker").args(args).output().unwrap_or_else(|e| panic!("docker {args:?}: {e}"))
}

/// Ids of all containers that belong to a Worker of this pool.
fn containers(pool: &str) -> Vec<String> {
    let label = format!("label=poolkeeper.dev/pool={pool}");
    let listed = docker(&["ps", "-aq", "--no-trunc", "--filter", &label]);
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A running poolkeeper, and what it tells.
struct Run {
    child: Child,
    told: Receiver<Value>,
    seen: Vec<Value>,
}

impl Run {
    fn start(pool: &str, args: &[&str]) -> Self {
        let mut c = program::command(env!("CARGO_BIN_EXE_poolkeeper"));
        c.args(["run", pool, "--local", "--image", IMAGE, "--backoff", "0s", "--progress", "json"]).args(args);
        let mut child = c.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, told) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if send.send(value).is_err() {
                    return;
                }
            }
        });
        Self { child, told, seen: Vec::new() }
    }

    /// Reads its events until one for which `f` holds.
    fn until(&mut self, what: &str, f: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.told.recv_timeout(PATIENCE) {
                Ok(v) => {
                    self.seen.push(v.clone());
                    if f(&v) {
                        return v;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("never reported: {what}. It reported {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("ended before it reported: {what}. It reported {:#?}", self.seen)
                }
            }
        }
    }

    /// Waits for its end.
    fn end(mut self) -> (i32, Vec<Value>) {
        while let Ok(v) = self.told.recv_timeout(PATIENCE) {
            self.seen.push(v);
        }
        let code = self.child.wait().unwrap().code().unwrap();
        (code, self.seen)
    }
}

fn is(v: &Value, event: &str) -> bool {
    v["event"] == event
}

fn tasks(dir: &Path, n: usize) -> String {
    let path = dir.join("tasks.txt");
    fs::write(&path, (1..=n).map(|n| format!("task {n}\n")).collect::<String>()).unwrap();
    path.display().to_string()
}

/// The README's batch, inside containers.
#[test]
fn a_batch_runs_inside_containers_and_leaves_none() {
    let Some(_engine) = engine() else { return };
    let root = env!("CARGO_MANIFEST_DIR");
    let mount = format!("{root}/examples:/examples");
    let file = format!("{root}/examples/tasks.txt");
    let run = Run::start(
        "e2e-batch",
        &[
            "--mount",
            &mount,
            "--workers",
            "3",
            "--cooldown",
            "2s",
            "--tasks",
            &file,
            "--",
            "/examples/limited-agent.sh",
        ],
    );
    let (code, told) = run.end();
    assert_eq!(code, 0, "{told:#?}");
    assert!(told.iter().any(|v| v["outcome"] == "RateLimited"), "some met the limit: {told:#?}");
    assert_eq!(containers("e2e-batch"), Vec::<String>::new());
}

#[test]
fn a_command_sees_the_end_of_its_input_inside_a_container() {
    let Some(_engine) = engine() else { return };
    let mut c = program::command(env!("CARGO_BIN_EXE_poolkeeper"));
    c.args(["run", "e2e-cat", "--local", "--image", IMAGE, "--", "sh", "-c", "cat; hostname >&2"]);
    let mut child = c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"to the end\n").unwrap();
    let out = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(0), b"to the end\n".as_slice()), "{err}");
    let here = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(!err.contains(here.trim()), "it ran on the host: {err}");
}

/// It would sleep for two hours, and its worker with it.
#[test]
fn a_program_that_sleeps_on_its_limit_is_ended_in_its_container() {
    let Some(_engine) = engine() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = tasks(dir.path(), 1);
    // The second attempt, in the other container, ends when there is a file.
    let script = r#"if [ "$POOLKEEPER_ATTEMPT" = 1 ]; then echo "Too Many Requests [retrying in 2h5m attempt #4]"; sleep 7500; fi
until [ -e /tmp/go ]; do sleep 0.1; done"#;
    let args = ["--workers", "2", "--preset", "opencode", "--tasks", &file, "--", "sh", "-c", script];
    let mut run = Run::start("e2e-asleep", &args);
    let ended = run.until("an end", |v| is(v, "ended"));
    assert_eq!(ended["outcome"], "RateLimited", "{ended}");
    run.until("the second start", |v| is(v, "started") && v["attempt"] == 2);
    let containers = containers("e2e-asleep");
    for id in &containers {
        let processes = docker(&["exec", id, "ps", "-o", "args"]);
        let processes = String::from_utf8(processes.stdout).unwrap();
        assert!(processes.contains("sleep infinity"), "{processes}");
        assert!(!processes.lines().any(|line| line.trim() == "sleep 7500"), "{processes}");
    }
    // In one of them the task runs. With its end the run ends, and the other may be gone by then.
    for id in &containers {
        docker(&["exec", id, "touch", "/tmp/go"]);
    }
    let (code, told) = run.end();
    assert_eq!(code, 0, "{told:#?}");
    assert_eq!(told.iter().filter(|v| is(v, "ended")).count(), 2, "{told:#?}");
}

/// Its processes have removed the mark by which they would be found. It must not count as ended while it runs.
#[test]
fn a_program_that_waits_and_cannot_be_ended_is_waited_for() {
    let Some(_engine) = engine() else { return };
    let script = r#"echo "Too Many Requests [retrying in 2h5m attempt #4]"
exec env -i /bin/sh -c 'until [ -e /tmp/go ]; do sleep 0.1; done; exit 3'"#;
    let mut run = Run::start("e2e-waits", &["--preset", "opencode", "--", "sh", "-c", script]);
    run.until("that it waits", |v| v.to_string().contains("cannot be ended: its processes were not found"));
    for id in containers("e2e-waits") {
        assert!(docker(&["exec", &id, "touch", "/tmp/go"]).status.success());
    }
    let ended = run.until("an end", |v| is(v, "ended"));
    assert_eq!(ended["outcome"], "RateLimited", "{ended}");
    // Its worker rests for two hours.
    let pid = run.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(run.end().0, 130);
    assert_eq!(containers("e2e-waits"), Vec::<String>::new());
}

/// The engine tells of the death at once: the check comes only every hour.
#[test]
fn a_killed_container_loses_its_attempt_which_is_tried_again() {
    let Some(_engine) = engine() else { return };
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool.yaml");
    let text = "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: e2e-kill}\nspec:\n  max: 2\n  health: {interval: 1h}\n";
    fs::write(&pool, text).unwrap();
    let file = tasks(dir.path(), 2);
    let args = ["-f", pool.to_str().unwrap(), "--tasks", &file, "--", "sh", "-c"];
    // The first attempt of each waits to be killed; the second is quick.
    let script = r#"if [ "$POOLKEEPER_ATTEMPT" = 1 ]; then sleep 600; fi"#;
    let mut run = Run::start("e2e-kill", &[args.as_slice(), &[script]].concat());
    for _ in 0..2 {
        run.until("a start", |v| is(v, "started"));
    }
    for id in containers("e2e-kill") {
        assert!(docker(&["kill", &id]).status.success());
    }
    let (code, told) = run.end();
    assert_eq!(code, 0, "{told:#?}");
    assert_eq!(told.iter().filter(|v| v["outcome"] == "WorkerLost").count(), 2, "{told:#?}");
    assert_eq!(containers("e2e-kill"), Vec::<String>::new());
}

#[test]
fn a_stopped_engine_is_waited_for() {
    let Some(_engine) = engine() else { return };
    let Some(dir) = std::env::var_os("POOLKEEPER_DOCKERD_DIR") else {
        skipped("only a private engine (scripts/docker-up.sh DIR) is stopped by a test");
        return;
    };
    let root = env!("CARGO_MANIFEST_DIR");
    let script = |name: &str| {
        let status = Command::new(format!("{root}/scripts/{name}")).arg(&dir).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{name}: {status}");
    };
    let tmp = tempfile::tempdir().unwrap();
    let (file, out) = (tasks(tmp.path(), 12), tmp.path().join("out"));
    let out_arg = out.display().to_string();
    let mut run = Run::start("e2e-stop", &["--workers", "3", "--tasks", &file, "--out", &out_arg, "--", "sleep", "1"]);
    for _ in 0..5 {
        run.until("a start", |v| is(v, "started"));
    }
    script("docker-down.sh");
    script("docker-up.sh");
    let (code, told) = run.end();
    assert_eq!(code, 0, "{told:#?}");
    for n in 1..=12 {
        let text = fs::read_to_string(out.join(format!("line-{n}/result.json"))).unwrap();
        let result: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(result["outcome"], "Succeeded", "{text}");
    }
    assert_eq!(containers("e2e-stop"), Vec::<String>::new());
}

/// An entrypoint that ends at once: reported with exit code, last words, and what to set; and it does not hang.
#[test]
fn an_image_that_ends_at_once_is_told_why() {
    let Some(_engine) = engine() else { return };
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool.yaml");
    let text = "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: e2e-end}\nspec:\n  command: [sh, -c, \"echo nothing to do here; exit 0\"]\n";
    fs::write(&pool, text).unwrap();
    let run = Run::start("e2e-end", &["-f", pool.to_str().unwrap(), "--", "true"]);
    let (code, told) = run.end();
    let said: String = told.iter().map(Value::to_string).collect();
    assert_eq!(code, 125, "{said}");
    for word in ["code 0", "nothing to do here", "spec.command"] {
        assert!(said.contains(word), "{word:?} is missing in {said}");
    }
    assert_eq!(containers("e2e-end"), Vec::<String>::new());
}
