//! Workers that cannot take work, each with its reason.

use crate::api::pool::NotReady;
use crate::api::vocabulary::NotReadyReason;
use crate::api::{Time, names};
use crate::core::object::worker_status;
use crate::core::state::instances::host_of;
use crate::core::state::slots::Slot;
use crate::core::{Core, Object, ObjectKey};

/// Longest list in a pool's status.
pub(super) const LIST: usize = 20;

impl Core {
    /// At most [`LIST`] workers of a pool that cannot take work. Busy ones are listed if their host does not answer: a person
    /// may know that it never will.
    pub(super) fn not_ready(&self, key: &ObjectKey) -> Vec<NotReady> {
        let Some(p) = self.pools.get(key) else { return Vec::new() };
        let resting = p.slots.resting().iter().map(|(_, o)| *o);
        let unavailable = p.slots.unavailable().iter().chain(p.slots.spent()).copied();
        // Usually none is away, and no busy worker is looked at.
        let away = !self.instances.all_listed();
        let unreachable = |o: &i32| {
            let e = self.workers.get(&key.sibling(names::worker(&key.name, *o)));
            e.is_some_and(|e| !self.instances.is_listed(&host_of(e.obj())))
        };
        let lost = p.slots.busy().iter().copied().filter(|o| away && unreachable(o));
        let ordinals = unavailable.chain(lost).chain(p.slots.starting().iter().copied()).chain(resting).take(LIST);
        ordinals
            .map(|o| {
                let worker = names::worker(&key.name, o);
                let e = self.workers.get(&key.sibling(worker.clone()));
                let (reason, until) = match e.map(|e| (e.slot(), e.obj())) {
                    Some((Some(Slot::Resting { until, up }), _)) => {
                        let reason = if *up { NotReadyReason::Resting } else { NotReadyReason::InstanceLost };
                        (reason.as_str(), Some(Time::from(*until)))
                    }
                    Some((Some(Slot::Starting), w)) => {
                        // Such as `ErrImagePull: …` of a kubelet. What an API server refuses begins with a sentence.
                        let why = worker_status(w).message.as_deref().and_then(|m| m.split(':').next());
                        let word = why.filter(|w| !w.is_empty() && !w.contains(char::is_whitespace));
                        (word.unwrap_or(NotReadyReason::Starting.as_str()), None)
                    }
                    Some((Some(Slot::Spent), _)) => (NotReadyReason::Spent.as_str(), None),
                    // Also while it is being deleted: that waits for its host.
                    Some((_, w)) if !self.instances.is_listed(&host_of(w)) => {
                        (NotReadyReason::HostUnreachable.as_str(), None)
                    }
                    Some((_, w)) if w.is_deleting() => (NotReadyReason::Draining.as_str(), None),
                    Some((_, w)) if self.instances.is_dead(w) => (NotReadyReason::InstanceLost.as_str(), None),
                    Some((_, w)) if w.spec.cordoned => (NotReadyReason::Cordoned.as_str(), None),
                    Some(_) if e.is_some_and(|e| self.is_stale(e)) => (NotReadyReason::StaleCredential.as_str(), None),
                    Some((_, w)) if self.identity_of(w).is_err() => (NotReadyReason::Outdated.as_str(), None),
                    _ => (NotReadyReason::Unhealthy.as_str(), None),
                };
                NotReady { worker, reason: reason.to_owned(), until }
            })
            .collect()
    }
}
