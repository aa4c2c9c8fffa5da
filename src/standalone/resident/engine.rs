//! The Docker Engines on which there are workers: the address of that of host `local`, and their ids. No other engine may take their place.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::{fmt, io};

use futures::FutureExt;
use kube::Client;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::home::{self, Home};
use crate::runtime::LOCAL_HOST;
use crate::runtime::docker::{Address, DEFAULT_SOCKET, Endpoint, EndpointError, EngineGate, TlsFiles};
use crate::standalone::engines;

/// What is stored of the engine.
#[derive(Serialize, Deserialize)]
struct Engine {
    endpoint: String,
    /// With TLS: its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<TlsFiles>,
    /// None: no engine has answered there yet, so there are no workers on it.
    id: Option<String>,
    /// A person named the address: it stays when the workers are gone.
    #[serde(default)]
    chosen: bool,
}

impl Engine {
    fn at(endpoint: &Endpoint, id: Option<String>, chosen: bool) -> Self {
        let Address { endpoint, tls } = endpoint.into();
        Self { endpoint, tls, id, chosen }
    }

    fn address(&self) -> Address {
        Address { endpoint: self.endpoint.clone(), tls: self.tls.clone() }
    }
}

/// Which Docker Engine is to be used from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerHost {
    /// The one that `docker` would use when there are no workers.
    Auto,
    /// The one at this address, and the address as it was written.
    At(Endpoint, String),
}

impl fmt::Display for DockerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::At(_, written) => f.write_str(written),
        }
    }
}

impl FromStr for DockerHost {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let address = Address { endpoint: text.to_owned(), tls: None };
        Ok(Self::At(address.resolve("--docker-host", |name| std::env::var(name).ok())?, text.to_owned()))
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
    let stored = read(home)?;
    let engine = match (host, stored) {
        (DockerHost::At(endpoint, _), stored) => Engine::at(endpoint, stored.and_then(|engine| engine.id), true),
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
            let stored = engine.address().resolve("the engine", |_| None).map_err(|e| failed(io::Error::other(e)))?;
            if !engine.chosen && current.as_ref().is_ok_and(|current| *current != stored) {
                tracing::warn!(docker = %stored, "DOCKER_HOST or the context names another engine; this one is used until `local down`, or \
                     until `local up --docker-host` names another one");
            }
            stored
        }
        None => current.unwrap_or_else(|error| {
            tracing::warn!(%error, docker = DEFAULT_SOCKET, "the default socket is used");
            Endpoint::Unix(DEFAULT_SOCKET.into())
        }),
    };
    let chosen = found.is_some_and(|engine| engine.chosen);
    let gate = Arc::new(Gate {
        home: home.clone(),
        client: client.clone(),
        endpoint: endpoint.clone(),
        chosen,
        others: tokio::sync::Mutex::default(),
    });
    let gate = EngineGate::new(move |host, id| {
        let gate = gate.clone();
        async move { if host == LOCAL_HOST { gate.admit(&id).await } else { gate.admit_other(&host, &id).await } }
            .boxed()
    });
    Ok((endpoint, gate))
}

/// Decides which engine may be used.
struct Gate {
    home: Home,
    client: Client,
    endpoint: Endpoint,
    chosen: bool,
    /// The engines of other hosts are in one file.
    others: tokio::sync::Mutex<()>,
}

impl Gate {
    /// Lets an engine be used that has all the workers of host `local`, or becomes the engine of the next ones. The word of another
    /// engine would be that no container exists.
    async fn admit(&self, id: &str) -> Result<(), String> {
        let recorded = read(&self.home).map_err(|e| e.to_string())?.and_then(|engine| engine.id);
        engines::check(&self.client, LOCAL_HOST, id, recorded.as_deref()).await?;
        if recorded.as_deref() != Some(id) {
            let engine = Engine::at(&self.endpoint, Some(id.to_owned()), self.chosen);
            write(&self.home, &engine).map_err(|e| format!("{}: {e}", self.home.engine().display()))?;
        }
        Ok(())
    }

    /// The same for another host. Its address is in its configuration.
    async fn admit_other(&self, host: &str, id: &str) -> Result<(), String> {
        let _turn = self.others.lock().await;
        let path = self.home.engines();
        let failed = |e: io::Error| format!("{}: {e}", path.display());
        let content = home::read(&path).map_err(failed)?;
        let mut known: BTreeMap<String, String> = match content {
            Some(content) => serde_json::from_slice(&content).map_err(|e| failed(io::Error::other(e)))?,
            None => BTreeMap::new(),
        };
        engines::check(&self.client, host, id, known.get(host).map(String::as_str)).await?;
        if known.get(host).is_none_or(|known| known != id) {
            known.insert(host.to_owned(), id.to_owned());
            let content = serde_json::to_vec(&known).map_err(|e| failed(io::Error::other(e)))?;
            home::write_private(&path, &content).map_err(failed)?;
        }
        Ok(())
    }
}

/// The address of the engine of host `local`, as the server recorded it. None: there are no workers on one.
pub(super) fn recorded_engine(home: &Home) -> Option<Address> {
    Some(read(home).ok()??.address())
}

/// Forgets the engine: there are no workers on it any more. The address that a person named stays.
pub(super) fn forget_engine(home: &Home) {
    // If it stays, the next server keeps to these engines.
    let _ = std::fs::remove_file(home.engines());
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
