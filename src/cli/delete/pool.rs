//! Deletion of a pool.

use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use super::how::{How, waited};
use crate::api::{ContainerPool, Worker, names};
use crate::cli::change::{self, Deletion};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;
use crate::cli::server::Server;

/// One look at the pool in so many is a look at its workers too.
const LOOKS: u32 = 5;
/// Most busy workers that are named.
const NAMED: usize = 3;

/// Deletes a pool, and says which workers it waits for.
pub(super) async fn delete(server: &Server, name: &str, how: &How) -> Result<(), Failure> {
    let pool = change::read::<ContainerPool>(server, name).await?;
    if change::delete(server, &pool, false).await? != Deletion::Accepted {
        return Err(Failure::new(Exit::NotFound, format!("pool {name} is gone already")));
    }
    if how.force {
        let flag = json!({"metadata": {"annotations": {names::FORCE_DELETE: "true"}}});
        let forced =
            change::patch::<ContainerPool>(server, name, |now| Ok((now.uid() == pool.uid()).then(|| flag.clone())));
        if let Err(failure) = forced.await
            && failure.exit != Exit::NotFound
        {
            return Err(failure);
        }
    }
    if !how.waits() {
        say(&format!("pool {name} is being deleted"));
        return Ok(());
    }
    let (mut said, mut looks) = (None, 0);
    let gone = change::until(how.timeout, async || {
        let now = change::find::<ContainerPool>(server, name).await?;
        if now.is_none_or(|now| now.uid() != pool.uid()) {
            return Ok(Some(()));
        }
        if looks % LOOKS == 0 {
            let busy = busy(server, name).await;
            if let Some(busy) = busy.as_ref().filter(|_| busy != said) {
                say(&format!("pool {name}: {busy}"));
            }
            said = busy;
        }
        looks += 1;
        Ok(None)
    })
    .await?;
    let left = if gone.is_some() { None } else { busy(server, name).await };
    let left = left.unwrap_or_else(|| "its workers are being stopped".to_owned());
    waited(&format!("pool {name}"), gone, how, &format!("{left}; --force ends open attempts as Forced"))
}

/// Which busy workers a pool that is being deleted waits for. Its status says so up to 5 s later. None if there are none, or the user has
/// no right to list Workers.
async fn busy(server: &Server, pool: &str) -> Option<String> {
    let of_pool = ListParams::default().fields(&format!("spec.pool={pool}"));
    let workers = server.api::<Worker>().list(&of_pool).await.ok()?;
    let busy = workers.iter().filter_map(|worker| {
        let dispatch = worker.status.as_ref()?.dispatch.as_ref()?;
        Some(format!("{} (busy with {})", worker.name_any(), dispatch.name))
    });
    let busy: Vec<String> = busy.collect();
    let named = busy.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match busy.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!busy.is_empty()).then(|| format!("the pool is being deleted; waits for {named}{more}"))
}
