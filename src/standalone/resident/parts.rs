//! What a local server is made of: the store, the API on it, a client of that, and the runtimes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::home::Home;
use super::secrets::SecretsOf;
use super::{binaries, engine, hosts, owner, seen_values};
use crate::api::{RuntimeKind, crd};
use crate::clock::{Clock, Ids};
use crate::local::{DiskCopier, DiskEpoch, DiskStore, History, LocalApi, Options};
use crate::runtime::assemble::{Assembled, assemble};
use crate::runtime::config::RuntimeConfig;
use crate::runtime::credentials::{Changes, Resolver};
use crate::runtime::docker::HostOptions;
use crate::runtime::process::Inherited;
use crate::runtime::{LOCAL_HOST, Runtime};
use crate::standalone::NAMESPACE;
use crate::standalone::credential_watch::CredentialWatch;

/// How many events a watch may be behind before it starts over. More cost memory.
const WINDOW: usize = 4096;
/// How long Process workers live on without a server.
const GRACE: Duration = Duration::from_mins(1);

/// What a local server is made of.
pub(super) struct Parts {
    pub api: LocalApi,
    /// A client in this process.
    pub client: Client,
    pub copier: DiskCopier,
    /// Which life of a server used the store last.
    pub epoch: DiskEpoch,
    /// Is cancelled when the store has failed.
    pub failure: CancellationToken,
    pub home: Home,
    pub runtimes: Vec<Arc<dyn Runtime>>,
    /// Reports credentials that have another value.
    pub watch: CredentialWatch,
    pub clock: Arc<dyn Clock>,
    pub ids: Ids,
}

impl Parts {
    /// Opens the store, and finds the workers that are there.
    pub async fn open(home: &Home, clock: Arc<dyn Clock>, ids: Ids) -> Result<Self, Error> {
        let (store, contents) = DiskStore::open(&home.store(), clock.now())?;
        let (copier, failure, epoch) = (store.copier(), store.failure(), store.epoch(&home.store())?);
        let options =
            Options { crds: crd::all(), clock: clock.clone(), ids: ids.clone(), history: History::Window(WINDOW) };
        let api = LocalApi::restored(options, store, contents)?;
        let client = api.client(NAMESPACE);

        // Docker is the default: a pool that does not say otherwise must not run on this machine itself.
        let mut kinds = vec![RuntimeKind::Docker];
        // Only Linux has what it needs.
        if cfg!(target_os = "linux") {
            kinds.push(RuntimeKind::Process);
        }
        let mut config = RuntimeConfig::new(kinds, owner::installation(home, &ids)?);
        let (endpoint, gate) = engine::engine(home, &client)?;
        config.docker_hosts = hosts::resolved(home)?;
        config.docker_hosts.push(HostOptions { name: LOCAL_HOST.to_owned(), endpoint: Some(endpoint) });
        config.engine_gate = Some(gate);
        let bin = home.binaries();
        let current = binaries::current(&bin);
        config.binary = current.map_err(|source| Error::File { path: bin.clone(), source })?;
        config.run_dir = Some(home.workers());
        config.owner_grace = Some(GRACE);
        config.inherited = Inherited::General;
        let changes = Changes::since(seen_values::read(home, &ids)?);
        let resolver = Resolver::of_server(Arc::new(SecretsOf(client.clone()))).noting(&changes);
        config.credentials = resolver.clone();
        let Assembled { runtimes, process, .. } = assemble(&config, None).await?;
        let named = process.map(|process| process.binaries()).unwrap_or_default();
        binaries::remove_unused(&bin, &named.into_iter().chain(config.binary).collect());
        let installation = config.installation.clone();
        let store = Some(seen_values::store(home));
        let watch = CredentialWatch::begin(client.clone(), resolver, changes, store, installation, clock.clone());
        Ok(Self { api, client, copier, epoch, failure, home: home.clone(), runtimes, watch, clock, ids })
    }

    /// Makes the namespace that clients use if they name none. They find it in a list then.
    pub async fn ensure_namespace(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let Ok(namespace) = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})) else { return };
        // It is there already, or the store fails, which the next write reports.
        let _ = namespaces.create(&PostParams::default(), &namespace).await;
    }
}
