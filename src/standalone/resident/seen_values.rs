//! Which values of credentials the server saw, stored as hashes for the next one: it finds what changed while none ran.

use std::io;

use super::error::Error;
use super::home::{self, Home};
use crate::clock::Ids;
use crate::runtime::credentials::Seen;
use crate::standalone::credential_watch::Store;

/// What the last server saw. Nothing before the first one.
pub(super) fn read(home: &Home, ids: &Ids) -> Result<Seen, Error> {
    let failed = |source: io::Error| Error::File { path: home.seen_values(), source };
    let Some(content) = home::read(&home.seen_values()).map_err(failed)? else { return Ok(Seen::salted(ids.uid())) };
    serde_json::from_slice(&content).map_err(|e| failed(io::Error::other(e)))
}

/// Stores what this server saw.
pub(super) fn store(home: &Home) -> Store {
    let path = home.seen_values();
    Box::new(move |seen| home::write_private(&path, &serde_json::to_vec(seen)?))
}
