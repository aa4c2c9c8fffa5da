//! `poolkeeper cleanup`: removes now what would go in time.
//!
//! - `surplus`: which workers are not needed.

mod surplus;

use std::collections::BTreeSet;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::ListParams;

use self::surplus::surplus;
use super::change::{self, Deletion, Namespaced};
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output::say;
use super::print;
use super::print::table::align;
use super::server::{Server, ServerArgs};
use crate::api::{ContainerPool, Dispatch, Worker, names};

/// How long after its end a Lease may still be renewed, by a holder that was suspended.
const LEASE_OVER: SignedDuration = SignedDuration::from_mins(10);

/// Remove idle workers that are not needed, finished dispatches, and Leases of runs that have ended
///
/// Workers go that the pool has above spec.min and does not need, without waiting for spec.idleTimeout. Workers that rest stay,
/// and so does a pool that is paused. Prints what is removed.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper cleanup agents --dry-run")]
pub struct CleanupArgs {
    /// The pool. Without one: all pools of the namespace, and Leases
    #[arg(value_name = "POOL")]
    pool: Option<String>,
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What is removed.
struct Found {
    workers: Vec<Worker>,
    dispatches: Vec<Dispatch>,
    leases: Vec<Lease>,
}

impl Run for CleanupArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let server = self.server.connect().await?;
        if !self.dry_run {
            server.say_which();
        }
        let found = self.find(&server, cx.clock.now()).await?;
        let lines = found.lines();
        if lines.is_empty() {
            say("there is nothing to remove");
            return Ok(Exit::Success);
        }
        let heading = ["KIND", "NAME", "UID"].map(str::to_owned).to_vec();
        print::data(&align(&[vec![heading], lines].concat(), &mut Vec::new()))?;
        if !self.dry_run {
            found.remove(&server).await?;
        }
        Ok(Exit::Success)
    }
}

impl CleanupArgs {
    async fn find(&self, server: &Server, now: Timestamp) -> Result<Found, Failure> {
        let pools = match &self.pool {
            Some(name) => vec![change::read::<ContainerPool>(server, name).await?],
            None => list::<ContainerPool>(server, &ListParams::default()).await?,
        };
        let of_pool =
            self.pool.iter().fold(ListParams::default(), |all, name| all.fields(&format!("spec.pool={name}")));
        // Dispatches are read before workers: one that is final is never given to a worker again.
        let dispatches = list::<Dispatch>(server, &of_pool).await?;
        let workers = list::<Worker>(server, &of_pool).await?;
        let leases = if self.pool.is_none() { ended_leases(server, &dispatches, now).await? } else { Vec::new() };
        let named: BTreeSet<&str> =
            workers.iter().filter_map(|worker| Some(&*worker.status.as_ref()?.dispatch.as_ref()?.uid)).collect();
        let surplus = pools.iter().flat_map(|pool| surplus(pool, &workers, now)).cloned().collect();
        let over = |dispatch: &Dispatch| {
            is_final(dispatch) && dispatch.metadata.uid.as_deref().is_some_and(|uid| !named.contains(uid))
        };
        let dispatches = dispatches.iter().filter(|dispatch| over(dispatch)).cloned().collect();
        Ok(Found { workers: surplus, dispatches, leases })
    }
}

async fn list<K: Namespaced>(server: &Server, which: &ListParams) -> Result<Vec<K>, Failure> {
    let list = server.api::<K>().list(which).await.map_err(|e| server.failed(&e))?;
    Ok(list.items)
}

fn is_final(dispatch: &Dispatch) -> bool {
    dispatch.status.as_ref().is_some_and(|status| status.phase.is_final())
}

/// Leases that Poolkeeper made for runs, that are over, and that no dispatch needs.
async fn ended_leases(server: &Server, dispatches: &[Dispatch], now: Timestamp) -> Result<Vec<Lease>, Failure> {
    let made_here = ListParams::default().labels(&format!("{}={}", names::MANAGED_BY, names::MANAGER));
    let needed: BTreeSet<&str> =
        dispatches.iter().filter(|d| !is_final(d)).filter_map(|d| d.spec.lease_name.as_deref()).collect();
    let mut leases = list::<Lease>(server, &made_here).await?;
    leases.retain(|lease| !needed.contains(&*lease.name_any()) && is_over(lease, now));
    Ok(leases)
}

fn is_over(lease: &Lease, now: Timestamp) -> bool {
    let spec = lease.spec.clone().unwrap_or_default();
    let Some(renewed) = spec.renew_time.or(spec.acquire_time) else { return false };
    let lasts = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or_default().into());
    now.duration_since(renewed.0) > lasts + LEASE_OVER
}

impl Found {
    fn lines(&self) -> Vec<Vec<String>> {
        fn line<K: kube::Resource>(kind: &str, object: &K) -> Vec<String> {
            vec![kind.to_owned(), object.name_any(), object.uid().unwrap_or_default()]
        }
        let workers = self.workers.iter().map(|w| line("worker", w));
        let dispatches = self.dispatches.iter().map(|d| line("dispatch", d));
        workers.chain(dispatches).chain(self.leases.iter().map(|l| line("lease", l))).collect()
    }

    /// Removes exactly these objects. One that was changed since it was read stays.
    async fn remove(&self, server: &Server) -> Result<(), Failure> {
        for worker in &self.workers {
            remove(server, "worker", worker).await?;
        }
        for dispatch in &self.dispatches {
            remove(server, "dispatch", dispatch).await?;
        }
        for lease in &self.leases {
            remove(server, "lease", lease).await?;
        }
        Ok(())
    }
}

async fn remove<K: Namespaced>(server: &Server, kind: &str, object: &K) -> Result<(), Failure> {
    if change::delete(server, object, true).await? == Deletion::Changed {
        say(&format!("{kind} {} stays: it was changed meanwhile", object.name_any()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_is_over_well_after_its_end() {
        let lease = |renewed: &str| {
            serde_json::from_value::<Lease>(json!({"spec": {"renewTime": renewed, "leaseDurationSeconds": 60}}))
                .unwrap()
        };
        let now = "2026-11-29T12:30:00Z".parse().unwrap();
        assert!(is_over(&lease("2026-11-29T12:18:00.000000Z"), now));
        assert!(!is_over(&lease("2026-11-29T12:20:00.000000Z"), now));
        assert!(!is_over(&Lease::default(), now), "it was never held");
    }
}
