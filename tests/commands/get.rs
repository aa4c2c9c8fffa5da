//! `poolkeeper get`, and the server that it talks to.
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use kube::Api;
use kube::api::PostParams;
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::{Value, json};

use crate::PROGRAM;

/// Creates a pool; of processes, unless the spec names another runtime.
pub async fn create_pool(rig: &Rig, name: &str, spec: Value) {
    let mut spec = spec;
    if spec["runtime"].is_null() {
        spec["runtime"] = "Process".into();
    }
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name}, "spec": spec,
    });
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
}

#[tokio::test]
async fn objects_are_shown_as_the_server_has_them() {
    let rig = Rig::new(PROGRAM);
    let said = rig.run(&["get", "pools"]).exits(6);
    assert!(said.stderr.contains("start one with `poolkeeper local up`"), "{}", said.stderr);
    rig.up();
    let said = rig.run(&["get", "pools"]).exits(0);
    assert_eq!(
        (said.stdout.as_str(), said.stderr.as_str()),
        ("", "poolkeeper: found no containerpools in namespace default of the local server\n")
    );
    create_pool(&rig, "agents", json!({"min": 2, "max": 3})).await;
    until("two workers are ready", || rig.run(&["get", "workers"]).stdout.matches(" Ready ").count() == 2);
    let table = rig.run(&["get", "workers"]).exits(0).stdout;
    let headings = "NAME       POOL     PHASE   RESTS-UNTIL   DISPATCH   DISPATCHES   AGE";
    assert_eq!(table.lines().next(), Some(headings));
    assert!(table.lines().nth(1).unwrap().starts_with("agents-0   agents   Ready   <none>"), "{table}");
    let named = rig.run(&["get", "worker/agents-1", "--no-headers"]).exits(0).stdout;
    assert!(named.starts_with("agents-1   agents") && named.lines().count() == 1, "{named}");
    let names = "worker.poolkeeper.dev/agents-0\nworker.poolkeeper.dev/agents-1\n";
    for filter in
        [&["--pool", "agents"][..], &["--phase", "ready"], &["--host", "local"], &["-A"], &["--namespace", "default"]]
    {
        assert_eq!(rig.run(&[&["get", "pkw", "-o", "name"], filter].concat()).exits(0).stdout, names, "{filter:?}");
    }
    for filter in [&["--phase", "Busy"][..], &["--credential", "a"], &["--pool", "other"], &["-l", "a=b"]] {
        assert_eq!(rig.run(&[&["get", "pkw", "-o", "name"], filter].concat()).exits(0).stdout, "", "{filter:?}");
    }
    let one: Value = serde_json::from_str(&rig.run(&["get", "pool", "agents", "-o", "json"]).exits(0).stdout).unwrap();
    assert_eq!((&one["kind"], &one["spec"]["max"]), (&json!("ContainerPool"), &json!(3)));
    let all: Value = serde_json::from_str(&rig.run(&["get", "pools", "-o", "json"]).exits(0).stdout).unwrap();
    assert_eq!((&all["kind"], &all["items"][0]["spec"]["max"]), (&json!("List"), &json!(3)));
    assert!(rig.run(&["get", "pool", "agents", "-o", "yaml"]).exits(0).stdout.contains("\nkind: ContainerPool\n"));
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused_with_what_would_be_right() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let refused = [
        (&["get", "pods"][..], 2, "\"pods\" is no kind: expected pools, workers or dispatches"),
        (&["get", "workers", "--phase", "busi"], 2, "--phase busi: unknown variant `Busi`, expected one of `Starting`"),
        (&["get", "pools", "--phase", "Busy"], 2, "--phase is for workers and dispatches"),
        (&["get", "dispatches", "--host", "a"], 2, "--host is for workers"),
        (&["get", "pool", "a", "-l", "b"], 2, "a filter and a name cannot be used together"),
        (&["get", "pool", "nope"], 3, "containerpools.poolkeeper.dev \"nope\" not found"),
        (&["get", "pools", "-l", "=="], 2, ""),
        (&["get", "pools", "--kubeconfig", "/nonexistent"], 2, "kubeconfig /nonexistent: "),
        (&["get", "pools", "--context", "other"], 6, "there is no kubeconfig in which --context could be looked up"),
    ];
    for (args, code, message) in refused {
        let said = rig.run(args).exits(code);
        assert!(said.stdout.is_empty() && said.stderr.contains(message), "{args:?}: {}", said.stderr);
    }
    // Each name of the server, also while it is down: nothing else is tried.
    for args in [&["get", "pools"][..], &["get", "pools", "--context", "poolkeeper-local"]] {
        rig.run(args).exits(0);
    }
    rig.kill();
    let said = rig.run(&["get", "pools"]).exits(6);
    assert!(said.stderr.contains("it does not run; start it with `poolkeeper local up`"), "{}", said.stderr);
}

#[tokio::test]
async fn changes_are_shown_as_they_come() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let mut watch = rig.poolkeeper(&["get", "pools", "-w"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    create_pool(&rig, "agents", json!({"min": 1, "max": 3})).await;
    let first = lines.next().unwrap();
    assert!(first.starts_with("NAME     STATUS"), "{first}");
    assert!(lines.by_ref().any(|line| line.starts_with("agents   Available")), "it becomes ready");
    watch.kill().unwrap();
    watch.wait().unwrap();
}
