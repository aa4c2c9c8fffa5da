//! Counts for metrics, taken from the indexes without a look at workers or dispatches.

use std::time::Duration;

use jiff::Timestamp;

use super::state::dispatches::DispatchEntry;
use super::state::slots::Standing;
use super::{Core, Now, ObjectKey};
use crate::api::Condition;
use crate::api::vocabulary::PoolReady;

/// One pool in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolCensus {
    /// Which pool.
    pub key: ObjectKey,
    /// Workers by state: `idle`, `busy`, `resting`, `starting`, `unavailable`. Each worker is in one.
    pub workers: [(&'static str, usize); 5],
    /// Dispatches that wait.
    pub waiting: usize,
    /// When the oldest of these was created.
    pub oldest: Option<Timestamp>,
    /// Credentials that rest, or are parked.
    pub resting_credentials: usize,
    /// Credentials that are parked, because the service refused them.
    pub parked_credentials: usize,
    /// The status of the condition Ready, as it is stored. None: no controller has judged the pool yet.
    pub ready: Option<bool>,
}

impl Core {
    /// All pools that exist, in order of their names.
    pub fn census(&self, now: Now) -> Vec<PoolCensus> {
        let one = |(key, p): (&ObjectKey, &super::state::pools::PoolEntry)| {
            let obj = p.obj()?;
            let stored = obj.status.iter().flat_map(|s| &s.rate_limits).filter(|r| p.due_rests.get(&r.key).is_none());
            // Of each: whether it is parked.
            let rests: Vec<bool> = stored
                .chain(p.due_rests.iter().map(|(_, rest)| rest))
                .filter(|r| r.parked || r.until.as_ref().is_some_and(|until| self.rest_ends.lasts(until.0, now)))
                .map(|r| r.parked)
                .collect();
            let conditions = obj.status.as_ref().map_or(&[][..], |s| &s.conditions);
            // A write under way about a worker does not change what the worker is.
            let held = |standing| p.slots.held_standing(&standing);
            let held_idle: usize =
                p.slots.held_as().iter().filter(|(s, _)| matches!(s, Standing::Idle(_))).map(|(_, n)| n).sum();
            let down = p.slots.resting_down().len();
            let unavailable = p.slots.unavailable().len() + p.slots.spent().len() + down;
            Some(PoolCensus {
                key: key.clone(),
                workers: [
                    ("idle", p.slots.idle_since().len() + held_idle),
                    ("busy", p.slots.busy().len()),
                    ("resting", p.slots.resting().len() - down + held(Standing::Resting)),
                    ("starting", p.slots.starting().len() + held(Standing::Starting)),
                    ("unavailable", unavailable + held(Standing::Unavailable)),
                ],
                waiting: p.queue.waiting().len(),
                oldest: p.queue.waiting().first().map(|(created, _)| *created),
                resting_credentials: rests.len(),
                parked_credentials: rests.iter().filter(|parked| **parked).count(),
                ready: Condition::find::<PoolReady>(conditions).map(Condition::is_true),
            })
        };
        self.pools.iter().filter_map(one).collect()
    }

    /// Monotonic time since which a dispatch was seen to wait: for its first attempt, or again. None: it does not wait.
    pub fn waiting_since(&self, dispatch: &ObjectKey) -> Option<Duration> {
        self.dispatches.get(dispatch).and_then(DispatchEntry::waiting_since)
    }
}
