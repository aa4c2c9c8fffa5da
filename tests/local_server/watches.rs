//! Watches of clients while the server dies and comes back, with another certificate.
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use futures::StreamExt;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, Said};
use poolkeeper_testkit::program::kubectl;
use serde_json::json;

use crate::PROGRAM;

async fn pool(rig: &Rig) -> Api<ContainerPool> {
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    let spec = serde_json::from_value(json!({"runtime": "Process", "max": 1})).unwrap();
    let metadata = ObjectMeta { name: Some("agents".to_owned()), ..ObjectMeta::default() };
    pools.create(&PostParams::default(), &ContainerPool { metadata, spec, status: None }).await.unwrap();
    pools
}

async fn label(pools: &Api<ContainerPool>) {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    pools.patch("agents", &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test]
async fn a_watch_of_a_client_library_goes_on_after_a_crash_of_the_server() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let pools = pool(&rig).await;
    // What fails in between is an item too. The watch repeats by itself.
    let watched = watcher(pools.clone(), watcher::Config::default()).default_backoff().applied_objects();
    let mut watched = std::pin::pin!(watched.filter_map(|seen| async { seen.ok() }));
    assert_eq!(watched.next().await.unwrap().name_any(), "agents");
    rig.kill();
    rig.up();
    // A client of before the crash: it trusts the authority, which is the same, and so the new certificate.
    label(&pools).await;
    while watched.next().await.unwrap().labels().is_empty() {}
}

#[tokio::test]
async fn kubectl_wait_goes_on_after_a_crash_of_the_server_and_get_ends_in_peace() {
    let Some(kubectl) = kubectl() else { return };
    let rig = Rig::new(PROGRAM);
    rig.up();
    let pools = pool(&rig).await;
    // A command that has begun to watch. With -v=6 it says which requests were answered.
    let start = |args: &[&str]| {
        let mut command = Command::new(&kubectl);
        command.args(args).args(["-v=6", "--cache-dir"]).arg(rig.file("cache")).env("KUBECONFIG", rig.kubeconfig());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("watch=true") {
            assert!(said.read_line(&mut line).unwrap() > 0, "it never watches: {line}");
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        child
    };
    let ends_well = |child: Child| Said::of(child.wait_with_output().unwrap()).exits(0).stdout;
    let wait = start(&["wait", "containerpool/agents", "--for=jsonpath={.metadata.labels.a}=b", "--timeout=2m"]);
    let get = start(&["get", "containerpools", "-w", "-o", "name"]);
    rig.kill();
    // As on a cluster: `get -w` watches until its connection ends.
    assert_eq!(ends_well(get), "containerpool.poolkeeper.dev/agents\n");
    rig.up();
    label(&pools).await;
    assert_eq!(ends_well(wait), "containerpool.poolkeeper.dev/agents condition met\n");
}
