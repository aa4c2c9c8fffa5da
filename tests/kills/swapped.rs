//! Another engine under the same address, while tasks run.
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use poolkeeper::api::{ContainerPool, Worker};
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::engine::{Engine, IMAGE};
use crate::proxy::Proxy;
use crate::supervisor::{Batch, Supervisor, dispatches, judge};
use poolkeeper_testkit::truth::Truth;

/// A pool of two containers that have the directory of the tasks.
pub fn pool(name: &str, truth: &Truth) -> ContainerPool {
    serde_json::from_value(json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name},
        "spec": {
            "image": IMAGE, "min": 2, "max": 2, "health": {"interval": "1s"},
            "mounts": [{"hostPath": truth.dir(), "mountPath": truth.dir(), "readOnly": false}],
        },
    }))
    .unwrap()
}

/// Waits until the pool says this, or no longer says it.
async fn says(pools: &Api<ContainerPool>, words: &'static str, wanted: bool) {
    let says = |pool: Option<&ContainerPool>| {
        let conditions = pool.and_then(|pool| pool.status.as_ref()).map(|s| &*s.conditions).unwrap_or_default();
        conditions.iter().any(|c| c.message.contains(words)) == wanted
    };
    let wait = kube::runtime::wait::await_condition(pools.clone(), "boxes", says);
    tokio::time::timeout(std::time::Duration::from_secs(90), wait).await.unwrap().unwrap();
}

const ANOTHER: &str = "another Docker Engine answers at";

#[tokio::test]
async fn another_engine_is_not_asked_about_workers_and_the_first_one_goes_on_when_it_is_back() {
    let (Some(first), Some(second)) = (Engine::up(), Engine::up()) else { return };
    assert_ne!(first.id(), second.id());
    for cut in [false, true] {
        on_a_server(&first, &second, cut).await;
        in_a_run(&first, &second, cut);
    }
}

async fn on_a_server(first: &Engine, second: &Engine, cut: bool) {
    let rig = Rig::with_docker(PROGRAM);
    let truth = Truth::new(&rig.file("truth"), "test -e @DIR@/go");
    let proxy = Proxy::new(rig.file("docker.sock"), first.socket());
    rig.local(&["up", "--docker-host", &proxy.address()]).exits(0);
    let client = rig.client().await;
    let (pools, workers): (Api<ContainerPool>, Api<Worker>) =
        (Api::default_namespaced(client.clone()), Api::default_namespaced(client));
    pools.create(&PostParams::default(), &pool("boxes", &truth)).await.unwrap();
    let supervisor = Supervisor::start(&rig, "boxes", 4, &truth, &truth.tasks("job", 4));
    until("two tasks run", || truth.count("begin") == 2);
    let before = first.containers();
    let uids = async || -> Vec<_> {
        workers.list(&ListParams::default()).await.unwrap().items.iter().map(|w| (w.name_any(), w.uid())).collect()
    };
    let workers_before = uids().await;
    for worker in workers.list(&ListParams::default()).await.unwrap() {
        assert_eq!(worker.status.unwrap().handle.unwrap().engine, Some(first.id()));
    }

    proxy.route(second.socket());
    if cut {
        proxy.cut();
    }
    says(&pools, ANOTHER, true).await;
    // A new server knows it from the workers alone.
    rig.kill();
    let file = rig.home().join("engine.json");
    let mut engine: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    engine["id"] = Value::Null;
    std::fs::write(&file, engine.to_string()).unwrap();
    rig.up();
    says(&pools, ANOTHER, true).await;
    assert_eq!((first.containers(), second.containers()), (before.clone(), vec![]));
    let workers_now = uids().await;
    assert_eq!(workers_now, workers_before);
    for dispatch in dispatches(&rig).await {
        let status = dispatch.status.unwrap();
        assert!(status.attempt <= 1 && !status.phase.is_final(), "{status:?}");
        assert!(cut || status.retries.is_none(), "{status:?}");
    }
    // It cannot stop the workers, and the next server goes on with them.
    rig.local(&["down", "--force"]).exits(1);
    rig.up();
    assert_eq!((first.containers(), truth.count("begin")), (before, 2));

    proxy.route(first.socket());
    says(&pools, ANOTHER, false).await;
    std::fs::write(format!("{}/go", truth.dir()), "").unwrap();
    supervisor.finish(&rig, "boxes");
    let unknown = judge(&truth, &dispatches(&rig).await, 4);
    assert_eq!(unknown.worker_lost, 0);
    if !cut {
        assert_eq!((unknown.lost, truth.count("begin"), uids().await), (0, 4, workers_before), "{}", truth.said());
    }
    rig.local(&["down", "--force"]).exits(0);
    assert_eq!(first.containers(), Vec::<String>::new());
}

/// The same, of `run --local`.
fn in_a_run(first: &Engine, second: &Engine, cut: bool) {
    let rig = Rig::with_docker(PROGRAM);
    let truth = Truth::new(&rig.file("truth"), "test -e @DIR@/go");
    let proxy = Proxy::new(rig.file("docker.sock"), first.socket());
    let batch = Batch::start(&rig, "batch", &proxy.address(), &truth, &truth.tasks("job", 4));
    until("two tasks run", || truth.count("begin") == 2);
    let before = first.containers();
    proxy.route(second.socket());
    if cut {
        proxy.cut();
    }
    // It lists the containers every 30 s.
    until("the other engine was asked", || proxy.made() >= 6);
    assert_eq!((first.containers(), second.containers()), (before, vec![]));
    proxy.route(first.socket());
    std::fs::write(format!("{}/go", truth.dir()), "").unwrap();
    let said = batch.finish(&rig, "batch");
    truth.check();
    let most = if cut { 2 } else { 1 };
    let ends = truth.ends();
    assert!(ends.len() == 4 && ends.values().all(|n| *n <= most), "{said}{}", truth.said());
    assert_eq!(first.containers(), Vec::<String>::new());
}
