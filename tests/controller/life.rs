//! From a pool to its end, on workers that are processes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::stage::{Controller, ends};
use poolkeeper_testkit::embedded_server::Server;

async fn create<K>(api: &Api<K>, name: &str, spec: Value)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let (version, kind) = (K::api_version(&()), K::kind(&()));
    let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

async fn until_assigned(api: &Api<Dispatch>, name: &str) -> Dispatch {
    loop {
        let d = api.get(name).await.unwrap();
        if d.status.as_ref().is_some_and(|s| s.phase == DispatchPhase::Assigned) {
            return d;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_leader_hands_over_and_uninstall_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (pools, workers) = (
        Api::<ContainerPool>::default_namespaced(server.client.clone()),
        Api::<Worker>::default_namespaced(server.client.clone()),
    );
    let dispatches = Api::<Dispatch>::default_namespaced(server.client.clone());
    let leases = Api::<Lease>::default_namespaced(server.client.clone());
    let holder =
        async || leases.get("poolkeeper").await.unwrap().spec.unwrap().holder_identity.filter(|h| !h.is_empty());
    let run_dir = dir.path().join("run");
    let flags = ["--leader-elect", "--runtimes=Process", "--run-dir", run_dir.to_str().unwrap()];
    let (config, kubeconfig) = (&server.kubeconfig, server.kubeconfig.to_str().unwrap());

    let first = Controller::start(config, &flags).await;
    first.until_page("/readyz", 200, "").await;
    first.until_page("/metrics", 200, "poolkeeper_leader 1").await;
    create(&pools, "agents", json!({"runtime": "Process", "min": 1, "max": 1})).await;
    create(&dispatches, "t1", json!({"pool": "agents"})).await;
    let on = until_assigned(&dispatches, "t1").await.status.unwrap().worker.unwrap();

    // A second one waits, and takes over what runs.
    let second = Controller::start(config, &flags).await;
    second.until_page("/readyz", 200, "").await;
    second.until_page("/metrics", 200, "poolkeeper_leader 0").await;
    let before = holder().await;
    assert_eq!(first.end(Signal::TERM).await, 0);
    second.until_page("/metrics", 200, "poolkeeper_leader 1").await;
    assert_ne!(holder().await, before);
    assert_eq!(workers.get("agents-0").await.unwrap().uid().unwrap(), on.uid, "nothing was lost by that");

    // A busy worker is waited for, and named when time is up.
    let uninstall = ["uninstall", "--kubeconfig", kubeconfig, "--wait-timeout"];
    let (code, stderr) = ends(&[&uninstall[..], &["1500ms"]].concat()).await;
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("default/agents-0 (busy with t1)") && stderr.contains("--wait-timeout"), "{stderr}");
    assert!(stderr.contains("report, cancel or delete"), "{stderr}");

    let result = json!({"spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
    dispatches.patch("t1", &PatchParams::default(), &Patch::Merge(result)).await.unwrap();
    let (code, stderr) = ends(&[&uninstall[..], &["5m"]].concat()).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(workers.list(&Default::default()).await.unwrap().items.is_empty());
    assert!(pools.list(&Default::default()).await.unwrap().items.is_empty());
    let (code, stderr) = ends(&[&uninstall[..], &["5m"]].concat()).await;
    assert_eq!(code, 0, "again changes nothing: {stderr}");

    assert_eq!(second.end(Signal::INT).await, 0);
    assert_eq!(holder().await, None, "the lease is handed over");
}

/// Nothing removes their finalizers: the message says what is known of them, and that it is not about dispatches.
#[tokio::test]
async fn uninstall_without_a_controller_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let kubeconfig = server.kubeconfig.to_str().unwrap();
    let pools = Api::<ContainerPool>::default_namespaced(server.client.clone());
    let workers = Api::<Worker>::default_namespaced(server.client.clone());
    let kept = |finalizer: &str| Patch::Merge(json!({"metadata": {"finalizers": [finalizer]}}));
    let params = PatchParams::default();
    let uninstall = ["uninstall", "--kubeconfig", kubeconfig, "--wait-timeout", "1200ms"];

    create(&pools, "agents", json!({"min": 1, "max": 1, "image": "a"})).await;
    pools.patch("agents", &params, &kept("poolkeeper.dev/pool")).await.unwrap();
    let (code, stderr) = ends(&uninstall).await;
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("there still is pool default/agents;"), "{stderr}");
    assert!(stderr.contains("kubectl get pods -A -l app.kubernetes.io/name=poolkeeper"), "{stderr}");

    let spec = json!({"pool": "agents", "poolGeneration": 1, "runtime": "Pod", "templateHash": "h"});
    create(&workers, "agents-0", spec).await;
    workers.patch("agents-0", &params, &kept("poolkeeper.dev/instance")).await.unwrap();
    let status = Patch::Merge(json!({"status": {"phase": "Draining", "message": "node n1 does not answer"}}));
    workers.patch_status("agents-0", &params, &status).await.unwrap();
    let (code, stderr) = ends(&uninstall).await;
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("there still is default/agents-0 (node n1 does not answer);"), "{stderr}");
    assert!(stderr.contains("kubectl get pods") && !stderr.contains("dispatches"), "{stderr}");
}

#[tokio::test]
async fn a_server_that_was_busy_is_asked_again_before_the_time_that_it_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let run_dir = dir.path().join("run");
    server.busy.store(true, Ordering::SeqCst);
    let flags = ["--leader-elect", "--runtimes=Process", "--run-dir", run_dir.to_str().unwrap()];
    let controller = Controller::start(&server.kubeconfig, &flags).await;
    // More than once for each kind that it lists.
    let again = async {
        while server.refused.load(Ordering::SeqCst) < 6 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("it waits for the time that the server named");
    server.busy.store(false, Ordering::SeqCst);
    controller.until_page("/metrics", 200, "poolkeeper_leader 1").await;
    controller.until_page("/readyz", 200, "").await;
    assert_eq!(controller.end(Signal::TERM).await, 0);
}
