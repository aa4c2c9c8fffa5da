//! All of Poolkeeper in this process: the API, a controller on it, and one runtime.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::api::{DeleteParams, Patch};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use rustix::fs::Access;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::attempt::params;
use super::outdir::RunDir;
use super::progress::Progress;
use super::refusal::refusal;
use super::spec::Plan;
use crate::api::vocabulary::PoolRuntimeAllowed;
use crate::api::{Condition, ContainerPool, GROUP, RuntimeKind, VERSION, Worker, crd, names};
use crate::cli::exit::{Exit, Failure};
use crate::clock::{Clock, Ids};
use crate::controller;
use crate::local::{History, LocalApi, Options};
use crate::runtime::docker::{DockerOptions, DockerRuntime, Endpoint, OwnerProcess};
use crate::runtime::exec::Executor;
use crate::runtime::process::{self, ProcessExecutor, ProcessOptions, ProcessRuntime};
use crate::runtime::{LOCAL_HOST, Runtime, RuntimeError};

/// The one namespace of a local run.
pub const NAMESPACE: &str = "default";
/// Events that watches may be behind before they start over. Memory is the price.
const WINDOW: usize = 1024;
/// Least time between two roll-ups of the pool's status: a person waits for what it says.
const ROLLUP: Duration = Duration::from_millis(200);
/// After this long it is said what the end waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// An API without a controller.
pub struct Server {
    client: Client,
    clock: Arc<dyn Clock>,
    ids: Ids,
}

impl Server {
    /// An empty one.
    ///
    /// # Errors
    /// None in practice: the CRDs are known to be served.
    pub fn new(clock: Arc<dyn Clock>, ids: Ids) -> Result<Self, Failure> {
        let options =
            Options { crds: crd::all(), clock: clock.clone(), ids: ids.clone(), history: History::Window(WINDOW) };
        let api = LocalApi::new(options).map_err(|e| Failure::poolkeeper("the API in this process", e))?;
        Ok(Self { client: api.client(NAMESPACE), clock, ids })
    }

    /// Creates the pool; nothing acts on it yet. `file`: where it comes from, for messages.
    ///
    /// # Errors
    /// The API refuses it: every field that is wrong is named, with what would be right.
    pub async fn create_pool(&self, plan: &Plan, file: Option<&str>) -> Result<ContainerPool, Failure> {
        let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/containerpools?fieldValidation=Strict");
        let broken = |e: &dyn std::fmt::Display| Failure::poolkeeper("creating the pool", e);
        let body = serde_json::to_vec(&plan.pool).map_err(|e| broken(&e))?;
        let request =
            http::Request::post(path).header("content-type", "application/json").body(body).map_err(|e| broken(&e))?;
        self.client.request(request).await.map_err(|error| match error {
            kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
                Failure::usage(refusal(&status, &plan.pool, file))
            }
            error => broken(&error),
        })
    }
}

/// The API with a controller and a runtime.
pub struct Stack {
    /// Reaches the API.
    pub client: Client,
    /// Runs tasks in its workers.
    pub executor: Arc<dyn Executor>,
    controller: JoinHandle<()>,
    stop: CancellationToken,
}

impl Stack {
    /// Makes the runtime, removes what dead runs left behind, and starts the controller.
    ///
    /// # Errors
    /// The runtime cannot be had.
    pub async fn start(server: Server, kind: RuntimeKind, dir: &RunDir) -> Result<Self, Failure> {
        let (runtime, executor) = match kind {
            RuntimeKind::Docker => docker(dir).await?,
            RuntimeKind::Process | RuntimeKind::Pod => process(dir).await?,
        };
        let mut options = controller::Options::new(vec![runtime], server.clock, server.ids);
        options.namespace = Some(NAMESPACE.to_owned());
        options.rollup_interval = ROLLUP;
        options.local_credentials = true;
        let stop = CancellationToken::new();
        let controller = tokio::spawn(controller::run(server.client.clone(), options, stop.clone()));
        Ok(Self { client: server.client, executor, controller, stop })
    }

    /// Resolves should the controller end before it is told to.
    pub async fn broken(&mut self) -> Failure {
        let end = (&mut self.controller).await;
        Failure::poolkeeper(
            "the controller ended",
            end.err().map_or_else(|| "it was not told to".to_owned(), |e| e.to_string()),
        )
    }

    /// True once [`Self::broken`] would resolve.
    pub fn is_broken(&self) -> bool {
        self.controller.is_finished()
    }

    /// Deletes the pool, waits until the runtime confirmed that all its workers are gone, and stops the controller.
    /// `force`: open attempts end now.
    ///
    /// # Errors
    /// The API fails, which it does not in practice.
    pub async fn end(self, pool: &ContainerPool, force: bool, progress: &Progress) -> anyhow::Result<()> {
        let (name, uid) = (pool.name_any(), pool.uid().unwrap_or_default());
        let pools: Api<ContainerPool> = Api::namespaced(self.client.clone(), NAMESPACE);
        if force {
            let patch = json!({"metadata": {"annotations": {names::FORCE_DELETE: "true"}}});
            pools.patch(&name, &params(), &Patch::Merge(&patch)).await.context("ending open attempts")?;
        }
        pools.delete(&name, &DeleteParams::default()).await.context("deleting the pool")?;
        let gone = await_condition(pools, &name, conditions::is_deleted(&uid));
        tokio::pin!(gone);
        let late = tokio::select! {
            biased;
            gone = &mut gone => {
                gone.context("waiting for the end of the pool")?;
                false
            }
            () = tokio::time::sleep(PATIENCE) => true,
        };
        if late {
            progress.note(self.what_is_left().await);
            gone.await.context("waiting for the end of the pool")?;
        }
        self.stop.cancel();
        self.controller.await.context("the controller")
    }

    async fn what_is_left(&self) -> String {
        let workers: Api<Worker> = Api::namespaced(self.client.clone(), NAMESPACE);
        let left = workers.list(&kube::api::ListParams::default()).await.map(|l| l.items).unwrap_or_default();
        let one = |w: &Worker| {
            let why = w.status.as_ref().and_then(|s| s.message.clone());
            format!("{}{}", w.name_any(), why.map(|w| format!(" ({w})")).unwrap_or_default())
        };
        let names: Vec<String> = left.iter().take(5).map(one).collect();
        format!("still removing {} workers: {}; Ctrl-C leaves them to the next run", left.len(), names.join(", "))
    }
}

type Parts = (Arc<dyn Runtime>, Arc<dyn Executor>);

async fn process(dir: &RunDir) -> Result<Parts, Failure> {
    let run_dir = dir.runtime_dir();
    let failed = |e: RuntimeError| Failure::poolkeeper("runtime Process", e);
    // None is adopted: whatever an earlier run's task was doing is done anew.
    process::sweep_leftovers(&run_dir).await.map_err(failed)?;
    let runtime = ProcessRuntime::new(ProcessOptions::new(run_dir, dir.run_id())).await.map_err(failed)?;
    Ok((Arc::new(runtime), Arc::new(ProcessExecutor)))
}

async fn docker(dir: &RunDir) -> Result<Parts, Failure> {
    let options = DockerOptions {
        hosts: Vec::new(),
        installation: dir.run_id().to_owned(),
        owner_process: OwnerProcess::current(),
    };
    let runtime = DockerRuntime::new(options).map_err(|e| Failure::new(Exit::Unreachable, e.to_string()))?;
    let failed =
        |e: RuntimeError| Failure::new(if is_forbidden() { Exit::Forbidden } else { Exit::Unreachable }, e.to_string());
    runtime.probe(LOCAL_HOST).await.map_err(failed)?;
    // Those of this directory and of any other dead run: nobody else would remove them.
    runtime.sweep_leftovers(None).await.map_err(failed)?;
    let executor = runtime.executor();
    Ok((Arc::new(runtime), Arc::new(executor)))
}

/// True if the engine's socket is there, but not for this user.
fn is_forbidden() -> bool {
    let Ok(Endpoint::Unix(socket)) = Endpoint::find(|name| std::env::var(name).ok()) else { return false };
    let access = rustix::fs::access(&socket, Access::READ_OK | Access::WRITE_OK);
    matches!(access, Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM))
}

/// A message of the pool that says that its runtime is refused.
pub fn refused_runtime(pool: &ContainerPool) -> Option<String> {
    let conditions = &pool.status.as_ref()?.conditions;
    let refused = Condition::find::<PoolRuntimeAllowed>(conditions).filter(|c| !c.is_true())?;
    Some(refused.message.clone())
}

/// Names of the pool's credentials that were refused, if there is none that was not.
pub fn all_refused(pool: &ContainerPool) -> Option<String> {
    let rests = &pool.status.as_ref()?.rate_limits;
    let parked = |key: &str| rests.iter().any(|r| r.key == key && r.parked);
    let credentials = &pool.spec.credentials;
    let all = !credentials.is_empty() && credentials.iter().all(|c| parked(&c.identity()));
    all.then(|| credentials.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::clock::SystemClock;

    async fn create(spec: Value, file: Option<&str>) -> Result<ContainerPool, Failure> {
        let server = Server::new(Arc::new(SystemClock::new()), Ids::seeded(1)).unwrap();
        let pool = json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "pool"}, "spec": spec,
        });
        server.create_pool(&Plan { pool, runtime: RuntimeKind::Process, stays: false }, file).await
    }

    #[tokio::test]
    async fn the_api_says_what_is_wrong_and_the_flag_is_named() {
        for (spec, words) in [
            (json!({"min": 5, "max": 2}), &["min must be <= max"][..]),
            (json!({"max": 0}), &["spec.max", "greater than or equal to 1", "--workers"]),
            (json!({"max": -3}), &["spec.max", "-3", "--workers"]),
            (json!({"cooldown": "5 parsecs"}), &["spec.cooldown", "5 parsecs", "such as 90s", "--cooldown"]),
            (json!({"image": ""}), &["spec.image", "such as ghcr.io", "--image"]),
            (json!({"runtime": "Process", "image": "a"}), &["runtime Process has no image"]),
        ] {
            let error = create(spec, None).await.unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            for word in words {
                assert!(error.message.contains(word), "{word}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn fields_that_there_are_not_are_refused() {
        let error = create(json!({"colour": "red"}), Some("pool.yaml")).await.unwrap_err();
        assert!(
            error.message.contains("unknown field \"spec.colour\"") && error.message.contains("pool.yaml"),
            "{error}"
        );
    }
}
