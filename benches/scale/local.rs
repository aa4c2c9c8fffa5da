//! Many dispatches through the local server, one after the other: whether its memory, its files or its objects grow. Its memory fills
//! with events of watches for the first five minutes, so a run of less than twenty says nothing about it.

use std::fs::DirEntry;
use std::path::Path;

use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use kube::core::DynamicObject;
use kube::discovery::{Discovery, verbs};
use poolkeeper::api::{ContainerPool, Dispatch};
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::json;

use super::Args;
use super::feed::Feed;
use super::growth::{Column, Found, judge};
use super::process;

const POOL: &str = "agents";
const WORKERS: usize = 32;
const MIB: f64 = 1_048_576.0;

const COLUMNS: [Column; 6] = [
    Column { what: "memory (RSS), MiB", slack: 2.0 },
    Column { what: "dispatches in the store", slack: 5_000.0 },
    Column { what: "other objects", slack: 20.0 },
    Column { what: "store.redb, MiB", slack: 4.0 },
    Column { what: "other files, MiB", slack: 2.0 },
    Column { what: "open files", slack: 8.0 },
];

/// Bytes of all files in a directory.
fn size(dir: &Path) -> u64 {
    let of = |entry: DirEntry| match entry.metadata() {
        Ok(file) if file.is_dir() => size(&entry.path()),
        Ok(file) => file.len(),
        // It has gone meanwhile.
        Err(_) => 0,
    };
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(of).sum()
}

/// Objects of every kind that can be listed, but Dispatches.
async fn others(client: &Client) -> usize {
    let mut there = 0;
    for group in Discovery::new(client.clone()).run().await.unwrap().groups() {
        for (kind, can) in group.recommended_resources() {
            if can.supports_operation(verbs::LIST) && kind.kind != "Dispatch" {
                let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
                there += api.list(&ListParams::default()).await.unwrap().items.len();
            }
        }
    }
    there
}

pub async fn run(args: &Args) -> bool {
    let program: &'static str = args.controller.to_str().unwrap().to_owned().leak();
    let rig = Rig::new(program);
    let client = rig.up().client().await;
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": POOL},
        "spec": {"runtime": "Process", "min": WORKERS, "max": WORKERS,
            "dispatch": {"history": {"ttl": "5s", "limit": 100_000}}},
    });
    let pool: ContainerPool = serde_json::from_value(pool).unwrap();
    Api::default_namespaced(client.clone()).create(&PostParams::default(), &pool).await.unwrap();
    until("the workers are ready", || rig.run(&["get", "workers"]).stdout.matches(" Ready ").count() == WORKERS);
    let (pid, home) = (rig.pid().unsigned_abs(), rig.home());
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    judge(Feed::new(client.clone(), "default"), POOL, &args.length(), &COLUMNS, async |_, _| {
        let cpu = process::cpu(pid);
        let store = std::fs::metadata(home.join("store.redb")).unwrap().len();
        let values = [
            process::memory(pid).0,
            dispatches.list(&ListParams::default()).await.unwrap().items.len() as f64,
            others(&client).await as f64,
            store as f64 / MIB,
            (size(&home) - store) as f64 / MIB,
            std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as f64,
        ];
        Found { values, cpu }
    })
    .await
}
