//! Many dispatches through one controller on a real API server, one after the other: whether anything grows with their number.

use kube::api::{Api, ListParams};
use poolkeeper::api::Dispatch;
use serde_json::json;

use super::growth::{Column, Found, judge};
use super::stage::Stage;

const POOL: &str = "agents";
const WORKERS: usize = 32;

const COLUMNS: [Column; 6] = [
    Column { what: "memory (RSS), MiB", slack: 1.0 },
    Column { what: "dispatches in the store", slack: 200.0 },
    Column { what: "keys in etcd", slack: 200.0 },
    Column { what: "etcd after compaction, MiB", slack: 1.0 },
    Column { what: "writes for each", slack: 0.1 },
    Column { what: "entries", slack: 400.0 },
];

pub async fn run(stage: &Stage) -> bool {
    let feed = stage.feed();
    let controller = stage.controller();
    stage.make_pool(POOL, WORKERS, json!({"history": {"ttl": "5s", "limit": 100_000}})).await;
    stage.all_ready(WORKERS).await;
    let mut before = stage.counters().await;
    let flat = judge(feed, POOL, &stage.args.length(), &COLUMNS, async |more, _| {
        let counters = stage.counters().await;
        let cycle = counters.since(&before).cycle();
        before = counters;
        let cpu = controller.cpu();
        let api: Api<Dispatch> = Api::namespaced(stage.client.clone(), &stage.ns);
        let page = api.list(&ListParams::default().limit(1)).await.unwrap();
        let there = page.metadata.remaining_item_count.unwrap_or(0) + i64::try_from(page.items.len()).unwrap();
        let store = stage.compacted().await;
        let values = [
            controller.memory().0,
            there as f64,
            store.keys,
            store.mib,
            cycle.own() as f64 / more as f64,
            stage.entries().await,
        ];
        Found { values, cpu }
    })
    .await;
    controller.end();
    flat
}
