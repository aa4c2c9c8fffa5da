//! Deletion of a pool.

use kube::ResourceExt;
use serde_json::json;

use super::how::{How, waited};
use crate::api::vocabulary::{PoolReady, Reason as _};
use crate::api::{Condition, ContainerPool, names};
use crate::cli::change::{self, Deletion};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;
use crate::cli::server::Server;

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
    let mut said = String::new();
    let gone = change::until(how.timeout, async || {
        let now = change::find::<ContainerPool>(server, name).await?.filter(|now| now.uid() == pool.uid());
        let Some(status) = now.map(|now| now.status.unwrap_or_default()) else { return Ok(Some(())) };
        let ready = Condition::find::<PoolReady>(&status.conditions);
        let deleting = ready.filter(|ready| ready.reason == PoolReady::Deleting.as_str() && status.busy > 0);
        if let Some(ready) = deleting.filter(|ready| ready.message != said) {
            said.clone_from(&ready.message);
            say(&format!("pool {name}: {said}"));
        }
        Ok(None)
    })
    .await?;
    let left = if said.is_empty() { "its workers are being stopped".to_owned() } else { said };
    waited(&format!("pool {name}"), gone, how, &format!("{left}; --force ends open attempts as Forced"))
}
