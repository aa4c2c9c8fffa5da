//! On a real API server.
//!
//! - `server`: what the API server counted. `plain`: what a plain status PATCH takes there.
//! - `process`: the controller. `supervisor`: the program that requests workers.
//! - `scenarios`: dispatches under several loads. `rest`: many workers without any.

mod plain;
mod process;
mod rest;
mod scenarios;
mod server;
mod supervisor;

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use poolkeeper::api::ContainerPool;
use serde_json::json;

const USAGE: &str = "cargo bench --bench cycle -- --kubeconfig FILE [--workers N] [--dispatches N] [--seconds N]
    [--pools N] [--per-pool N] [--rest-seconds N] [serial|cycles|queued|poisson45|half|ninety|burst|release|rest]...
$POOLKEEPER: the controller's binary, instead of the one just built. The cluster is for nothing else, and its nodes are
kwok's (label type=kwok): what is made there stays. Without a scenario: all.";

/// In the order in which they run. `half` and `ninety` want `cycles`.
const SCENARIOS: [&str; 9] = ["serial", "cycles", "queued", "poisson45", "half", "ninety", "burst", "release", "rest"];

pub struct Args {
    kubeconfig: PathBuf,
    controller: PathBuf,
    /// Warm workers; dispatches of a burst.
    workers: usize,
    /// Dispatches of `cycles`.
    dispatches: usize,
    /// Length of the loads at a rate.
    seconds: u64,
    pools: usize,
    per_pool: usize,
    rest_seconds: u64,
    scenarios: Vec<String>,
}

impl Args {
    pub fn parse(args: &[String]) -> Self {
        let controller = std::env::var_os("POOLKEEPER").unwrap_or_else(|| env!("CARGO_BIN_EXE_poolkeeper").into());
        let mut parsed = Self {
            kubeconfig: PathBuf::new(),
            controller: controller.into(),
            workers: 300,
            dispatches: 2_000,
            seconds: 20,
            pools: 1_000,
            per_pool: 10,
            rest_seconds: 60,
            scenarios: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} wants a value\n{USAGE}"));
            let number = |text: &String| text.parse::<usize>().unwrap_or_else(|e| panic!("{arg} {text}: {e}\n{USAGE}"));
            match arg.as_str() {
                "--kubeconfig" => parsed.kubeconfig = value().into(),
                "--workers" => parsed.workers = number(value()),
                "--dispatches" => parsed.dispatches = number(value()),
                "--seconds" => parsed.seconds = number(value()) as u64,
                "--pools" => parsed.pools = number(value()),
                "--per-pool" => parsed.per_pool = number(value()),
                "--rest-seconds" => parsed.rest_seconds = number(value()) as u64,
                name if SCENARIOS.contains(&name) => parsed.scenarios.push(name.to_owned()),
                _ => panic!("{arg}?\n{USAGE}"),
            }
        }
        assert!(!parsed.kubeconfig.as_os_str().is_empty(), "{USAGE}");
        parsed
    }

    fn wants(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|s| s == scenario)
    }
}

/// A line of the table.
fn row(cells: [&str; 4]) {
    println!("| {} |", cells.join(" | "));
}

fn ms(time: f64) -> String {
    format!("{:.1} ms", time * 1e3)
}

/// In seconds.
fn percentile(times: &[Duration], p: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get((times.len().saturating_sub(1)) * p / 100).map_or(f64::NAN, Duration::as_secs_f64)
}

async fn namespace(client: &Client, name: &str) {
    let ns = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &ns).await.unwrap();
}

async fn make_pool(client: &Client, ns: &str, name: &str, workers: usize) {
    let pool = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name},
        "spec": {"image": "worker:1", "min": workers, "max": workers, "command": ["sleep", "infinity"],
            "podTemplate": {"spec": {"nodeSelector": {"type": "kwok"}}},
            "dispatch": {"queueLimit": 100_000}}});
    let api: Api<ContainerPool> = Api::namespaced(client.clone(), ns);
    api.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
}

async fn set_paused(client: &Client, ns: &str, name: &str, paused: bool) {
    let api: Api<ContainerPool> = Api::namespaced(client.clone(), ns);
    let patch = Patch::Merge(json!({"spec": {"paused": paused}}));
    api.patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// Waits until so many workers of all pools of a namespace are ready, by the pools' own word.
async fn all_ready(client: &Client, ns: &str, workers: usize) {
    let api: Api<ContainerPool> = Api::namespaced(client.clone(), ns);
    let mut before = (0, std::time::Instant::now());
    loop {
        let pools = api.list(&ListParams::default()).await.unwrap().items;
        let ready: i64 = pools.iter().filter_map(|p| p.status.as_ref()).map(|s| i64::from(s.ready)).sum();
        let ready = usize::try_from(ready).unwrap();
        if ready == workers {
            return;
        }
        if ready > before.0 {
            before = (ready, std::time::Instant::now());
        }
        assert!(
            before.1.elapsed() < Duration::from_secs(120),
            "{ready} of {workers} workers are ready, no more for 120 s"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').take(3).collect::<Vec<_>>().join(" ")
}

pub async fn run(args: Args) {
    let file = Kubeconfig::read_from(&args.kubeconfig).expect("the kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("the kubeconfig");
    let client = Client::try_from(config).expect("a client");
    println!("load before: {}\n", load());
    row(["what", "figure", "compared with", "aim"]);
    println!("|---|---|---|---|");
    if SCENARIOS.iter().any(|s| *s != "rest" && args.wants(s)) {
        scenarios::run(&client, &args).await;
    }
    if args.wants("rest") {
        rest::run(&client, &args).await;
    }
    println!("\nload after: {}", load());
}
