//! The Docker Engine on which there are workers: its address and its id. No other engine may take its place.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;
use std::{fmt, io};

use futures::FutureExt;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::home::{self, Home};
use super::refusal::some;
use crate::api::{RuntimeKind, Worker};
use crate::runtime::docker::{DEFAULT_SOCKET, Endpoint, EndpointError, EngineGate};

/// What is stored of the engine.
#[derive(Serialize, Deserialize)]
struct Engine {
    endpoint: String,
    /// None: no engine has answered there yet, so there are no workers on it.
    id: Option<String>,
    /// A person named the address: it stays when the workers are gone.
    #[serde(default)]
    chosen: bool,
}

/// Which Docker Engine is to be used from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerHost {
    /// The one that `docker` would use when there are no workers.
    Auto,
    /// The one at this address.
    At(Endpoint),
}

impl fmt::Display for DockerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::At(endpoint) => endpoint.fmt(f),
        }
    }
}

impl FromStr for DockerHost {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" { Ok(Self::Auto) } else { Ok(Self::At(text.parse()?)) }
    }
}

/// Stores another address of the engine. Its workers stay those of the engine with the id that is known: another engine at the new
/// address is not used for them.
///
/// # Errors
/// The file cannot be read or written.
pub(super) fn choose(home: &Home, host: &DockerHost) -> Result<(), Error> {
    let path = home.engine();
    let failed = |source: io::Error| Error::File { path: path.clone(), source };
    let kept = read(home)?;
    let engine = match (host, kept) {
        (DockerHost::At(endpoint), kept) => {
            Engine { endpoint: endpoint.to_string(), id: kept.and_then(|engine| engine.id), chosen: true }
        }
        // While there are workers, their engine is the one.
        (DockerHost::Auto, Some(engine)) if engine.id.is_some() => Engine { chosen: false, ..engine },
        (DockerHost::Auto, _) => {
            forget_engine_file(home);
            return Ok(());
        }
    };
    write(home, &engine).map_err(failed)
}

fn read(home: &Home) -> Result<Option<Engine>, Error> {
    let failed = |source: io::Error| Error::File { path: home.engine(), source };
    let content = home::read(&home.engine()).map_err(failed)?;
    let found = content.map(|content| serde_json::from_slice(&content)).transpose();
    found.map_err(|e| failed(io::Error::other(e)))
}

fn write(home: &Home, engine: &Engine) -> io::Result<()> {
    home::write_private(&home.engine(), &serde_json::to_vec(engine).map_err(io::Error::other)?)
}

/// The address of the Docker Engine, and the gate that lets no other engine take the place of the one that has the workers.
///
/// Once an engine has answered, its address is used until all workers are stopped by `down`. Before that the address is the one
/// that a person named, else what `docker` itself would use.
pub(super) fn engine(home: &Home, client: &Client) -> Result<(Endpoint, EngineGate), Error> {
    let path = home.engine();
    let failed = |source: io::Error| Error::File { path: path.clone(), source };
    let found = read(home)?;
    let current = Endpoint::find(|name| std::env::var(name).ok());
    let endpoint = match &found {
        Some(engine) => {
            let kept = engine.endpoint.parse::<Endpoint>().map_err(|e| failed(io::Error::other(e)))?;
            if !engine.chosen && current.as_ref().is_ok_and(|current| *current != kept) {
                tracing::warn!(docker = %kept, "DOCKER_HOST or the context names another engine; this one is used until `local down`, or \
                     until `local up --docker-host` names another one");
            }
            kept
        }
        None => current.unwrap_or_else(|error| {
            tracing::warn!(%error, docker = DEFAULT_SOCKET, "the default socket is used");
            Endpoint::Unix(DEFAULT_SOCKET.into())
        }),
    };
    let chosen = found.is_some_and(|engine| engine.chosen);
    let gate = Arc::new(Gate { home: home.clone(), client: client.clone(), endpoint: endpoint.to_string(), chosen });
    let gate = EngineGate::new(move |id| {
        let gate = gate.clone();
        async move { gate.admit(&id).await }.boxed()
    });
    Ok((endpoint, gate))
}

/// Decides which engine may be used.
struct Gate {
    home: Home,
    client: Client,
    endpoint: String,
    chosen: bool,
}

impl Gate {
    /// Lets an engine be used that has all the workers, or becomes the engine of the next ones. The word of another engine would be
    /// that no container exists.
    async fn admit(&self, id: &str) -> Result<(), String> {
        let recorded = read(&self.home).map_err(|e| e.to_string())?.and_then(|engine| engine.id);
        let workers: Api<Worker> = Api::all(self.client.clone());
        let workers =
            workers.list(&ListParams::default()).await.map_err(|e| format!("looking for workers: {e}"))?.items;
        let elsewhere: Vec<(&Worker, String)> =
            workers.iter().filter_map(|worker| Some((worker, engine_of(worker, recorded.as_deref())?))).collect();
        let elsewhere: Vec<_> = elsewhere.into_iter().filter(|(_, engine)| engine != id).collect();
        if !elsewhere.is_empty() {
            return Err(self.refusal(id, &elsewhere));
        }
        if recorded.as_deref() != Some(id) {
            let engine = Engine { endpoint: self.endpoint.clone(), id: Some(id.to_owned()), chosen: self.chosen };
            write(&self.home, &engine).map_err(|e| format!("{}: {e}", self.home.engine().display()))?;
        }
        Ok(())
    }

    fn refusal(&self, id: &str, elsewhere: &[(&Worker, String)]) -> String {
        let names: Vec<String> = elsewhere.iter().map(|(worker, _)| worker.name_any()).collect();
        let engines: BTreeSet<&str> = elsewhere.iter().map(|(_, engine)| engine.as_str()).collect();
        let engines: Vec<&str> = engines.into_iter().collect();
        format!(
            "another Docker Engine answers at {}: its id is {id}, and the engine with the id {} has {}; start that one again; if it is \
             gone for good, run `poolkeeper delete worker NAME --host-gone` for each of them",
            self.endpoint,
            engines.join(" or "),
            some(&names)
        )
    }
}

/// The engine that has the container of a worker: as its handle says, else the recorded one. None: it has no container on an engine.
fn engine_of(worker: &Worker, recorded: Option<&str>) -> Option<String> {
    if worker.spec.runtime != RuntimeKind::Docker {
        return None;
    }
    let handle = worker.status.as_ref().and_then(|status| status.handle.as_ref());
    handle.and_then(|handle| handle.engine.clone()).or_else(|| recorded.map(str::to_owned))
}

/// The address of the engine on which there are workers, as the server recorded it. None: there are none.
pub(super) fn recorded_engine(home: &Home) -> Option<String> {
    Some(read(home).ok()??.endpoint)
}

/// Forgets the engine: there are no workers on it any more. The address that a person named stays.
pub(super) fn forget_engine(home: &Home) {
    match read(home) {
        // If that fails, the next server keeps to this engine.
        Ok(Some(engine)) if engine.chosen => drop(write(home, &Engine { id: None, ..engine })),
        _ => forget_engine_file(home),
    }
}

fn forget_engine_file(home: &Home) {
    // If it stays, the next server keeps to this engine.
    let _ = std::fs::remove_file(home.engine());
}
