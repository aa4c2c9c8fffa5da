//! `status` and `cooldown`.
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::changing::{hold, object, until_ready};
use crate::get::create_pool;

fn credential(name: &str, value: &str) -> Value {
    json!({"name": name, "env": "TOKEN", "fromCommand": ["echo", value]})
}

#[tokio::test]
async fn a_status_says_what_is_wrong() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let said = rig.run(&["status"]).exits(0);
    assert_eq!(said.stdout, "");
    assert!(said.stderr.ends_with("there are no pools in namespace default of the local server\n"), "{}", said.stderr);
    create_pool(&rig, "agents", json!({"min": 1, "max": 1, "credentials": [credential("a", "1")]})).await;
    until_ready(&rig, 1);
    let fine = || rig.run(&["status"]).exits(0).stdout;
    until("nothing is wrong", || fine().lines().count() == 2);
    // The age may change between two looks.
    until("it is the server's table, and nothing else", || fine() == rig.run(&["get", "pools"]).exits(0).stdout);
    let worker = hold(&rig, "agents", "task-1").await;
    for n in 2..14 {
        let task = format!("dispatch.poolkeeper.dev/task-{n}={{\"priority\":{n}}}");
        annotate(&rig, &task).await;
    }
    let whole = || rig.run(&["status", "agents"]).exits(0).stdout;
    until("the rest waits", || whole().contains("waiting: 12\n") && whole().contains("MaxReached"));
    let text = whole();
    assert!(text.contains("\n  ScalingLimited   True   MaxReached   "), "{text}");
    assert!(text.contains(&format!("\n{worker}   agents   Busy ")), "{text}");
    let queue: Vec<&str> =
        text.lines().filter(|line| line.starts_with("task-")).map(|l| l.split(' ').next().unwrap()).collect();
    let first: Vec<String> = (4..14).rev().map(|n| format!("task-{n}")).collect();
    assert_eq!(queue, first, "those with the highest priority first");
    assert!(text.contains("… and 2 more\n"), "{text}");
    let mut value = Value::Null;
    until("the sums are new", || {
        value = serde_json::from_str(&rig.run(&["status", "agents", "-o", "json"]).exits(0).stdout).unwrap();
        value["counts"]["queued"] == 12
    });
    assert_eq!(value["counts"]["busy"], 1);
    assert_eq!(value["problems"][0]["reason"], "MaxReached");
    assert_eq!(
        (&value["workers"][0]["metadata"]["name"], value["waiting"].as_array().unwrap().len()),
        (&json!(worker), 12)
    );
    let all: Value = serde_json::from_str(&rig.run(&["status", "-o", "json"]).exits(0).stdout).unwrap();
    assert_eq!(all["pools"][0]["name"], "agents");
    rig.run(&["status", "nope"]).exits(3);
    rig.run(&["status", "a/b"]).exits(2);
}

/// Annotates the pool agents: KEY=VALUE.
async fn annotate(rig: &Rig, annotation: &str) {
    let (key, value) = annotation.split_once('=').unwrap();
    let pools: kube::Api<poolkeeper::api::ContainerPool> = kube::Api::default_namespaced(rig.client().await);
    let patch = json!({"metadata": {"annotations": {key: value}}});
    pools.patch("agents", &Default::default(), &kube::api::Patch::Merge(patch)).await.unwrap();
}

#[tokio::test]
async fn a_status_follows() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({})).await;
    let mut watch = rig.poolkeeper(&["status", "-w", "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap()).unwrap()["pools"][0].clone();
    assert_eq!(next()["paused"], false);
    rig.run(&["pause", "agents"]).exits(0);
    while next()["paused"] != true {}
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[tokio::test]
async fn rests_are_set_and_ended_by_hand() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 1, "credentials": [credential("a", "1"), credential("only", "3")]}))
        .await;
    until_ready(&rig, 1);
    let said = rig.run(&["cooldown", "agents-0", "--for", "1h"]).exits(0).stderr;
    assert!(said.contains("worker agents-0 of pool agents rests until 2"), "{said}");
    let until_then = object(&rig, "worker/agents-0")["status"]["cooldown"]["until"].clone();
    let said = rig.run(&["cooldown", "agents-0", "--for", "5m"]).exits(0).stderr;
    assert!(said.contains("already; --clear ends that"), "{said}");
    assert_eq!(object(&rig, "worker/agents-0")["status"]["cooldown"]["until"], until_then);
    let said = rig.run(&["cooldown", "agents-0", "--clear"]).exits(0).stderr;
    assert!(said.ends_with("worker agents-0 of pool agents does not rest\n"), "{said}");
    let said = rig.run(&["cooldown", "a", "--for", "1h"]).exits(0).stderr;
    assert!(said.contains("credential a of pool agents rests until 2"), "{said}");
    until("the status shows it", || {
        rig.run(&["status"]).stdout.lines().any(|l| {
            l.starts_with("  credential") && l.contains(" a ") && l.contains("rests") && l.contains("set by hand")
        })
    });
    let said = rig.run(&["cooldown", "agents-0", "--clear"]).exits(0).stderr;
    assert!(said.contains("has no rest of its own; its credential a rests until 2"), "{said}");
    create_pool(&rig, "others", json!({"credentials": [credential("a", "2")]})).await;
    for (args, code, message) in [
        (&["cooldown", "a", "--clear"][..], 2, "several credentials are called \"a\": say which with --pool "),
        (&["cooldown", "nope", "--clear"], 3, "there is no worker and no credential \"nope\" in namespace default"),
        (&["cooldown", "only", "--clear", "--pool", "others"], 3, "no credential \"only\" in pool others"),
        (&["cooldown", "a", "--clear", "--pool", "nope"], 3, "\"nope\" not found"),
        (&["cooldown", "a", "--for", "0s"], 2, "use a length of time above 0s"),
        (&["cooldown", "a", "--for", "soon"], 2, "is not a length of time"),
        (&["cooldown", "A/b", "--clear"], 2, "must be a name of at most 63"),
        (&["cooldown", "a"], 2, "--for"),
    ] {
        let said = rig.run(args).exits(code);
        assert!(said.stderr.contains(message), "{args:?}: {}", said.stderr);
    }
    rig.run(&["cooldown", "a", "--clear", "--pool", "agents"]).exits(0);
    rig.run(&["cooldown", "only", "--for", "1m"]).exits(0);
}
