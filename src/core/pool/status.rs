//! The status of a pool.

use std::collections::BTreeMap;

use crate::api::pool::CredentialRest;
use crate::api::vocabulary::EventReason;
use crate::api::{Condition, ContainerPool, Time, names};
use crate::core::agenda::Wake;
use crate::core::object::worker_status;
use crate::core::state::instances::host_of;
use crate::core::{Core, EventType, Now, Object, ObjectKey, Subject, Verb, conditions};

use super::explain::Wait;
use super::{progress, scale};
use crate::api::pool::{ContainerPoolStatus, NotReady, Recent};
use crate::api::vocabulary::{
    NotReadyReason, PoolProgressing, PoolReady, PoolRequestsAccepted, PoolRuntimeAllowed, PoolScalingLimited,
};
use crate::core::state::slots::{Slot, Standing};

/// Longest list in a pool's status.
const LIST: usize = 20;

/// The workers of a pool. Each is counted once, and one with a write under way as what it was.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Idle, and nothing rests.
    ready: usize,
    busy: usize,
    /// Up, and it or its credential rests.
    resting: usize,
    starting: usize,
    unavailable: usize,
}

impl Core {
    /// Writes the status if it changed: at most once in `rollup_interval`, but rests of credentials at once.
    pub(super) fn write_pool_status(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now, wake: &mut Wake) {
        if self.agenda.is_locked(&Subject::Pool(key.clone())) {
            return;
        }
        let Some(p) = self.pools.get(key) else { return };
        let (due, last) = (!p.due_rests.is_empty(), p.status_written);
        let next_at = last.map_or(now.mono, |t| t + self.cfg.rollup_interval);
        if !due && now.mono < next_at {
            wake.after(next_at);
            return;
        }
        let old = obj.status.clone().unwrap_or_default();
        let next = self.status_of(key, obj, now);
        if next == old {
            // The due rests are stored, or are of no credential any more. The workers that waited for them are decided about again.
            let gated = self.pools.get_mut(key).map(|p| {
                p.due_rests.clear();
                p.due_rests.waiting().clone()
            });
            for w in gated.into_iter().flatten() {
                self.agenda.mark_worker(&w);
            }
        } else {
            if let Some(p) = self.pools.get_mut(key) {
                p.status_written = Some(now.mono);
            }
            self.record_transitions(obj, &old, &next, now);
            if let Some(base) = self.pool_obj(key) {
                self.write(Subject::Pool(key.clone()), Verb::PoolStatus(base, Box::new(next)));
            }
        }
    }

    /// Records Events on transitions of the pool's conditions Ready and Progressing.
    fn record_transitions(
        &mut self,
        obj: &ContainerPool,
        old: &ContainerPoolStatus,
        next: &ContainerPoolStatus,
        now: Now,
    ) {
        let find = |s: &ContainerPoolStatus| Condition::find::<PoolReady>(&s.conditions).cloned();
        let (before, after) = (find(old), find(next));
        if let Some(after) = after.filter(|a| before.as_ref().is_none_or(|b| b.status != a.status)) {
            let type_ = if after.is_true() || before.is_none() { EventType::Normal } else { EventType::Warning };
            let reason = if after.is_true() { EventReason::Ready } else { EventReason::NotReady };
            self.record("ContainerPool", obj, type_, reason, after.message, now);
        }
        if let Some((warning, reason, text)) = progress::event_of_update(old, next) {
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            self.record("ContainerPool", obj, type_, reason, text, now);
        }
    }

    /// The workers of a pool by what they can do now.
    fn sums(&mut self, key: &ObjectKey, now: Now) -> Sums {
        let Some(p) = self.pools.get(key) else { return Sums::default() };
        let slots = &p.slots;
        let down = slots.resting_down().len();
        let mut sums = Sums {
            ready: slots.idle_since().len(),
            busy: slots.busy().len(),
            resting: slots.resting().len() - down,
            starting: slots.starting().len(),
            unavailable: slots.unavailable().len() + slots.spent().len() + down,
        };
        sums.resting += slots.held_standing(&Standing::Resting);
        sums.starting += slots.held_standing(&Standing::Starting);
        sums.unavailable += slots.held_standing(&Standing::Unavailable);
        let mut idle: BTreeMap<String, usize> = BTreeMap::new();
        for (credential, set) in slots.idle() {
            if let Some(credential) = credential {
                *idle.entry(credential.clone()).or_default() += set.len();
            }
        }
        for (standing, n) in slots.held_as() {
            let Standing::Idle(credential) = standing else { continue };
            sums.ready += n;
            if let Some(credential) = credential {
                *idle.entry(credential.clone()).or_default() += n;
            }
        }
        for (id, n) in idle {
            if self.credential_rests(key, &id, now) {
                (sums.ready, sums.resting) = (sums.ready - n, sums.resting + n);
            }
        }
        sums
    }

    fn status_of(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now) -> ContainerPoolStatus {
        let mut s = obj.status.clone().unwrap_or_default();
        let counts = self.counts(key, obj, now);
        let sums = self.sums(key, now);
        let wait = self.explain(key, now);
        let n = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        s.observed_generation = obj.metadata.generation;
        s.selector = Some(format!("{}={}", names::POOL, key.name));
        s.rate_limits = self.rests(key, obj);
        s.recent = self.recent(key);
        s.not_ready = self.not_ready(key);
        let refused = self.runtime_refused(obj);
        let update = self.progress_of_update(key, obj, &s);
        let Some(p) = self.pools.get(key) else { return s };
        s.workers = n(p.members.len());
        (s.ready, s.busy, s.resting) = (n(sums.ready), n(sums.busy), n(sums.resting));
        (s.starting, s.unhealthy) = (n(sums.starting), n(sums.unavailable));
        s.queued = n(p.queue.waiting().len());
        s.updated = n(p.updated());
        s.start_backoff = p.learned.backoff.stored();
        s.next_available_time = match &wait {
            Wait::Resting(Some(t)) => Some(Time::from(*t)),
            _ => None,
        };
        let available = s.ready + s.busy + s.resting;
        let ready = match &wait {
            Wait::Refused(_) | Wait::StartsFail(..) | Wait::HostUnreachable(_) | Wait::Deleting => false,
            _ => available >= obj.spec.min,
        };
        let (bad, c) = (p.learned.requests.bad().clone(), &mut s.conditions);
        let reason = if !ready && wait == Wait::Nothing { PoolReady::BelowMin } else { wait.reason() };
        let text = if ready { String::new() } else { wait.to_string() };
        conditions::set(c, if ready { PoolReady::Available } else { reason }, &text, now);
        let short = scale::want(&obj.spec, counts) > available;
        let scaling = short || s.starting > 0;
        let reason = if scaling { PoolProgressing::Scaling } else { PoolProgressing::Steady };
        let (reason, text) = update.unwrap_or((reason, String::new()));
        conditions::set(c, reason, &text, now);
        let limited = counts.queued > 0 && s.workers >= obj.spec.max;
        let text = if limited { wait.to_string() } else { String::new() };
        let reason = if limited { PoolScalingLimited::MaxReached } else { PoolScalingLimited::WithinRange };
        conditions::set(c, reason, &text, now);
        let reason = if refused.is_none() { PoolRuntimeAllowed::Allowed } else { PoolRuntimeAllowed::Refused };
        conditions::set(c, reason, refused.as_deref().unwrap_or_default(), now);
        let first = bad.iter().next().map(|(k, (_, text))| format!("annotation {k}: {text}"));
        let text = match first {
            Some(t) if bad.len() > 1 => format!("{t} (and {} more)", bad.len() - 1),
            Some(t) => t,
            None => String::new(),
        };
        let reason = if bad.is_empty() { PoolRequestsAccepted::Accepted } else { PoolRequestsAccepted::Refused };
        conditions::set(c, reason, &text, now);
        s
    }

    /// Rests of the pool's credentials: the stored ones, and those that are due to be written.
    fn rests(&self, key: &ObjectKey, obj: &ContainerPool) -> Vec<CredentialRest> {
        let Some(p) = self.pools.get(key) else { return Vec::new() };
        let mut rests: Vec<CredentialRest> = obj.status.as_ref().map(|s| s.rate_limits.clone()).unwrap_or_default();
        for (id, due) in p.due_rests.iter() {
            match rests.iter_mut().find(|r| r.key == *id) {
                Some(r) => r.clone_from(due),
                None => rests.push(due.clone()),
            }
        }
        // Its entry in the spec changed or was removed, so the stored rest is of no credential any more.
        rests.retain(|r| obj.spec.credentials.iter().any(|c| c.identity() == r.key));
        rests
    }

    fn recent(&self, key: &ObjectKey) -> Vec<Recent> {
        let Some(p) = self.pools.get(key) else { return Vec::new() };
        let newest = p
            .queue
            .finished()
            .iter()
            .rev()
            .take(LIST)
            .filter_map(|(_, name)| self.dispatches.get(&key.sibling(name.clone())));
        newest
            .map(|e| {
                let s = e.obj().status.clone().unwrap_or_default();
                Recent {
                    dispatch: e.place().name.to_string(),
                    worker: s.worker.map(|w| w.name),
                    outcome: s.last_result.map(|r| r.outcome),
                    assigned_at: s.assigned_at,
                    finished_at: s.finished_at,
                }
            })
            .collect()
    }

    fn not_ready(&self, key: &ObjectKey) -> Vec<NotReady> {
        let Some(p) = self.pools.get(key) else { return Vec::new() };
        let resting = p.slots.resting().iter().map(|(_, o)| *o);
        let unavailable = p.slots.unavailable().iter().chain(p.slots.spent()).copied();
        let ordinals = unavailable.chain(p.slots.starting().iter().copied()).chain(resting).take(LIST);
        ordinals
            .map(|o| {
                let worker = names::worker(&key.name, o);
                let e = self.workers.get(&key.sibling(worker.clone()));
                let (reason, until) = match e.map(|e| (e.slot(), e.obj())) {
                    Some((Some(Slot::Resting { until, up }), _)) => {
                        let reason = if *up { NotReadyReason::Resting } else { NotReadyReason::InstanceLost };
                        (reason.as_str(), Some(Time::from(*until)))
                    }
                    Some((Some(Slot::Starting), w)) => match &worker_status(w).message {
                        Some(why) => (why.split(':').next().unwrap_or(NotReadyReason::Starting.as_str()), None),
                        None => (NotReadyReason::Starting.as_str(), None),
                    },
                    Some((Some(Slot::Spent), _)) => (NotReadyReason::Spent.as_str(), None),
                    Some((_, w)) if w.is_deleting() => (NotReadyReason::Draining.as_str(), None),
                    Some((_, w)) if !self.instances.is_listed(&host_of(w)) => {
                        (NotReadyReason::HostUnreachable.as_str(), None)
                    }
                    Some((_, w)) if self.instances.is_dead(w) => (NotReadyReason::InstanceLost.as_str(), None),
                    Some((_, w)) if w.spec.cordoned => (NotReadyReason::Cordoned.as_str(), None),
                    Some((_, w)) if self.identity_of(w).is_err() => (NotReadyReason::Outdated.as_str(), None),
                    _ => (NotReadyReason::Unhealthy.as_str(), None),
                };
                NotReady { worker, reason: reason.to_owned(), until }
            })
            .collect()
    }
}
