//! Which credentials of a pool rest, for the pauses of its workers (`rateLimit.pause`).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::assign::Gate;
use crate::api::{ContainerPool, names};
use crate::core::agenda::Wake;
use crate::core::state::pauses::Pauses;
use crate::core::{Core, Now, ObjectKey};

impl Core {
    /// Notes which credentials of a pool rest, and marks the workers that are to be paused, or to go on, because that changed.
    pub(super) fn note_pauses(&mut self, key: &ObjectKey, pool: &ContainerPool, now: Now, wake: &mut Wake) {
        let on = pool.spec.rate_limit.pause;
        let mut credentials = BTreeMap::new();
        for c in pool.spec.credentials.iter().filter(|_| on) {
            let id = c.identity();
            let gate = self.gate(key, &pool.spec, Some(&id), None, now);
            self.wake_at_gate(gate, wake);
            match gate {
                Gate::Resting(end) => credentials.insert(id, end),
                Gate::Parked(end) => credentials.insert(id, end.unwrap_or(Timestamp::MAX)),
                Gate::Open | Gate::Probe | Gate::Full | Gate::Probing(_) => None,
            };
        }
        let next = Pauses { on, credentials };
        let Some(p) = self.pools.get_mut(key).filter(|p| p.pauses != next) else { return };
        let before = std::mem::replace(&mut p.pauses, next);
        let ordinals: Vec<i32> = if before.on == on {
            // Those that rest by themselves do not depend on it, and a change of the end alone changes nothing.
            let (old, new) = (&before.credentials, &p.pauses.credentials);
            let changed = old.keys().chain(new.keys()).filter(|id| old.contains_key(*id) != new.contains_key(*id));
            changed.filter_map(|id| p.slots.idle().get(&Some(id.clone()))).flatten().map(|(_, o)| *o).collect()
        } else {
            p.members.existing().iter().copied().collect()
        };
        self.visits.0 += ordinals.len() as u64;
        for ordinal in ordinals {
            self.agenda.mark_worker(&key.sibling(names::worker(&key.name, ordinal)));
        }
    }
}
