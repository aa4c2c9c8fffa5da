//! A local server is replaced by one of an older version, and back, while supervisors and batches of both versions run tasks.
//!
//! `POOLKEEPER_OLDER` is the older program (`scripts/ci/older.sh`). Without it the test is skipped, and says so.
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use kube::Api;
use kube::api::PostParams;
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, Said, until};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::server::workers;
use crate::supervisor::{Supervisor, dispatches, example, judge};
use poolkeeper_testkit::truth::Truth;

const TASKS: usize = 6;

fn older() -> Option<PathBuf> {
    let older = std::env::var_os("POOLKEEPER_OLDER").map(PathBuf::from);
    if older.is_none() {
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_OLDER").is_none(), "POOLKEEPER_OLDER names no program");
        println!("SKIPPED: POOLKEEPER_OLDER names no older program; scripts/ci/older.sh builds one");
    }
    older
}

/// A command of one of the versions, in the environment of the server.
fn of(rig: &Rig, program: &Path, args: &[&str]) -> std::process::Command {
    let mut command = rig.shell("/bin/sh", "exec \"$@\"");
    command.arg("sh").arg(program).args(args);
    command
}

#[track_caller]
fn said(rig: &Rig, program: &Path, args: &[&str]) -> String {
    Said::of(of(rig, program, args).output().unwrap()).exits(0).stdout
}

/// What both versions must agree on.
fn specs(rig: &Rig, program: &Path) -> Vec<Value> {
    let list = said(rig, program, &["get", "pools", "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    list["items"].as_array().unwrap().iter().map(|pool| pool["spec"].clone()).collect()
}

/// Every field of `old` is in `now` with its value. A newer version adds fields that have defaults.
fn keeps(old: &Value, now: &Value) -> bool {
    match (old, now) {
        (Value::Object(old), Value::Object(now)) => {
            old.iter().all(|(name, value)| now.get(name).is_some_and(|there| keeps(value, there)))
        }
        (Value::Array(old), Value::Array(now)) => {
            old.len() == now.len() && old.iter().zip(now).all(|(old, now)| keeps(old, now))
        }
        _ => old == now,
    }
}

/// `run POOL` of one of the versions, over tasks of its own.
fn batch(rig: &Rig, program: &Path, pool: &str, truth: &Truth) -> Child {
    let tasks = truth.tasks(pool, TASKS);
    let mut run = of(rig, program, &["run", pool, "--tasks"]);
    run.arg(tasks).arg("--out").arg(rig.file(&format!("out.{pool}")));
    run.args(["--", "sh", "-c", &format!("exec {} \"$TASK\"", truth.command())]);
    run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[tokio::test]
async fn an_older_server_is_replaced_and_comes_back_while_tasks_run() {
    let Some(older) = older() else { return };
    let (newer, rig) = (Path::new(PROGRAM), Rig::new(PROGRAM));
    // One task runs through all of it.
    let truth = Truth::new(&rig.file("truth"), "test -e @DIR@/end || { test $n -ge 12 && test $name != old-1; }");
    let beside = Truth::new(&rig.file("beside"), "test $n -ge 12");
    said(&rig, &older, &["local", "up"]);
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    for name in ["old", "new", "old-run", "new-run"] {
        let pool = json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name},
            "spec": {"runtime": "Process", "min": 2, "max": 2, "cooldown": "1s", "history": {"ttl": "1h"}},
        });
        pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    }
    until("the workers are up", || said(&rig, &older, &["get", "workers"]).matches(" Ready ").count() == 8);
    let (before, spec) = (workers(&rig).await, specs(&rig, &older));
    assert_eq!(before.len(), 8);

    let supervise = |pool: &str, program: &Path| {
        let path = program.parent().unwrap().display().to_string();
        let tasks = truth.tasks(pool, TASKS);
        let script = example("supervisor.sh");
        let line = format!("PATH={path}:$PATH exec {} {} {}", script.display(), tasks.display(), truth.command());
        // A slot for each task: no task waits for the long one.
        Supervisor::of(&rig, pool, TASKS, &line)
    };
    let supervisors = [("old", supervise("old", &older)), ("new", supervise("new", newer))];
    let batches = [batch(&rig, &older, "old-run", &beside), batch(&rig, newer, "new-run", &beside)];
    until("the long task runs", || truth.log().contains("begin old-1 "));

    for program in [newer, &older, newer, &older, newer] {
        let begun = truth.count("begin") + beside.count("begin");
        until("work goes on", || truth.count("begin") + beside.count("begin") > begun || begun == 4 * TASKS);
        let server = rig.pid();
        said(&rig, program, &["local", "up", "--restart"]);
        assert_ne!(rig.pid(), server, "the same server runs on");
        for reader in [newer, &older] {
            let now = specs(&rig, reader);
            assert!(keeps(&json!(spec), &json!(now)), "read by {}: {now:#?}", reader.display());
            said(&rig, reader, &["get", "workers", "-o", "json"]);
            said(&rig, reader, &["get", "dispatches", "-o", "json"]);
            said(&rig, reader, &["status"]);
        }
        assert_eq!(workers(&rig).await, before, "after {} took over", program.display());
    }
    assert!(!truth.log().contains("end old-1 "), "the long task was to run on: {}", truth.said());
    std::fs::write(Path::new(truth.dir()).join("end"), "").unwrap();
    for (pool, supervisor) in supervisors {
        supervisor.finish(&rig, pool);
    }
    for batch in batches {
        Said::of(batch.wait_with_output().unwrap()).exits(0);
    }
    let all = dispatches(&rig).await;
    let of_supervisors: Vec<_> =
        all.iter().filter(|d| ["old", "new"].contains(&d.spec.pool.as_str())).cloned().collect();
    let unknown = judge(&truth, &of_supervisors, 2 * TASKS);
    assert_eq!((unknown.lost, unknown.worker_lost), (0, 0), "{unknown:?}");
    beside.check();
    assert!(beside.ends().len() == 2 * TASKS && beside.ends().values().all(|n| *n == 1), "{}", beside.said());
    assert_eq!(workers(&rig).await, before, "at the end");
}
