//! How long commands take: `local up`, cold and after a crash with a large store, and `get` of many workers.
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use kube::Api;
use kube::api::PostParams;
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use poolkeeper_testkit::local_server::Rig;
use serde_json::json;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_poolkeeper");
/// A store is large from here on.
const LARGE: u64 = 100 * 1024 * 1024;

fn timed(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

/// A pool in which nothing happens.
pub fn paused() -> ContainerPool {
    let spec = json!({"runtime": "Process", "max": 1000, "paused": true, "dispatch": {"queueLimit": 1_000_000}});
    serde_json::from_value(json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"}, "spec": spec,
    }))
    .unwrap()
}

/// Starts a server cold, and again after `kill -9` with a store of 100 MB.
pub async fn start() {
    let rig = Rig::new(PROGRAM);
    let cold = timed(|| {
        rig.up();
    });
    let client = rig.client().await;
    Api::default_namespaced(client.clone()).create(&PostParams::default(), &paused()).await.unwrap();
    let dispatches: Api<Dispatch> = Api::default_namespaced(client);
    let store = rig.home().join("store.redb");
    let (mut size, mut count) = (0, 0);
    while size < LARGE {
        let more = stream::iter(count..count + 1000).map(|n| {
            let dispatches = dispatches.clone();
            async move {
                let spec = json!({"pool": "agents", "note": format!("{n:0>4096}")});
                let dispatch = serde_json::from_value(json!({
                    "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch",
                    "metadata": {"name": format!("task-{n}")}, "spec": spec,
                }));
                dispatches.create(&PostParams::default(), &dispatch.unwrap()).await.unwrap();
            }
        });
        more.buffer_unordered(32).collect::<Vec<()>>().await;
        count += 1000;
        size = std::fs::metadata(&store).unwrap().len();
    }
    rig.kill();
    let again = timed(|| {
        rig.up();
    });
    println!(
        "local up: cold {cold:.0?}; after kill -9 with {} MB of {count} Dispatches {again:.0?}",
        size / 1024 / 1024
    );
}

/// `get workers` with 1,000 workers.
pub async fn get() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let pool = pools.create(&PostParams::default(), &paused()).await.unwrap();
    let workers: Api<Worker> = Api::default_namespaced(client);
    let owner = json!([{
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "name": "agents",
        "uid": pool.metadata.uid, "controller": true, "blockOwnerDeletion": true,
    }]);
    let all = stream::iter(0..1000).map(|n| {
        let (workers, owner) = (workers.clone(), owner.clone());
        async move {
            let worker = serde_json::from_value(json!({
                "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker",
                "metadata": {
                    "name": format!("agents-{n}"), "labels": {"poolkeeper.dev/pool": "agents"}, "ownerReferences": owner,
                },
                "spec": {"pool": "agents", "poolGeneration": 1, "runtime": "Process", "host": "local", "templateHash": "x"},
            }));
            workers.create(&PostParams::default(), &worker.unwrap()).await.unwrap();
        }
    });
    all.buffer_unordered(32).collect::<Vec<()>>().await;
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        let said = rig.run(&["get", "workers"]).exits(0);
        took.push(start.elapsed());
        assert_eq!(said.stdout.lines().count(), 1001);
    }
    took.sort_unstable();
    println!("get workers, 1,000 workers: p50 {:.0?}, longest of 21 {:.0?}", took[10], took[20]);
}
