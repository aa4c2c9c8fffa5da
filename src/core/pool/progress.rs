//! What the status of a pool says about a rolling update.

use super::explain::few;
use super::wait::Wait;
use crate::api::pool::ContainerPoolStatus;
use crate::api::vocabulary::{EventReason, PoolProgressing, Reason};
use crate::api::{Condition, ContainerPool, names};
use crate::core::{Core, ObjectKey};

/// How many workers are looked at to name a few.
const LOOKED_AT: usize = 20;

impl Core {
    /// The condition Progressing while workers are replaced because of their template: reason and message. `up`: how many
    /// workers are up.
    pub(super) fn progress_of_update(
        &mut self,
        key: &ObjectKey,
        obj: &ContainerPool,
        status: &ContainerPoolStatus,
        up: usize,
    ) -> Option<(PoolProgressing, String)> {
        let p = self.pools.get(key)?;
        let coming = !p.slots.starting().is_empty() || p.members.creating() > 0 || p.learned.backoff.is_failing();
        if !p.has_outdated() && p.learned.replacements.owed() == 0 && !(coming && is_update(&status.conditions)) {
            return None;
        }
        // New workers that start, or leave again because they did not start, are no success yet.
        let leaves = |o: &&i32| {
            let e = self.workers.get(&key.sibling(names::worker(&key.name, **o)));
            e.is_some_and(|e| !self.is_outdated(e))
        };
        let changing = p.members.going().iter().chain(p.slots.held()).take(LOOKED_AT);
        let not_yet = p.slots.starting().len() + changing.filter(leaves).count();
        let updated = p.updated().saturating_sub(not_yet);
        let all = p.members.len() + p.learned.replacements.owed();
        let text = format!("{updated} of {all} updated");
        Some(if let Some(wait) = self.paused(obj) {
            (PoolProgressing::UpdatePaused, format!("{text}; {wait}"))
        } else if p.learned.backoff.is_failing() {
            let why = p.learned.backoff.message();
            let text = if up == 0 {
                format!("no worker is up; the new template does not start: {why}")
            } else {
                format!("{text}; workers do not start: {why}")
            };
            (PoolProgressing::UpdateStalled, text)
        } else if let Some((worker, why)) = self.deletion_refused(key) {
            (PoolProgressing::UpdateStalled, format!("{text}; {worker} cannot be deleted: {why}"))
        } else if let Some(why) = self.creation_refused(key) {
            (PoolProgressing::RollingUpdate, format!("{text}; {}", Wait::WriteRefused(why)))
        } else if let Some(wait @ Wait::StartsPostponed(_)) = self.coming(key, obj) {
            (PoolProgressing::RollingUpdate, format!("{text}; {wait}"))
        } else {
            (PoolProgressing::RollingUpdate, format!("{text}{}", self.busy_ones(key)))
        })
    }

    /// An outdated worker that waits after a refused write, and why the API server refuses to delete it.
    fn deletion_refused(&self, key: &ObjectKey) -> Option<(String, String)> {
        let p = self.pools.get(key)?;
        p.slots.held().iter().chain(p.slots.starting()).take(LOOKED_AT).find_map(|o| {
            let worker = names::worker(&key.name, *o);
            let outdated = self.workers.get(&key.sibling(worker.clone())).is_some_and(|e| self.is_outdated(e));
            let why = self.write_fails(key, *o).filter(|_| outdated)?;
            Some((worker, why.to_owned()))
        })
    }

    /// The outdated workers that are busy, in words. Only a few are looked at.
    fn busy_ones(&self, key: &ObjectKey) -> String {
        let Some(p) = self.pools.get(key) else { return String::new() };
        let outdated = |o: &i32| {
            let name = names::worker(&key.name, *o);
            let e = self.workers.get(&key.sibling(name.clone()))?;
            self.is_outdated(e).then_some(name)
        };
        let named: Vec<String> = p.slots.busy().iter().take(LOOKED_AT).filter_map(outdated).collect();
        match named.len() {
            0 => String::new(),
            1 => format!("; {} is busy and follows when it is done", named[0]),
            n => format!("; {} are busy and follow when they are done", few(&named, n)),
        }
    }
}

/// True if the stored condition shows an update.
pub(super) fn is_update(stored: &[Condition]) -> bool {
    reason_of(stored).is_some()
}

/// Why an update goes on, as a status says. `None`: the status shows no update.
fn reason_of(stored: &[Condition]) -> Option<PoolProgressing> {
    use PoolProgressing::{RollingUpdate, UpdatePaused, UpdateStalled};
    let reason = &Condition::find::<PoolProgressing>(stored)?.reason;
    [RollingUpdate, UpdateStalled, UpdatePaused].into_iter().find(|r| r.as_str() == reason)
}

/// The Event to record when a pool's status shows another state of an update: whether it is a warning, the reason, the text.
pub(super) fn event_of_update(
    old: &ContainerPoolStatus,
    next: &ContainerPoolStatus,
) -> Option<(bool, EventReason, String)> {
    use PoolProgressing::{RollingUpdate, UpdatePaused, UpdateStalled};
    let text = |s: &ContainerPoolStatus| {
        Condition::find::<PoolProgressing>(&s.conditions).map(|c| c.message.clone()).unwrap_or_default()
    };
    match (reason_of(&old.conditions), reason_of(&next.conditions)) {
        (None, Some(RollingUpdate | UpdatePaused)) => Some((false, EventReason::UpdateStarted, text(next))),
        (Some(RollingUpdate | UpdatePaused) | None, Some(UpdateStalled)) => {
            Some((true, EventReason::UpdateStalled, text(next)))
        }
        (Some(_), None) => {
            let text = match next.workers {
                0 => "no worker of the old template is left".to_owned(),
                1 => "the only worker is up to date".to_owned(),
                n => format!("all {n} workers are up to date"),
            };
            Some((false, EventReason::UpdateDone, text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::core::{Now, conditions};

    fn says(reason: PoolProgressing) -> ContainerPoolStatus {
        let mut s = ContainerPoolStatus::default();
        let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        conditions::set(&mut s.conditions, reason, "3 of 8 updated", now);
        s
    }

    #[test]
    fn each_transition_is_reported_once() {
        use PoolProgressing::{RollingUpdate, Scaling, Steady, UpdatePaused, UpdateStalled};
        let reason = |a, b| event_of_update(&says(a), &says(b)).map(|(_, r, _)| r.as_str());
        assert_eq!(reason(Steady, RollingUpdate), Some("UpdateStarted"));
        assert_eq!(reason(RollingUpdate, RollingUpdate), None);
        assert_eq!(reason(RollingUpdate, UpdatePaused), None);
        assert_eq!(reason(RollingUpdate, UpdateStalled), Some("UpdateStalled"));
        assert_eq!(reason(UpdateStalled, UpdateStalled), None);
        assert_eq!(reason(UpdateStalled, RollingUpdate), None);
        assert_eq!(reason(RollingUpdate, Steady), Some("UpdateDone"));
        assert_eq!(reason(Scaling, Steady), None);
    }
}
