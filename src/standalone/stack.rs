//! The API in this process, a controller on it, and one runtime: what `run --local` works with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use kube::api::{DeleteParams, Patch};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use rustix::fs::Access;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::credential_watch::CredentialWatch;
use crate::api::pool::Credential;
use crate::api::{ContainerPool, GROUP, RuntimeKind, VERSION, Worker, crd, names};
use crate::clock::{Clock, Ids};
use crate::controller;
use crate::local::{History, LocalApi, Options};
use crate::runtime::assemble::{Assembled, assemble};
use crate::runtime::config::RuntimeConfig;
use crate::runtime::credentials::{Changes, Resolver};
use crate::runtime::docker::{Endpoint, HostOptions, OwnerProcess};
use crate::runtime::process::Inherited;
use crate::runtime::{LOCAL_HOST, RuntimeError, process};
use crate::supervisor::Place;
use crate::supervisor::outcome;
use crate::supervisor::report::params;
use crate::supervisor::tracker::Tracker;

/// The one namespace of a local run.
pub const NAMESPACE: &str = "default";
/// How many events a watch may be behind before it starts over. More cost memory.
const WINDOW: usize = 1024;
/// The least time between two roll-ups of the pool's status. It is short because a person waits for what the status says.
const ROLLUP: Duration = Duration::from_millis(200);
/// After this long a message says what the end waits for.
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
    /// This does not fail in practice: the CRDs are known to be valid.
    pub fn new(clock: Arc<dyn Clock>, ids: Ids) -> Result<Self, Error> {
        let options =
            Options { crds: crd::all(), clock: clock.clone(), ids: ids.clone(), history: History::Window(WINDOW) };
        let api = LocalApi::new(options).map_err(|e| Error::Api(e.to_string()))?;
        Ok(Self { client: api.client(NAMESPACE), clock, ids })
    }

    /// Creates the pool. Nothing acts on it yet.
    ///
    /// # Errors
    /// The API refuses it, and names every field that is wrong.
    pub async fn create_pool(&self, pool: &Value) -> Result<ContainerPool, Error> {
        let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/containerpools?fieldValidation=Strict");
        let body = serde_json::to_vec(pool).map_err(|e| Error::CreatePool(e.into()))?;
        let request = http::Request::post(path).header("content-type", "application/json").body(body);
        let request = request.map_err(|e| Error::CreatePool(e.into()))?;
        self.client.request(request).await.map_err(|error| match error {
            kube::Error::Api(status) if matches!(status.code, 400 | 422) => Error::InvalidPool(status),
            error => Error::CreatePool(error.into()),
        })
    }
}

/// The Docker hosts of a run.
#[derive(Clone, Debug)]
pub struct DockerHosts {
    /// Hosts with their addresses. One called `local` is added, if none is.
    pub known: Vec<HostOptions>,
    /// The names of those that the pool uses.
    pub used: Vec<String>,
}

impl Default for DockerHosts {
    /// The engine that `docker` would use.
    fn default() -> Self {
        Self { known: Vec::new(), used: vec![LOCAL_HOST.to_owned()] }
    }
}

/// The API with a controller and a runtime.
pub struct Stack {
    client: Client,
    place: Place,
    controller: Shared<BoxFuture<'static, Result<(), Arc<str>>>>,
    stop: CancellationToken,
    _watch: CredentialWatch,
}

impl Stack {
    /// Makes the runtime of the run `run_id`, which keeps its records in `run_dir`, for a pool with these credentials; removes what dead runs left behind; and
    /// starts the controller.
    ///
    /// # Errors
    /// The runtime cannot be used.
    pub async fn start(
        server: Server,
        kind: RuntimeKind,
        run_id: &str,
        run_dir: &Path,
        credentials: &[Credential],
        docker_hosts: DockerHosts,
    ) -> Result<Self, Error> {
        let mut config = RuntimeConfig::new(vec![kind], run_id);
        (config.run_dir, config.docker_hosts) = (Some(run_dir.to_owned()), docker_hosts.known);
        config.owner_process = OwnerProcess::current();
        config.inherited = Inherited::Without(credentials.iter().filter_map(|c| c.from_env.clone()).collect());
        let changes = Changes::default();
        config.credentials = Resolver::default().noting(&changes);
        let watch = CredentialWatch::begin(
            server.client.clone(),
            config.credentials.clone(),
            changes,
            None,
            run_id.to_owned(),
            server.clock.clone(),
        );
        if kind == RuntimeKind::Process {
            // No worker is adopted: whatever a task of an earlier run was doing is done again.
            process::sweep_leftovers(run_dir).await.map_err(Error::Process)?;
        }
        let Assembled { runtimes, executors, docker, .. } = assemble(&config, None).await?;
        if let Some(docker) = docker {
            let failed = |source: RuntimeError| Error::Docker { source, forbidden: is_forbidden() };
            let mut unreachable = None;
            let mut used = 0;
            for host in &docker_hosts.used {
                if let Err(source) = docker.probe(host).await {
                    tracing::warn!(host, error = %source, "the run begins without this host");
                    unreachable.get_or_insert(source);
                    continue;
                }
                used += 1;
                // Those of this directory and of every other dead run: nothing else would remove them.
                docker.sweep_leftovers(host, None).await.map_err(failed)?;
            }
            if let (0, Some(source)) = (used, unreachable) {
                return Err(failed(source));
            }
        }
        let mut options = controller::Options::new(runtimes, server.clock, server.ids);
        options.namespace = Some(NAMESPACE.to_owned());
        options.rollup_interval = ROLLUP;
        options.local_credentials = true;
        options.changed_credentials = Some(watch.changed());
        options.check_pattern = outcome::check_pattern;
        let stop = CancellationToken::new();
        let controller = tokio::spawn(controller::run(server.client.clone(), options, stop.clone()));
        let controller = async move { controller.await.map_err(|e| Arc::from(e.to_string())) }.boxed().shared();
        let ended = controller.clone();
        let broken = async move { ended.await.err().unwrap_or_else(|| Arc::from("it ended without a stop")) };
        let place = Place::new(server.client.clone(), NAMESPACE, Arc::new(executors), broken);
        Ok(Self { client: server.client, place, controller, stop, _watch: watch })
    }

    /// Where the workers are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// True if the controller has ended.
    pub fn is_broken(&self) -> bool {
        self.controller.clone().now_or_never().is_some()
    }

    /// Deletes the pool, waits until the runtime confirmed that all its workers are gone, and stops the controller.
    /// `force`: open attempts end now.
    ///
    /// # Errors
    /// The API fails, which it does not in practice.
    pub async fn end(self, pool: &ContainerPool, force: bool, tracker: &Tracker) -> Result<(), Error> {
        let (name, uid) = (pool.name_any(), pool.uid().unwrap_or_default());
        let pools = self.place.pools();
        if force {
            let patch = json!({"metadata": {"annotations": {names::FORCE_DELETE: "true"}}});
            let patched = pools.patch(&name, &params(), &Patch::Merge(&patch)).await;
            patched.map_err(stopping("ending open attempts"))?;
        }
        pools.delete(&name, &DeleteParams::default()).await.map_err(stopping("deleting the pool"))?;
        let gone = await_condition(pools, &name, conditions::is_deleted(&uid));
        tokio::pin!(gone);
        let late = tokio::select! {
            biased;
            gone = &mut gone => {
                gone.map_err(stopping("waiting for the end of the pool"))?;
                false
            }
            () = tokio::time::sleep(PATIENCE) => true,
        };
        if late {
            tracker.note(self.what_is_left().await);
            gone.await.map_err(stopping("waiting for the end of the pool"))?;
        }
        self.stop.cancel();
        self.controller.await.map_err(|why| Error::Stop { what: "the controller", source: why.to_string().into() })
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

fn stopping<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Stop { what, source: Box::new(source) }
}

/// True if the engine's socket is there, but not for this user.
fn is_forbidden() -> bool {
    let Ok(Endpoint::Unix(socket)) = Endpoint::find(|name| std::env::var(name).ok()) else { return false };
    let access = rustix::fs::access(&socket, Access::READ_OK | Access::WRITE_OK);
    matches!(access, Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM))
}
