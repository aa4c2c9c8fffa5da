//! Credentials that got another value: each pool stores that, a refused one comes back, and workers with the old value take no work.

use std::time::Duration;

use jiff::Timestamp;
use poolkeeper::api::pool::{Credential, CredentialRest};
use poolkeeper::api::{ContainerPool, Worker};

use super::choices::MARGIN;
use super::evidence::NewValue;
use super::{Audit, Life};

impl Audit<'_> {
    /// Nothing was wrong from this moment until [`MARGIN`] after it.
    fn stays_calm(&self, at: Duration) -> bool {
        self.evidence.calm.iter().any(|(from, to)| *from <= at && at + MARGIN < *to)
    }

    /// While nothing is wrong, every pool that names the credential stores soon that its value changed.
    pub(super) fn new_values(&mut self) {
        let mut found = Vec::new();
        let (mut stored, mut let_in) = (0, 0);
        for value in &self.evidence.new_values {
            let Some(noticed) = value.noticed.filter(|_| self.stays_calm(value.mono)) else { continue };
            let pools: Vec<&Life<ContainerPool>> =
                self.pools.values().filter(|life| self.names_around(life, value)).collect();
            let was_parked = |at: Duration| pools.iter().any(|life| self.rest_at(life, &value.key, at).parked);
            let before = value.mono.checked_sub(MARGIN).is_some_and(was_parked);
            if before != was_parked(value.mono) || (!before && value.in_place) {
                continue; // it was being refused or let in just then, or nothing is to be stored
            }
            for life in pools {
                let rest = self.rest_at(life, &value.key, value.mono + MARGIN);
                let since = |time: Option<Timestamp>| time.is_some_and(|t| t.as_second() >= noticed.as_second());
                let is_let_in = !before || since(rest.cleared_at.as_ref().map(|t| t.0));
                let is_dated = value.in_place || since(rest.stale_before.as_ref().map(|t| t.0));
                if !(is_let_in && is_dated) {
                    found.push(format!("{}: {value:?}, parked {before}, then {rest:?}", life.name));
                }
                stored += 1;
                let_in += u64::from(before);
            }
        }
        *self.tally.entry("new value stored".to_owned()).or_default() += stored;
        *self.tally.entry("credential let in by a new value".to_owned()).or_default() += let_in;
        for text in found {
            self.complain("a new value of a credential is stored by every pool that names it", text);
        }
    }

    /// The pool was there some time before a value changed, and for some time after that.
    fn names_around(&self, life: &Life<ContainerPool>, value: &NewValue) -> bool {
        let Some(from) = value.mono.checked_sub(MARGIN) else { return false };
        let was_there = life.versions.first().is_some_and(|v| self.when(v.rv) <= from);
        let stays = life.gone.is_none_or(|rv| self.when(rv) > value.mono + MARGIN);
        let deleted = life.versions.iter().find(|v| v.object.metadata.deletion_timestamp.is_some());
        let is_alive = deleted.is_none_or(|v| self.when(v.rv) > value.mono + MARGIN);
        let names = life.last().spec.credentials.iter().any(|c: &Credential| c.identity() == value.key);
        was_there && stays && is_alive && names
    }

    /// What a pool stored of a credential at a moment.
    fn rest_at(&self, life: &Life<ContainerPool>, key: &str, at: Duration) -> CredentialRest {
        let version = life.versions.partition_point(|v| self.when(v.rv) <= at).checked_sub(1);
        let status = version.and_then(|k| life.versions[k].object.status.as_ref());
        let rest = status.and_then(|s| s.rate_limits.iter().find(|r| r.key == key));
        rest.cloned().unwrap_or_default()
    }

    /// Why a worker surely has an old value of its credential: it was there when the value changed, and nothing was wrong then.
    pub(super) fn has_old_value(&self, worker: &Worker, life: &Life<Worker>, at: Duration) -> Option<String> {
        if !self.evidence.clocks_agree {
            return None; // then it is not known which of two times is the later one
        }
        let key = self.credential_of(worker)?;
        let made = self.when(life.versions.first()?.rv);
        let is_older = |v: &&NewValue| {
            let is_known = v.noticed.is_some() && self.stays_calm(v.mono) && v.mono + MARGIN <= at;
            v.key == key && !v.in_place && is_known && made <= v.mono
        };
        let value = self.evidence.new_values.iter().find(is_older)?;
        Some(format!("{} was made at {made:?}, before {value:?}", life.name))
    }
}
