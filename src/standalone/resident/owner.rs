//! Whose the workers are: the id of the installation, bound to the machine, and the Docker Engine on which there are some.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::home::{self, Home};
use crate::clock::Ids;
use crate::runtime::docker::{DEFAULT_SOCKET, Endpoint, EngineGate};

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

/// The engine on which there are workers.
#[derive(Serialize, Deserialize)]
struct Engine {
    endpoint: String,
    id: String,
}

/// The address of the Docker Engine, and the gate that lets no other engine take its place.
///
/// Once an engine has answered, it is the one, at its address, until all workers are stopped by `down`. Before that the address
/// is what `docker` itself would use.
pub(super) fn engine(home: &Home) -> Result<(Endpoint, EngineGate), Error> {
    let path = home.engine();
    let failed = |source: io::Error| Error::File { path: path.clone(), source };
    let content = home::read(&path).map_err(failed)?;
    let found = content.map(|content| serde_json::from_slice::<Engine>(&content)).transpose();
    let found = found.map_err(|e| failed(io::Error::other(e)))?;
    let current = Endpoint::find(|name| std::env::var(name).ok());
    let endpoint = match &found {
        Some(engine) => {
            let kept = engine.endpoint.parse::<Endpoint>().map_err(|e| failed(io::Error::other(e)))?;
            if current.as_ref().is_ok_and(|current| *current != kept) {
                tracing::warn!(docker = %kept, "DOCKER_HOST or the context names another engine; this one is used until `local down`");
            }
            kept
        }
        None => current.unwrap_or_else(|error| {
            tracing::warn!(%error, docker = DEFAULT_SOCKET, "the default socket is used");
            Endpoint::Unix(DEFAULT_SOCKET.into())
        }),
    };
    let known = Arc::new(Mutex::new(found.map(|engine| engine.id)));
    let address = endpoint.to_string();
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
                let engine = Engine { endpoint: address.clone(), id: id.to_owned() };
                let content = serde_json::to_vec(&engine).map_err(io::Error::other);
                content
                    .and_then(|content| home::write_private(&path, &content))
                    .map_err(|e| format!("{}: {e}", path.display()))?;
                *known = Some(id.to_owned());
                Ok(())
            }
        }
    });
    Ok((endpoint, gate))
}

/// Forgets the engine: there are no workers on it any more.
pub(super) fn forget_engine(home: &Home) {
    // If it stays, the next server keeps to this engine.
    let _ = std::fs::remove_file(home.engine());
}
