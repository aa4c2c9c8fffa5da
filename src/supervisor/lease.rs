//! The Lease by which a run shows that it is alive: when it is not renewed, what the run held is freed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::report::params;
use super::{Error, Place};
use crate::api::names;
use crate::clock::Clock;

/// How long a run counts as alive after each renewal, unless it asks for more.
pub const LASTS: Duration = Duration::from_secs(60);
/// The time between two renewals.
const EVERY: Duration = Duration::from_secs(20);
/// How long ago the Lease of another run must have ended to be removed.
const OLD: SignedDuration = SignedDuration::from_hours(24);

/// Renews the Lease `name`, or makes it with these labels.
///
/// # Errors
/// The server refuses, or is away.
pub async fn renew(
    leases: &Api<Lease>,
    name: &str,
    holder: &str,
    lasts: Duration,
    labels: &BTreeMap<String, String>,
    now: Timestamp,
) -> kube::Result<()> {
    // The API server accepts no more than microseconds.
    let spec = json!({
        "holderIdentity": holder, "leaseDurationSeconds": lasts.as_secs(), "renewTime": format!("{now:.6}"),
    });
    match leases.patch(name, &params(), &Patch::Merge(&json!({"spec": spec}))).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        patched => return patched.map(drop),
    }
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.clone()), ..ObjectMeta::default() };
    let lease = Lease { metadata, spec: Some(serde_json::from_value(spec).map_err(kube::Error::SerdeError)?) };
    let post = PostParams { field_manager: Some(names::MANAGER.to_owned()), ..PostParams::default() };
    match leases.create(&post, &lease).await {
        // Another process has made it at the same moment, which is a renewal too.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        made => made.map(drop),
    }
}

/// The labels of the Lease of a run, by which others find it once it has ended.
pub fn labels(run: &str) -> BTreeMap<String, String> {
    let labels = [(names::MANAGED_BY, names::MANAGER), (names::RUN, run)];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Name of the Lease of a run.
pub fn name(run: &str) -> String {
    format!("poolkeeper-run-{run}")
}

/// Renews the Leases of these runs for as long as it is polled. A server that is away judges no Lease before it is back, so
/// failures are not counted.
pub async fn keep(
    place: &Place,
    runs: &[String],
    holder: &str,
    lasts: Duration,
    clock: &dyn Clock,
) -> std::convert::Infallible {
    let leases = place.api();
    loop {
        tokio::time::sleep(EVERY).await;
        for run in runs {
            let _ = renew(&leases, &name(run), holder, lasts, &labels(run), clock.now()).await;
        }
    }
}

/// Removes the Lease of a run.
///
/// # Errors
/// The server refuses, or is away.
pub async fn remove(place: &Place, run: &str) -> kube::Result<()> {
    match place.api::<Lease>().delete(&name(run), &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted.map(drop),
    }
}

/// Removes the Leases of runs that ended a day ago and that no unfinished Dispatch names. Runs that were killed leave them.
///
/// # Errors
/// The server refuses, or is away.
pub async fn sweep(place: &Place, now: Timestamp) -> Result<(), Error> {
    let failed = || Error::api("removing the Leases of runs that ended");
    let leases: Api<Lease> = place.api();
    let labels = format!("{}={},{}", names::MANAGED_BY, names::MANAGER, names::RUN);
    let mut old = leases.list(&ListParams::default().labels(&labels)).await.map_err(failed())?.items;
    old.retain(|lease| ended(lease).is_some_and(|end| now.duration_since(end) > OLD));
    if old.is_empty() {
        return Ok(());
    }
    let dispatches = place.dispatches().list(&ListParams::default()).await.map_err(failed())?;
    let open = dispatches.iter().filter(|d| d.status.as_ref().is_none_or(|status| !status.phase.is_final()));
    let named: BTreeSet<&str> = open.filter_map(|d| d.spec.lease_name.as_deref()).collect();
    for lease in old.iter().filter(|lease| !named.contains(&*lease.name_any())) {
        let exactly = Preconditions { uid: lease.uid(), resource_version: lease.resource_version() };
        let params = DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() };
        match leases.delete(&lease.name_any(), &params).await {
            // It is gone, or its run is back.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            deleted => drop(deleted.map_err(failed())?),
        }
    }
    Ok(())
}

/// When the time of a Lease is over.
fn ended(lease: &Lease) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    let renewed = spec.renew_time.as_ref().or(spec.acquire_time.as_ref())?.0;
    renewed.checked_add(SignedDuration::from_secs(spec.lease_duration_seconds?.into())).ok()
}
