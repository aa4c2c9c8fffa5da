//! How many workers of a pool can do what.

use std::collections::BTreeMap;

use crate::core::state::slots::Standing;
use crate::core::{Core, Now, ObjectKey};

/// The workers of a pool. Each is counted once, and one with a write under way as what it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// Idle, and nothing rests.
    pub ready: usize,
    pub busy: usize,
    /// Up, and it or its credential rests.
    pub resting: usize,
    pub starting: usize,
    pub unavailable: usize,
}

impl Sums {
    /// Workers that are up.
    pub const fn up(&self) -> usize {
        self.ready + self.busy + self.resting
    }
}

impl Core {
    /// The workers of a pool by what they can do now.
    pub(super) fn sums(&mut self, key: &ObjectKey, now: Now) -> Sums {
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
}
