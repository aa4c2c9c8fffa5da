//! Whose the workers are: the id of the installation, bound to the machine, and the Docker Engine on which there are some.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::home::{self, Home};
use crate::clock::Ids;
use crate::runtime::docker::{DEFAULT_SOCKET, Endpoint, EndpointError, EngineGate};

#[derive(Serialize, Deserialize)]
struct Installation {
    id: String,
    machine: String,
}

/// The id by which workers know their server.
pub(super) fn installation(home: &Home, ids: &Ids) -> Result<String, Error> {
    let path = home.installation();
    let failed = |source: io::Error| Error::File { path: path.clone(), source };
    let machine = machine();
    if let Some(content) = home::read(&path).map_err(failed)? {
        let found: Installation = serde_json::from_slice(&content).map_err(|e| failed(io::Error::other(e)))?;
        if found.machine != machine {
            return Err(Error::OtherMachine { home: home.path().to_owned(), file: path });
        }
        return Ok(found.id);
    }
    let made = Installation { id: ids.uid(), machine };
    let content = serde_json::to_vec(&made).map_err(|e| failed(io::Error::other(e)))?;
    home::write_private(&path, &content).map_err(failed)?;
    Ok(made.id)
}

/// What tells this machine from others: its id, else its name.
fn machine() -> String {
    let id = std::fs::read_to_string("/etc/machine-id").map(|id| id.trim().to_owned()).unwrap_or_default();
    if id.is_empty() { rustix::system::uname().nodename().to_string_lossy().into_owned() } else { id }
}

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

/// The address of the Docker Engine, and the gate that lets no other engine take its place.
///
/// Once an engine has answered, it is the one, at its address, until all workers are stopped by `down`. Before that the address
/// is the one that a person named, else what `docker` itself would use.
pub(super) fn engine(home: &Home) -> Result<(Endpoint, EngineGate), Error> {
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
    let chosen = found.as_ref().is_some_and(|engine| engine.chosen);
    let known = Arc::new(Mutex::new(found.and_then(|engine| engine.id)));
    let (address, kept_in) = (endpoint.to_string(), home.clone());
    let gate = EngineGate::new(move |id| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(known) if known == id => Ok(()),
            Some(known) => Err(format!(
                "another Docker Engine answers at {address}: its id is {id}, and the workers are on the engine with the id {known}; \
                 start that one again; if it is gone for good, stop this server, remove {}, and start it again",
                path.display()
            )),
            None => {
                let engine = Engine { endpoint: address.clone(), id: Some(id.to_owned()), chosen };
                write(&kept_in, &engine).map_err(|e| format!("{}: {e}", path.display()))?;
                *known = Some(id.to_owned());
                Ok(())
            }
        }
    });
    Ok((endpoint, gate))
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
