//! The Docker hosts of the local server: those of the user's `hosts.yaml`, and those that `local up --host` named.

use std::io;
use std::str::FromStr;

use super::engine;
use super::error::Error;
use super::home::{self, Home};
use crate::runtime::LOCAL_HOST;
use crate::runtime::docker::hosts_file;
use crate::runtime::docker::{HostEntry, HostOptions, HostsError};

/// A change of the hosts that were named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostChange {
    /// From now on there is this host, whatever had its name.
    Set(HostEntry),
    /// A host that was named is no more.
    Unset(String),
}

impl HostChange {
    /// Removes a host.
    ///
    /// # Errors
    /// Never: the type is that of a flag.
    pub fn removal(name: &str) -> Result<Self, std::convert::Infallible> {
        Ok(Self::Unset(name.to_owned()))
    }
}

/// `NAME=ENDPOINT`, as [`HostEntry`] has it.
impl FromStr for HostChange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host: HostEntry = text.parse().map_err(|e: HostsError| e.to_string())?;
        if host.name == LOCAL_HOST {
            return Err("use --docker-host for the engine of host local".to_owned());
        }
        Ok(Self::Set(host))
    }
}

/// Keeps changes for the next start of a server, and all later ones.
///
/// # Errors
/// The file cannot be read or written, an address cannot be used, or there is no host to remove.
pub fn keep(home: &Home, changes: &[HostChange]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let failed = |source: io::Error| Error::File { path: home.hosts(), source };
    let mut hosts = named(home)?;
    for change in changes {
        let name = match change {
            HostChange::Set(host) => &host.name,
            HostChange::Unset(name) => name,
        };
        let known = hosts.len();
        hosts.retain(|host| host.name != *name);
        match change {
            HostChange::Set(host) => {
                // One that cannot be resolved would keep every later server from its start.
                host.resolve().map_err(HostsError::from)?;
                hosts.push(host.clone());
            }
            HostChange::Unset(name) if hosts.len() == known => {
                return Err(Error::NoSuchHost { name: name.clone() });
            }
            HostChange::Unset(_) => {}
        }
    }
    let content = serde_json::to_vec(&hosts).map_err(|e| failed(io::Error::other(e)))?;
    home::write_private(&home.hosts(), &content).map_err(failed)
}

fn named(home: &Home) -> Result<Vec<HostEntry>, Error> {
    let failed = |source: io::Error| Error::File { path: home.hosts(), source };
    let content = home::read(&home.hosts()).map_err(failed)?;
    let found = content.map(|content| serde_json::from_slice(&content)).transpose();
    found.map(Option::unwrap_or_default).map_err(|e| failed(io::Error::other(e)))
}

/// Its hosts besides `local`, with the addresses that they have now.
///
/// # Errors
/// A file cannot be read, or an address in it cannot be used.
pub(super) fn resolved(home: &Home) -> Result<Vec<HostOptions>, Error> {
    let hosts = hosts_file::merged(hosts_file::of_user()?.into_iter().chain(named(home)?));
    if hosts.iter().any(|host| host.name == LOCAL_HOST) {
        return Err(Error::LocalHost);
    }
    Ok(hosts.iter().map(HostEntry::resolve).collect::<Result<_, _>>().map_err(HostsError::from)?)
}

/// The hosts that a command of this user knows: those of the file, of the server, and the engine of host `local`.
///
/// # Errors
/// A file cannot be read.
pub fn known(home: Option<&Home>) -> Result<Vec<HostEntry>, Error> {
    let mut hosts = hosts_file::of_user()?;
    if let Some(home) = home {
        let local = engine::recorded_engine(home);
        let local = local.map(|at| HostEntry { name: LOCAL_HOST.to_owned(), endpoint: at.endpoint, tls: at.tls });
        hosts.extend(named(home)?.into_iter().chain(local));
    }
    Ok(hosts_file::merged(hosts))
}
