//! A namespace on a real API server, a controller for it, and what is measured of both.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use poolkeeper::api::ContainerPool;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::feed::{Feed, again};
use super::process::Controller;
use super::server::Counters;
use super::{Args, pods};

/// Until a controller has done what follows its start, and what follows a load.
pub const SETTLE: Duration = Duration::from_secs(20);
/// Versions that a compaction leaves: watches that are a little behind go on.
const VERSIONS: u64 = 2_000;

pub struct Stage {
    pub args: Args,
    pub client: Client,
    pub ns: String,
    etcd: Client,
    pods: tokio::task::JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.pods.abort();
    }
}

/// A client without credentials.
fn plain(url: &str) -> Client {
    Client::try_from(Config::new(url.parse().unwrap())).expect("a client")
}

/// The value of a series, by the beginning of its line.
fn series(text: &str, beginning: &str) -> Option<f64> {
    text.lines().find_map(|l| l.strip_prefix(beginning)?.rsplit(' ').next()?.parse().ok())
}

/// What etcd holds.
pub struct Store {
    /// Objects, with those of Kubernetes itself.
    pub keys: f64,
    pub mib: f64,
}

impl Stage {
    pub async fn set(args: Args) -> Self {
        let file = Kubeconfig::read_from(&args.kubeconfig).expect("the kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("the kubeconfig");
        let client = Client::try_from(config).expect("a client");
        let ns = format!("pk-scale-{}", std::process::id());
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": ns}})).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let pods = pods::pretend(client.clone(), &ns);
        Self { etcd: plain(&args.etcd), args, client, ns, pods }
    }

    pub fn controller(&self) -> Controller {
        Controller::start(&self.args.controller, &self.args.kubeconfig, &self.ns)
    }

    pub fn feed(&self) -> Feed {
        Feed::new(self.client.clone(), &self.ns)
    }

    pub async fn make_pool(&self, name: &str, workers: usize, dispatch: Value) {
        let pool = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name},
            "spec": {"image": "worker:1", "min": workers, "max": workers, "command": ["sleep", "infinity"],
                "dispatch": dispatch}});
        let pool: ContainerPool = serde_json::from_value(pool).unwrap();
        let (api, params) = (Api::<ContainerPool>::namespaced(self.client.clone(), &self.ns), PostParams::default());
        again(|| api.create(&params, &pool)).await;
    }

    /// Waits until so many workers of all pools are ready, by the pools' own word.
    pub async fn all_ready(&self, workers: usize) {
        let api: Api<ContainerPool> = Api::namespaced(self.client.clone(), &self.ns);
        loop {
            if let Ok(pools) = api.list(&ListParams::default()).await {
                let ready = pools.items.iter().filter_map(|p| p.status.as_ref()).map(|s| i64::from(s.ready));
                if usize::try_from(ready.sum::<i64>()).unwrap() == workers {
                    return;
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// The controller's own metrics. It says in its log where they are.
    pub async fn metrics(&self) -> String {
        let log = std::env::temp_dir().join(format!("{}-controller.log", self.ns));
        loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some((_, rest)) = text.split_once(" http=") {
                let address = rest.split_whitespace().next().unwrap_or_default();
                let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
                if let Ok(text) = plain(&format!("http://{address}")).request_text(request).await
                    && text.contains("poolkeeper_pools ")
                {
                    return text;
                }
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// How many dispatches wait, as the controller knows them.
    pub async fn waiting(&self) -> usize {
        series(&self.metrics().await, "poolkeeper_queue_length{").unwrap_or_default() as usize
    }

    /// Entries of all tables of the controller.
    pub async fn entries(&self) -> f64 {
        let text = self.metrics().await;
        let tables = text.lines().filter(|l| l.starts_with("poolkeeper_loop_entries{"));
        tables.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub async fn counters(&self) -> Counters {
        Counters::read(&self.client).await
    }

    async fn ask_etcd(&self, path: &str, body: &Value) -> Option<Value> {
        let request = http::Request::post(path).body(serde_json::to_vec(body).unwrap()).unwrap();
        serde_json::from_str(&self.etcd.request_text(request).await.ok()?).ok()
    }

    /// Compacts etcd, and measures what is left.
    pub async fn compacted(&self) -> Store {
        let range = self.ask_etcd("/v3/kv/range", &json!({"key": "AA==", "limit": "1"})).await.expect("etcd's answer");
        let now: u64 = range["header"]["revision"].as_str().unwrap().parse().unwrap();
        let compaction = json!({"revision": now.saturating_sub(VERSIONS).max(1).to_string(), "physical": true});
        // The API server may have gone further by itself.
        let _ = self.ask_etcd("/v3/kv/compaction", &compaction).await;
        sleep(Duration::from_secs(1)).await;
        let text = self.etcd.request_text(http::Request::get("/metrics").body(Vec::new()).unwrap()).await.unwrap();
        let of = |name| series(&text, name).unwrap_or(f64::NAN);
        Store {
            keys: of("etcd_debugging_mvcc_keys_total"),
            mib: of("etcd_mvcc_db_total_size_in_use_in_bytes") / 1_048_576.0,
        }
    }

    /// What a controller uses and what is written over a time: percent of a core, and the writes by resource.
    pub async fn at_rest(&self, controller: &Controller, span: Duration) -> (f64, String) {
        let (begin, cpu, before) = (Instant::now(), controller.cpu(), self.counters().await);
        sleep(span).await;
        let share = 100.0 * controller.cpu().saturating_sub(cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
        let ours = |group: &str, resource: &str| group == "poolkeeper.dev" || ["pods", "events"].contains(&resource);
        let written = self.counters().await.since(&before).describe(ours);
        (share, if written.is_empty() { "none".to_owned() } else { written.join(", ") })
    }
}

/// In seconds.
pub fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// In words.
pub fn ms(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

/// Resident memory of a controller, and the most that it ever was.
pub fn memory(controller: &Controller) -> String {
    let (now, most) = controller.memory();
    format!("{now:.1} MiB (at most {most:.1})")
}
