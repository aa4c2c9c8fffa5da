//! Workers as Pods: one Pod for each Worker, never restarted.
//!
//! This module creates, watches and deletes the Pod. The program or user that requested the worker executes in it
//! (`kubectl exec`), with its own rights. The controller reads no Secret: a credential is a reference that the kubelet resolves.
//!
//! - `build`: the Pod that is created. `template`: how `spec.podTemplate` is merged into it.
//! - `helper`: the program in the Pod that runs tasks. `exec`: its client. `durable`: tasks that outlive contact. `plain`: tasks without the helper. `ending`: when output ends.
//! - `budget`, `nodes`: protection from eviction, and its end.
//! - `state`: what a Pod's status means.
//! - `seen`: what the watch showed. `observe`: the watch. `trim`: what it reads of a Pod.

mod budget;
mod build;
mod connections;
mod durable;
mod ending;
mod exec;
mod helper;
mod nodes;
mod observe;
mod plain;
mod seen;
mod state;
mod template;
mod trim;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

pub use exec::PodExecutor;
pub use template::CONTAINER;

use super::{Instance, InstanceKey, InstanceSpec, LOCAL_HOST, Observation, Runtime, RuntimeError, StartError};
use crate::api::dispatch::Target;
use crate::api::{RuntimeKind, names};
use crate::causes::with_causes;
use seen::Seen;

/// An API server that does not answer for so long has not answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a Pod may take to go beyond its own grace before it is said that it does not.
const GOING: Duration = Duration::from_secs(60);
/// A Pod that is waited for is asked for this often, should the watch not tell.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// What is said of a Pod that may be a Worker's and does not say so.
const UNLABELLED: &str = "the Pod has lost its labels";
/// How long the start of a worker waits until it is known which nodes are cordoned.
const NODES_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests under way at a time. More do not make the API server faster.
const REQUESTS: usize = 32;

/// Makes workers Pods.
pub struct PodRuntime {
    client: Client,
    installation: String,
    namespace: Option<String>,
    seen: Arc<Seen>,
    requests: Semaphore,
    /// The image that the helper comes from. None: Pods have no helper.
    helper: Option<String>,
    /// Follows nodes, and protects busy workers on them.
    protects: bool,
    /// Whether cordoned nodes are known. Without that, no worker would leave a node, so none is protected.
    nodes: Arc<nodes::Followed>,
    /// Uids of the pools whose budget was created.
    budgets: Mutex<BTreeSet<String>>,
}

impl PodRuntime {
    /// `installation`: the id on every Pod that is made here. `namespace`: follow this one only.
    pub fn new(client: Client, installation: String, namespace: Option<String>) -> Self {
        Self {
            client,
            installation,
            namespace,
            seen: Arc::default(),
            requests: Semaphore::new(REQUESTS),
            helper: None,
            protects: false,
            nodes: Arc::new(nodes::Followed::new(None)),
            budgets: Mutex::default(),
        }
    }

    /// Adds the helper that runs tasks to each Pod, from this image of Poolkeeper.
    #[must_use]
    pub fn with_helper(mut self, image: Option<String>) -> Self {
        self.helper = image;
        self
    }

    /// Follows nodes too, and protects workers from eviction. Needs the rights to list and watch nodes, to create
    /// PodDisruptionBudgets and to patch Pods; without the first, no worker is protected.
    #[must_use]
    pub fn protecting(mut self) -> Self {
        self.protects = true;
        self
    }

    /// True if the worker can be protected from eviction: its pool has a budget, and it is known when its node is drained.
    async fn protect(&self, spec: &InstanceSpec) -> bool {
        if !self.protects || spec.protected_for.is_none() {
            return false;
        }
        let mut nodes = self.nodes.subscribe();
        let known = async { nodes.wait_for(Option::is_some).await.is_ok_and(|known| *known == Some(true)) };
        if !tokio::time::timeout(NODES_TIMEOUT, known).await.unwrap_or(false) {
            return false;
        }
        let budgets = || self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets().contains(&spec.pool_uid) {
            return true;
        }
        let path = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", spec.key.namespace);
        match self.post::<PodDisruptionBudget>(path, &budget::budget(spec)).await {
            Ok(_) | Err(RequestError::Exists) => {
                budgets().insert(spec.pool_uid.clone());
                true
            }
            Err(error) => {
                tracing::warn!(
                    pool = spec.pool, namespace = spec.key.namespace, %error,
                    "the PodDisruptionBudget cannot be created, so the worker is not protected from eviction"
                );
                false
            }
        }
    }

    async fn asked<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, RequestError> {
        let _turn = self.requests.acquire().await;
        match tokio::time::timeout(ANSWER_TIMEOUT, request).await {
            Ok(answer) => answer.map_err(RequestError::from),
            Err(_) => {
                Err(RequestError::Lost(format!("the API server did not answer within {}s", ANSWER_TIMEOUT.as_secs())))
            }
        }
    }

    /// The Pod of a Worker, if there is one. The Worker's uid alone says whose it is: there is no second one with it, while an
    /// installation's id is lost with its Lease.
    async fn find(&self, key: &InstanceKey) -> Result<Option<Pod>, RequestError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let pod = self.asked(api.get_opt(&key.instance_name())).await?;
        let ours = |pod: &Pod| pod.metadata.labels.as_ref().and_then(|l| l.get(names::WORKER_UID)) == Some(&key.uid);
        Ok(pod.filter(ours))
    }

    fn instance(&self, pod: &Pod, before: Option<&Instance>) -> Option<Instance> {
        state::instance(pod, &self.installation, before)
    }

    async fn create(&self, pod: &serde_json::Value, key: &InstanceKey) -> Result<Pod, RequestError> {
        // A template's field that there is not would otherwise be dropped without a word.
        self.post(format!("/api/v1/namespaces/{}/pods?fieldValidation=Strict", key.namespace), pod).await
    }

    async fn post<K: DeserializeOwned>(&self, path: String, object: &serde_json::Value) -> Result<K, RequestError> {
        let broken = |e: &dyn std::fmt::Display| RequestError::Refused(format!("the object cannot be sent: {e}"));
        let body = serde_json::to_vec(object).map_err(|e| broken(&e))?;
        let request = http::Request::post(path).header("content-type", "application/json").body(body);
        self.asked(self.client.request(request.map_err(|e| broken(&e))?)).await
    }

    fn known(host: &str) -> Result<(), String> {
        if host == LOCAL_HOST { Ok(()) } else { Err(format!("runtime Pod has no host {host:?}: leave spec.hosts out")) }
    }
}

/// Why a request to the API server failed.
#[derive(thiserror::Error, Debug)]
enum RequestError {
    /// An object with that name exists.
    #[error("it already exists")]
    Exists,
    /// The API server refused it for a reason that may pass.
    #[error("{0}")]
    NotNow(String),
    /// The API server refused it.
    #[error("{0}")]
    Refused(String),
    /// It may have had its effect.
    #[error("{0}")]
    Lost(String),
}

impl RequestError {
    /// The same error in words that do not change with each try: a Pod that was refused has no name that people could look for,
    /// so the Worker's stands in its place.
    fn about(self, key: &InstanceKey) -> Self {
        let stable = |words: String| words.replace(&key.instance_name(), &key.worker);
        match self {
            Self::Exists => Self::Exists,
            Self::NotNow(words) => Self::NotNow(stable(words)),
            Self::Refused(words) => Self::Refused(stable(words)),
            Self::Lost(words) => Self::Lost(stable(words)),
        }
    }
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::Lost(with_causes(&error)) };
        let words = status.message.clone();
        match status.code {
            409 if status.reason == "AlreadyExists" => Self::Exists,
            // The words of the quota's admission plugin; its reason is Forbidden, as that of all others.
            403 if words.contains("exceeded quota") => Self::NotNow(words),
            400..=408 | 410..=428 => Self::Refused(words),
            _ => Self::Lost(words),
        }
    }
}

impl From<RequestError> for RuntimeError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Exists => Self::Unreachable(error.to_string()),
            RequestError::NotNow(why) | RequestError::Refused(why) => Self::Refused(why),
            RequestError::Lost(why) => Self::Unreachable(why),
        }
    }
}

#[async_trait]
impl Runtime for PodRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Pod
    }

    fn hosts(&self) -> Vec<String> {
        vec![LOCAL_HOST.to_owned()]
    }

    /// Waiting for the end of a Pod costs nothing; requests have a limit of their own.
    fn parallel(&self) -> usize {
        4096
    }

    fn observe(&self, host: &str) -> BoxStream<'static, Observation> {
        match Self::known(host) {
            Ok(()) => {
                let api = match &self.namespace {
                    Some(namespace) => Api::namespaced(self.client.clone(), namespace),
                    None => Api::all(self.client.clone()),
                };
                let pods = observe::observe(api, self.installation.clone(), self.seen.clone());
                if !self.protects {
                    return pods;
                }
                let nodes = nodes::follow(self.client.clone(), self.seen.clone(), self.nodes.clone());
                stream::select(pods, nodes).boxed()
            }
            Err(why) => stream::iter([Observation::Unreachable(why)]).chain(stream::pending()).boxed(),
        }
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<Instance, StartError> {
        Self::known(&spec.host).map_err(StartError::Refused)?;
        let protected_for = if self.protect(spec).await { spec.protected_for } else { None };
        let spec = &InstanceSpec { protected_for, ..spec.clone() };
        let mut pod = build::pod(spec, &self.installation).map_err(StartError::Refused)?;
        if let Some(image) = &self.helper {
            helper::add(&mut pod, image);
        }
        let made = match self.create(&pod, &spec.key).await.map_err(|error| error.about(&spec.key)) {
            Ok(pod) => pod,
            Err(RequestError::Exists) => match self.find(&spec.key).await {
                Ok(Some(pod)) => pod,
                Ok(None) => {
                    let name = spec.key.instance_name();
                    return Err(StartError::Refused(format!(
                        "Pod {name:?} already exists and was not created by Poolkeeper; delete or rename it"
                    )));
                }
                Err(error) => return Err(StartError::Unknown(error.to_string())),
            },
            Err(RequestError::NotNow(why)) => return Err(StartError::NotNow(why)),
            Err(RequestError::Refused(why)) => return Err(StartError::Refused(why)),
            Err(RequestError::Lost(why)) => return Err(StartError::Unknown(why)),
        };
        let before = self.seen.get(&spec.key);
        self.instance(&made, before.as_ref()).ok_or_else(|| StartError::Unknown(UNLABELLED.to_owned()))
    }

    async fn stop(&self, host: &str, key: &InstanceKey) -> Result<(), RuntimeError> {
        Self::known(host).map_err(RuntimeError::Refused)?;
        let Some(pod) = self.find(key).await? else { return Ok(()) };
        let grace = pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds).unwrap_or(0);
        let uid = pod.metadata.uid.clone();
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        match self.asked(api.delete(&key.instance_name(), &params)).await {
            Ok(_) => {}
            // It has been removed meanwhile, or another Pod has the name, which is not ours to touch.
            Err(RequestError::Refused(_) | RequestError::Exists)
                if self.find(key).await?.is_none_or(|p| p.metadata.uid != uid) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let limit = Duration::from_secs(u64::try_from(grace).unwrap_or(0)) + GOING;
        let gone = async {
            let mut going = self.seen.going(key);
            loop {
                match self.find(key).await? {
                    Some(pod) if pod.metadata.uid == uid => {}
                    _ => return Ok(()),
                }
                let _ = tokio::time::timeout(ASK_AGAIN, going.notified()).await;
            }
        };
        let late = || {
            Err(RuntimeError::Unreachable(format!(
                "Pod {} is still there {}s after its deletion",
                key.instance_name(),
                limit.as_secs()
            )))
        };
        tokio::time::timeout(limit, gone).await.unwrap_or_else(|_| late())
    }

    async fn check(&self, host: &str, key: &InstanceKey) -> Result<Option<Instance>, RuntimeError> {
        Self::known(host).map_err(RuntimeError::Refused)?;
        // The watch tells as soon as the API server knows. Absence from it is no fact.
        if let Some(known) = self.seen.checked(key) {
            return known.map(Some);
        }
        let Some(pod) = self.find(key).await? else { return Ok(None) };
        match state::is_hollow(&pod) {
            Some(why) => Err(RuntimeError::Refused(why)),
            // It exists, so it is not gone.
            None => match self.instance(&pod, self.seen.get(key).as_ref()) {
                Some(instance) => Ok(Some(instance)),
                None => Err(RuntimeError::Refused(UNLABELLED.to_owned())),
            },
        }
    }

    fn target(&self, instance: &Instance) -> Target {
        target(&instance.key)
    }
}

/// How to reach a worker with the rights of the caller.
pub fn target(key: &InstanceKey) -> Target {
    let id = key.instance_name();
    let argv = ["kubectl", "exec", "-i", "-n", &key.namespace, &id, "-c", CONTAINER, "--"];
    Target { runtime: RuntimeKind::Pod, host: None, argv: argv.map(str::to_owned).to_vec(), id, endpoint: None }
}

#[cfg(test)]
mod tests;
