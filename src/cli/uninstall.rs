//! `poolkeeper uninstall`: deletes the pools while there is a controller that removes their finalizers.
//!
//! Pools and Workers have finalizers. Without a controller nothing removes these, and deleted objects stay for ever.
//! So this runs before the controller is removed. The chart runs it as a hook.

use std::time::Duration;

use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};

use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output::say;
use super::server::{Server, ServerArgs};
use crate::api::{ContainerPool, Period, Worker, crd};
use crate::causes::with_causes;

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_secs(1);
/// It is said what is waited for every so many looks.
const SAY: usize = 10;
/// Workers that are named when time is up.
const NAMED: usize = 10;
/// What can be done where work is left.
const BUSY: &str = "report, cancel or delete their dispatches, or wait longer with --wait-timeout";
/// What to do where no dispatch holds a worker: the controller is away, or cannot remove the finalizers.
const STUCK: &str = "no dispatch holds it: does the controller run, and what does its log say? \
                     `kubectl get pods -A -l app.kubernetes.io/name=poolkeeper` shows it; without one, or where a node was lost, \
                     docs/kubernetes.md has the rescue";

/// Delete all pools, wait until their workers are gone, then delete the CustomResourceDefinitions
///
/// Run it before the controller is removed, because the controller removes the finalizers of pools and workers. It waits for
/// busy workers. With --namespace only the pools of that namespace are deleted, and the CustomResourceDefinitions stay, since
/// other namespaces may need them. It is for clusters: `poolkeeper local down --purge` removes the local server.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  poolkeeper uninstall --context prod --wait-timeout 30m")]
pub struct UninstallArgs {
    /// How long to wait for busy workers
    #[arg(long, value_name = "TIME", default_value = "5m")]
    wait_timeout: Period,
    /// Leave the CustomResourceDefinitions there
    #[arg(long)]
    keep_crds: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for UninstallArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let server = self.server.connect().await?;
        if server.is_local {
            let message = "uninstall is for clusters, and this is the local server: `poolkeeper local down --purge` removes it; --context names a cluster";
            return Err(Failure::usage(message));
        }
        server.say_which();
        let Server { client, title, .. } = server;
        self.remove_all(client).await.map_err(|failure| match failure.exit {
            Exit::Unreachable => Failure::new(failure.exit, format!("{title}: {failure}")),
            _ => failure,
        })?;
        Ok(Exit::Success)
    }
}

impl UninstallArgs {
    async fn remove_all(self, client: Client) -> Result<(), Failure> {
        let limit = self.wait_timeout.get();
        let emptied = tokio::time::timeout(limit, self.empty(&client)).await;
        let Ok(emptied) = emptied else {
            let (left, busy) = self.left(&client).await?;
            let advice = if busy { BUSY } else { STUCK };
            return Err(Failure::new(
                Exit::WaitedTooLong,
                format!("after {} there still is {left}; {advice}", self.wait_timeout),
            ));
        };
        emptied?;
        // Other namespaces may have pools too, and these would go with their definition.
        if !self.keep_crds && self.server.namespace().is_none() {
            let crds: Api<CustomResourceDefinition> = Api::all(client);
            for name in crd::all().iter().map(ResourceExt::name_any) {
                gone(crds.delete(&name, &DeleteParams::default()).await.map(drop))?;
                say(&format!("deleted {name}"));
            }
        }
        Ok(())
    }

    /// Deletes the pools and waits until neither they nor workers are there. Pools that are made meanwhile go too.
    async fn empty(&self, client: &Client) -> Result<(), Failure> {
        for look in 0_usize.. {
            let pools = listed(self.api::<ContainerPool>(client).list(&ListParams::default()).await)?;
            for pool in pools.iter().filter(|p| p.metadata.deletion_timestamp.is_none()) {
                let namespace = pool.namespace().unwrap_or_default();
                let api: Api<ContainerPool> = Api::namespaced(client.clone(), &namespace);
                gone(api.delete(&pool.name_any(), &DeleteParams::default()).await.map(drop))?;
                say(&format!("deleting pool {namespace}/{}", pool.name_any()));
            }
            if pools.is_empty() && listed(self.api::<Worker>(client).list(&ListParams::default()).await)?.is_empty() {
                break;
            }
            if look > 0 && look % SAY == 0 {
                say(&format!("waiting for {}", self.left(client).await?.0));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// What is left, for people, and whether any of it has a dispatch. Busy workers come first.
    async fn left(&self, client: &Client) -> Result<(String, bool), Failure> {
        let mut workers = listed(self.api::<Worker>(client).list(&ListParams::default()).await)?;
        let busy = |w: &Worker| w.status.as_ref().is_some_and(|s| s.dispatch.is_some());
        workers.sort_by_key(|w| !busy(w));
        let mut names: Vec<String> = workers.iter().map(worker).collect();
        if workers.is_empty() {
            let pools = listed(self.api::<ContainerPool>(client).list(&ListParams::default()).await)?;
            names = pools.iter().map(|p| format!("pool {}", named(p))).collect();
        }
        let text = match names.len() {
            0 => "nothing any more".to_owned(),
            n if n > NAMED => format!("{} and {} more", names[..NAMED].join(", "), n - NAMED),
            _ => names.join(", "),
        };
        Ok((text, workers.iter().any(busy)))
    }

    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        match self.server.namespace() {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
}

fn named<K: ResourceExt>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// A worker, with what it does and its last message.
fn worker(worker: &Worker) -> String {
    let status = worker.status.as_ref();
    let busy = status.and_then(|s| s.dispatch.as_ref()).map(|d| format!("busy with {}", d.name));
    let message = status.and_then(|s| s.message.clone()).filter(|m| !m.is_empty());
    let more: Vec<String> = busy.into_iter().chain(message).collect();
    if more.is_empty() { named(worker) } else { format!("{} ({})", named(worker), more.join("; ")) }
}

/// A kind that is not served has no objects.
fn listed<K: Clone>(answer: Result<kube::core::ObjectList<K>, kube::Error>) -> Result<Vec<K>, Failure> {
    match answer {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(failure(&error)),
    }
}

/// What is not there is gone.
fn gone(answer: Result<(), kube::Error>) -> Result<(), Failure> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map_err(|e| failure(&e)),
    }
}

fn failure(error: &kube::Error) -> Failure {
    let code = match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => Exit::Forbidden,
        kube::Error::Api(_) => Exit::Failed,
        _ => Exit::Unreachable,
    };
    Failure::new(code, with_causes(error))
}
