//! A server that is away for a while, and one without a controller.
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use kube::Api;
use kube::api::{Patch, PostParams};
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, Said};
use serde_json::json;

use crate::PROGRAM;
use crate::acquire::one_worker;
use poolkeeper_testkit::embedded_server::Server;

/// Starts a command and waits until it says that it repeats the request.
fn repeats(rig: &Rig, args: &[&str]) -> Child {
    let mut command = rig.poolkeeper(args);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(running.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("repeating it"), "{args:?}: {line}");
    running
}

#[tokio::test]
async fn a_wait_and_an_exec_outlast_a_restart_of_the_server() {
    let rig = one_worker().await;
    rig.run(&["acquire", "agents", "--task", "job", "-o", "json"]).exits(0);
    rig.kill();
    let touch = rig.file("ran").display().to_string();
    for (args, code) in [
        (&["wait", "job", "--patience", "0s"][..], 6),
        (&["exec", "job", "--patience", "0s", "--", "touch", &touch], 125),
    ] {
        let said = rig.run(args).exits(code);
        assert!(said.stderr.contains("it does not run; start it with `poolkeeper local up`"), "{}", said.stderr);
    }
    assert!(!rig.file("ran").exists());
    let wait = repeats(&rig, &["wait", "job"]);
    let exec = repeats(&rig, &["exec", "job", "--", "sh", "-c", "echo ran; exit 7"]);
    rig.up();
    assert_eq!(Said::of(exec.wait_with_output().unwrap()).exits(7).stdout, "ran\n");
    rig.run(&["report", "job", "Succeeded"]).exits(0);
    assert_eq!(Said::of(wait.wait_with_output().unwrap()).exits(0).stdout, "job Succeeded\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_controller_nothing_comes_of_a_request() {
    let rig = Rig::new(PROGRAM);
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"},
        "spec": {"image": "alpine", "credentials": [{"name": "a", "env": "TOKEN", "secretKeyRef": {"name": "a", "key": "a"}}]},
    });
    let pools: Api<ContainerPool> = Api::default_namespaced(server.client.clone());
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let file = server.kubeconfig.to_str().unwrap();
    let args = ["cooldown", "a", "--for", "5m", "--timeout", "300ms", "--kubeconfig", file];
    let said = rig.run(&args).exits(5);
    let key = "cooldown.poolkeeper.dev/a";
    let problem = format!("no controller took the annotation {key} of pool agents within 300ms (--timeout)");
    assert!(said.stderr.contains(&problem) && said.stderr.contains("Does a controller run?"), "{}", said.stderr);
    // A controller that refuses says so in a condition.
    let refused = json!({"type": "RequestsAccepted", "status": "False", "reason": "Refused", "lastTransitionTime": "2026-11-29T12:00:00.000000Z",
        "message": format!("annotation {key}: there is no such worker")});
    let status = Patch::Merge(json!({"status": {"conditions": [refused]}}));
    pools.patch_status("agents", &Default::default(), &status).await.unwrap();
    let said = rig.run(&args).exits(4);
    assert!(
        said.stderr.contains("pool agents: annotation cooldown.poolkeeper.dev/a: there is no such worker"),
        "{}",
        said.stderr
    );

    // A directory of the nodes need not be on this machine.
    let create = |mount: &str| {
        let args =
            ["create", "pool", "others", "--image", "alpine", "--mount", mount, "--dry-run", "--kubeconfig", file];
        rig.run(&args)
    };
    assert!(create("/no/such/directory:/data").exits(0).stdout.contains("/no/such/directory"));
    let said = create("data:/data").exits(2);
    assert!(said.stderr.contains("write an absolute path instead of data"), "{}", said.stderr);
}
