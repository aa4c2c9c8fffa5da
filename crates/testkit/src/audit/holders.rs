//! Whether the holder of an attempt is there, and whether the attempt is over.

use std::collections::BTreeMap;
use std::time::Duration;

use poolkeeper::api::{Dispatch, DispatchStatus};

use super::evidence::LEASE_SECONDS;
use super::{Audit, Version};

/// The holder of a Lost attempt is given up after this time.
const GIVE_UP: Duration = Duration::from_secs(600);
const FORCE: &str = "poolkeeper.dev/force-delete";

impl Audit<'_> {
    /// A Lease was not renewed for its duration, at some time in the last minutes.
    pub(super) fn was_silent(&self, lease: &str) -> bool {
        let now = self.when(self.rv);
        let hold = Duration::from_secs(u64::try_from(LEASE_SECONDS).unwrap());
        let beats = self.evidence.records.iter().filter(|r| r.resource.plural == "leases" && r.name == lease);
        let beats: Vec<Duration> =
            beats.map(|r| self.when(r.resource_version)).take_while(|t| *t <= now).chain([now]).collect();
        // The end may have been decided a while ago: a write is late by 40 s at most.
        let recent = Duration::from_secs(120);
        beats.windows(2).any(|pair| pair[1] + recent > now && pair[1].checked_sub(pair[0]).unwrap() >= hold)
    }

    /// The Worker with this uid is gone, and nothing of it runs.
    pub(super) fn is_over(&self, worker: &str) -> bool {
        let gone = self.workers.get(worker).is_some_and(|w| w.gone.is_some());
        gone && !self.bodies.get(worker).is_some_and(|b| b.runs)
    }

    /// When the Lease of a dispatch was renewed since its last attempt was closed.
    pub(super) fn renewed_since_close(&self, uid: &str, lease: &str) -> Option<Duration> {
        let d = self.dispatches.get(uid)?;
        let last = |v: &Version<Dispatch>| Some(v.object.status.as_ref()?.last_result.as_ref()?.attempt);
        let newest = last(d.versions.last()?);
        let closed = d.versions.iter().find(|v| last(v) == newest)?.rv;
        let beats = self.evidence.records.iter().filter(|r| r.resource.plural == "leases" && r.name == lease);
        let versions = beats.map(|r| r.resource_version).filter(|rv| *rv > closed && *rv <= self.rv);
        versions.max().map(|rv| self.when(rv))
    }

    /// The holder of a Lost attempt did not renew its Lease for so long, at the end.
    pub(super) fn stayed_away(&self, d: &Dispatch, before: &DispatchStatus) -> bool {
        let Some(lease) = &d.spec.lease_name else { return false };
        let closed = before.last_result.as_ref().map(|r| r.attempt);
        let Some(life) = d.metadata.uid.as_ref().and_then(|uid| self.dispatches.get(uid)) else { return false };
        let attempt = |v: &Version<Dispatch>| v.object.status.as_ref()?.last_result.as_ref().map(|r| r.attempt);
        let Some(since) = life.versions.iter().find(|v| attempt(v) == closed).map(|v| self.when(v.rv)) else {
            return false;
        };
        let beats = self.evidence.records.iter().filter(|r| r.resource.plural == "leases" && r.name == *lease);
        let beats = beats.map(|r| self.when(r.resource_version)).take_while(|t| *t <= self.when(self.rv));
        // A renewal counts once a look showed what was before it: so one at about the time of the close may not be seen. And the
        // end may have been decided a while before it was written.
        let since =
            beats.filter(|t| *t + Duration::from_secs(120) < self.when(self.rv)).last().unwrap_or(since).max(since);
        since + GIVE_UP <= self.when(self.rv) + Duration::from_secs(30)
    }

    pub(super) fn was_forced(&self, worker: &str, pool: &str) -> bool {
        let flag = |a: &Option<BTreeMap<String, String>>| a.as_ref().and_then(|a| a.get(FORCE)).is_some();
        self.workers.get(worker).is_some_and(|w| w.versions.iter().any(|v| flag(&v.object.metadata.annotations)))
            || self
                .pools
                .values()
                .filter(|p| p.name == pool)
                .any(|p| p.versions.iter().any(|v| flag(&v.object.metadata.annotations)))
    }
}
