//! Client libraries of other languages on the local server: lists, watches with bookmarks, patches, errors; and lists and
//! watches that go on after the server was killed and started again.
//!
//! `client.py` needs a Python with the package `kubernetes`, named by `POOLKEEPER_PYTHON`; `scripts/ci/supervisors.sh` has one.
//! `go/` needs Go and its modules, and compiles for minutes where kubectl was not built before, so it is run only where `POOLKEEPER_GO` is
//! set; that script sets it. Each is skipped, and says so, where it is not asked for.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, Said, until};
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_poolkeeper");

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a client of a server of its own.
fn ends_well(mut command: Command) -> Said {
    let rig = Rig::new(PROGRAM);
    rig.up();
    Said::of(command.env("KUBECONFIG", rig.kubeconfig()).output().unwrap()).exits(0)
}

/// A pool and a Secret.
async fn make(rig: &Rig, name: &str) {
    let client = rig.client().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name},
        "spec": {"runtime": "Process", "min": 0, "paused": true},
    });
    let pools: Api<ContainerPool> = Api::default_namespaced(client);
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
}

/// A program that shows what it follows sees what is made after the server was killed and started again. Each start makes a new
/// certificate.
async fn lives_on(mut command: Command, kinds: &[&str]) {
    let rig = Rig::new(PROGRAM);
    rig.up();
    make(&rig, "before").await;
    let mut client = command.arg("follow").env("KUBECONFIG", rig.kubeconfig()).stdout(Stdio::piped()).spawn().unwrap();
    let (lines, from) = (Arc::new(Mutex::new(Vec::new())), BufReader::new(client.stdout.take().unwrap()));
    let seen = lines.clone();
    std::thread::spawn(move || from.lines().map_while(Result::ok).for_each(|line| seen.lock().unwrap().push(line)));
    let shows = |name: &str| {
        let lines = lines.lock().unwrap();
        kinds.iter().all(|kind| lines.contains(&format!("{kind} {name}")))
    };
    until("the client follows", || shows("before"));
    rig.kill();
    rig.up();
    make(&rig, "after").await;
    until("the client goes on", || shows("after"));
    assert!(client.wait().unwrap().success());
    let mut lines = lines.lock().unwrap().clone();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 2 * kinds.len(), "{lines:?}");
}

#[tokio::test]
async fn kube_rs_lives_through_a_restart() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    make(&rig, "before").await;
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    let mut watch = watcher(pools, watcher::Config::default()).default_backoff().applied_objects().boxed();
    let mut next = async || {
        loop {
            // What it meets while the server is away.
            if let Ok(pool) = watch.next().await.unwrap() {
                return pool.name_any();
            }
        }
    };
    assert_eq!(next().await, "before");
    rig.kill();
    rig.up();
    make(&rig, "after").await;
    while next().await != "after" {}
}

#[tokio::test]
async fn python() {
    let Some(python) = std::env::var_os("POOLKEEPER_PYTHON") else {
        eprintln!("SKIPPED: POOLKEEPER_PYTHON names no Python");
        return;
    };
    let client = || {
        let mut command = Command::new(&python);
        command.arg(here().join("client.py"));
        command
    };
    ends_well(client());
    lives_on(client(), &["pool"]).await;
}

#[tokio::test]
async fn go() {
    if std::env::var_os("POOLKEEPER_GO").is_none() {
        eprintln!("SKIPPED: POOLKEEPER_GO is not set");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let client = dir.path().join("client");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&client).arg(".").current_dir(here().join("go"));
    Said::of(build.output().unwrap()).exits(0);
    assert_eq!(ends_well(Command::new(&client)).stdout, "done\n");
    lives_on(Command::new(&client), &["pool", "secret"]).await;
}
