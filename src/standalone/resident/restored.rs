//! A store that is a copy: a backup that was put in its place, or a copied directory. Dispatches that ended after the copy was
//! made are open in it, and would run again. So its pools begin paused, and a person says when they go on.

use std::io;

use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::error::Error;
use super::home::{self, Home};
use crate::api::dispatch::DispatchPhase;
use crate::api::{ContainerPool, Dispatch};
use crate::local::DiskEpoch;
use crate::standalone::names::some;

/// True if the store was not used last by the server of this directory.
pub(super) fn is_copy(home: &Home, epoch: &DiskEpoch) -> Result<bool, Error> {
    let of_directory = lives(home)?;
    Ok(match epoch.last() {
        Some(last) => !of_directory.contains(&last),
        // It is new, or was written by a version that stored no lives.
        None => !of_directory.is_empty(),
    })
}

/// Begins a life of the server. `life` is a number that no other life has.
pub(super) fn begin(home: &Home, epoch: &DiskEpoch, life: u64) -> Result<(), Error> {
    // In between, either number may be the one in the store.
    write(home, &[epoch.last(), Some(life)])?;
    epoch.begin(life)?;
    write(home, &[Some(life)])
}

/// The lives that the store may be of.
fn lives(home: &Home) -> Result<Vec<u64>, Error> {
    let failed = |source: io::Error| Error::File { path: home.epoch(), source };
    let content = home::read(&home.epoch()).map_err(failed)?;
    let lives = content.map(|content| serde_json::from_slice(&content)).transpose();
    Ok(lives.map_err(|e| failed(io::Error::other(e)))?.unwrap_or_default())
}

fn write(home: &Home, lives: &[Option<u64>]) -> Result<(), Error> {
    let lives: Vec<u64> = lives.iter().copied().flatten().collect();
    let content = serde_json::to_vec(&lives).map_err(io::Error::other);
    let written = content.and_then(|content| home::write_private(&home.epoch(), &content));
    written.map_err(|source| Error::File { path: home.epoch(), source })
}

/// Pauses all pools of a copy. Answers with what its user has to know. None: there is nothing in it that could run.
///
/// # Errors
/// The store fails.
pub(super) async fn pause(client: &Client) -> Result<Option<String>, kube::Error> {
    let all: Api<ContainerPool> = Api::all(client.clone());
    let pools = all.list(&ListParams::default()).await?.items;
    if pools.is_empty() {
        return Ok(None);
    }
    for pool in &pools {
        let pools: Api<ContainerPool> = Api::namespaced(client.clone(), &pool.namespace().unwrap_or_default());
        let patch = Patch::Merge(json!({"spec": {"paused": true}}));
        pools.patch(&pool.name_any(), &PatchParams::default(), &patch).await?;
    }
    let dispatches: Api<Dispatch> = Api::all(client.clone());
    let open = |dispatch: &Dispatch| {
        let phase = dispatch.status.as_ref().map(|status| status.phase).unwrap_or_default();
        matches!(phase, DispatchPhase::Pending | DispatchPhase::Assigned).then(|| dispatch.name_any())
    };
    let open: Vec<String> = dispatches.list(&ListParams::default()).await?.iter().filter_map(open).collect();
    let pools = if pools.len() == 1 { "its pool is".to_owned() } else { format!("its {} pools are", pools.len()) };
    let which = match open.len() {
        0 => "No dispatch in it would run again.".to_owned(),
        1 => {
            format!("1 dispatch is queued or open in it and would run again, even if it has ended since: {}.", open[0])
        }
        n => format!(
            "{n} dispatches are queued or open in it and would run again, even if they have ended since: {}.",
            some(&open)
        ),
    };
    Ok(Some(format!(
        "the store is a restored copy, so {pools} paused. {which} Delete those that must not run again; then go on with \
         `poolkeeper resume --all`"
    )))
}
