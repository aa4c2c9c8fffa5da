//! `cleanup` and `health`.
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PostParams};
use poolkeeper::api::{Dispatch, Worker};
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::changing::{hold, object, until_ready};
use crate::get::create_pool;

async fn create_lease(rig: &Rig, name: &str, labels: Value, renewed: &str) {
    let leases: Api<Lease> = Api::default_namespaced(rig.client().await);
    let lease = json!({
        "metadata": {"name": name, "labels": labels}, "spec": {"renewTime": renewed, "leaseDurationSeconds": 60, "holderIdentity": "x"},
    });
    leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_cleanup_removes_what_its_dry_run_names_and_nothing_else() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    assert!(rig.run(&["cleanup"]).exits(0).stderr.ends_with("there is nothing to remove\n"));
    create_pool(&rig, "agents", json!({"min": 1, "max": 4})).await;
    let mut workers = Vec::new();
    for n in 1..=4 {
        workers.push(hold(&rig, "agents", &format!("task-{n}")).await);
    }
    let dispatches: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    for n in 1..=3 {
        let patch = json!({"spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
        dispatches.patch(&format!("task-{n}"), &Default::default(), &Patch::Merge(patch)).await.unwrap();
    }
    until_ready(&rig, 3);
    // The second one rests: its rest would be lost with it.
    rig.run(&["cooldown", &workers[1], "--for", "1h"]).exits(0);
    let ours = json!({"app.kubernetes.io/managed-by": "poolkeeper"});
    create_lease(&rig, "ended", ours.clone(), "2020-01-01T00:00:00.000000Z").await;
    create_lease(&rig, "alive", ours, "2999-01-01T00:00:00.000000Z").await;
    create_lease(&rig, "of-another-program", json!({}), "2020-01-01T00:00:00.000000Z").await;
    let uid = |what: &str| object(&rig, what)["metadata"]["uid"].as_str().unwrap().to_owned();
    let mut expected: Vec<(String, String)> = [0, 2].map(|n| ("worker".to_owned(), workers[n].clone())).to_vec();
    expected.extend((1..=3).map(|n| ("dispatch".to_owned(), format!("task-{n}"))));
    let mut expected: Vec<String> =
        expected.iter().map(|(kind, name)| format!("{kind} {name} {}", uid(&format!("{kind}/{name}")))).collect();
    expected.sort();
    let words = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        lines.sort();
        lines
    };
    let mut listed = String::new();
    until("the sums of the pool are new", || {
        listed = rig.run(&["cleanup", "agents", "--dry-run"]).exits(0).stdout;
        words(&listed) == expected
    });
    let with_leases = rig.run(&["cleanup", "--dry-run"]).exits(0).stdout;
    assert_eq!(with_leases.lines().filter(|line| line.starts_with("lease ")).count(), 1, "{with_leases}");
    assert!(with_leases.contains(" ended "), "{with_leases}");
    assert_eq!(rig.run(&["get", "workers", "-o", "name"]).stdout.lines().count(), 4, "nothing was removed yet");
    assert_eq!(rig.run(&["cleanup"]).exits(0).stdout, with_leases);
    let left = || rig.run(&["get", "workers", "-o", "name"]).exits(0).stdout;
    until("two workers are gone", || left().lines().count() == 2);
    for n in [1, 3] {
        assert!(left().contains(&workers[n]), "the busy one and the one that rests: {}", left());
    }
    assert_eq!(rig.run(&["get", "dispatches", "-o", "name"]).stdout, "dispatch.poolkeeper.dev/task-4\n");
    let leases: Api<Lease> = Api::default_namespaced(rig.client().await);
    assert!(leases.get_opt("ended").await.unwrap().is_none());
    assert!(
        leases.get_opt("alive").await.unwrap().is_some()
            && leases.get_opt("of-another-program").await.unwrap().is_some()
    );
    rig.run(&["cleanup", "nope"]).exits(3);
}

#[tokio::test]
async fn health_is_an_exit_code() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    assert!(rig.run(&["health"]).exits(0).stderr.ends_with("there are no workers\n"));
    create_pool(&rig, "agents", json!({"min": 1})).await;
    until_ready(&rig, 1);
    let said = rig.run(&["health", "agents"]).exits(0).stdout;
    assert!(
        said.starts_with("NAME       PHASE   HEALTH    SINCE") && said.contains("\nagents-0   Ready   Healthy   2"),
        "{said}"
    );
    let busy = hold(&rig, "agents", "task-1").await;
    rig.run(&["health"]).exits(0);
    create_pool(&rig, "broken", json!({"min": 1, "command": ["/nonexistent/program"]})).await;
    until("the start fails", || rig.run(&["health", "broken"]).code == 1);
    let said = rig.run(&["health"]).exits(1).stdout;
    assert!(said.contains("pool broken") && said.contains("StartsFail"), "{said}");
    rig.run(&["health", "agents"]).exits(0);
    let value: Value = serde_json::from_str(&rig.run(&["health", "broken", "-o", "json"]).exits(1).stdout).unwrap();
    assert_eq!((&value["healthy"], &value["objects"][0]["kind"]), (&json!(false), &json!("pool")));
    // A host that does not answer: the engine of this test does not exist.
    create_pool(&rig, "boxes", json!({"paused": true})).await;
    let workers: Api<Worker> = Api::default_namespaced(rig.client().await);
    let worker = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker", "metadata": {"name": "boxes-0"},
        "spec": {"pool": "boxes", "poolGeneration": 1, "runtime": "Docker", "host": "local", "templateHash": "0"},
    });
    let mut made = workers.create(&PostParams::default(), &serde_json::from_value(worker).unwrap()).await.unwrap();
    made.status = serde_json::from_value(json!({"phase": "Ready", "handle": {"id": "0", "started": "0"}})).unwrap();
    workers.replace_status("boxes-0", &PostParams::default(), &made).await.unwrap();
    until("it is seen", || rig.run(&["health", "boxes"]).code == 1);
    assert!(rig.run(&["health", "boxes"]).stdout.contains("HostUnreachable"));
    assert_eq!(rig.run(&["get", "workers", "-o", "name"]).stdout.matches(&busy).count(), 1);
    rig.run(&["health", "nope"]).exits(3);
}
