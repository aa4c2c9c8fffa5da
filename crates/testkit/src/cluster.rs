//! The cluster under test: the one that `POOLKEEPER_TEST_API` (a kubeconfig) names, and a namespace of one's own in it.
//!
//! `scripts/cluster` makes such a cluster. `POOLKEEPER_TEST_NODE=1` says that it runs Pods and has the image [`IMAGE`].

use std::io::Write;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace as Object, ServiceAccount};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

/// An image that every node of a cluster under test has.
pub const IMAGE: &str = "docker.io/library/busybox:local";
/// Names the kubeconfig of the cluster under test.
const KUBECONFIG: &str = "POOLKEEPER_TEST_API";
/// Set if it has a real node.
const NODE: &str = "POOLKEEPER_TEST_NODE";
/// Set if it has nodes of kwok, which pretend to run Pods; they have the label `type=kwok`.
const KWOK: &str = "POOLKEEPER_TEST_KWOK";

/// A client of the cluster under test. None, with a loud line on stderr, if there is none.
pub async fn client() -> Option<Client> {
    client_that_tries_again(true).await
}

/// The same; the client itself retries a request that the server is too busy for, or not.
pub async fn client_that_tries_again(default_retry: bool) -> Option<Client> {
    let Some(path) = std::env::var_os(KUBECONFIG) else {
        skipped(&format!("{KUBECONFIG} names no kubeconfig (scripts/cluster makes a cluster)"));
        return None;
    };
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = default_retry;
    Some(Client::try_from(config).unwrap())
}

/// Says that a test was not run.
pub fn skipped(why: &str) {
    // Past the test harness, which keeps the output of tests that pass to itself.
    let (thread, mut stderr) = (std::thread::current(), std::io::stderr());
    writeln!(stderr, "SKIPPED: {}: {why}", thread.name().unwrap_or("?")).unwrap();
}

/// A namespace of one's own.
pub struct Namespace {
    pub client: Client,
    pub name: String,
}

impl Namespace {
    /// Makes one in a cluster whose Pods run. None, with a loud line on stderr, if there is no such cluster.
    pub async fn with_node() -> Option<Self> {
        if std::env::var_os(NODE).is_none() {
            skipped(&format!("{NODE} is not set: no node runs Pods here (scripts/cluster makes one)"));
            return None;
        }
        Some(Self::new(client().await?).await.with_account().await)
    }

    /// Makes one in a cluster whose nodes are kwok's. None, with a loud line on stderr, if there is no such cluster.
    pub async fn with_kwok() -> Option<Self> {
        if std::env::var_os(KWOK).is_none() {
            skipped(&format!("{KWOK} is not set: there are no nodes of kwok here (scripts/cluster makes some)"));
            return None;
        }
        Some(Self::new(client().await?).await.with_account().await)
    }

    /// Waits for what Pods need.
    async fn with_account(self) -> Self {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.name);
        // No Pod is admitted before.
        while accounts.get_opt("default").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self
    }

    /// Makes one.
    pub async fn new(client: Client) -> Self {
        let metadata = ObjectMeta { generate_name: Some("poolkeeper-test-".to_owned()), ..ObjectMeta::default() };
        let made = Api::<Object>::all(client.clone())
            .create(&PostParams::default(), &Object { metadata, ..Object::default() })
            .await
            .unwrap();
        Self { client, name: made.metadata.name.unwrap() }
    }

    /// Removes it with all that is in it; does not wait for that.
    pub async fn delete(self) {
        Api::<Object>::all(self.client).delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}
