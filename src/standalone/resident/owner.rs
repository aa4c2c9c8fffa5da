//! Whose the workers are: the id of the installation, bound to the machine.

use std::io;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::home::{self, Home};
use crate::clock::Ids;

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
