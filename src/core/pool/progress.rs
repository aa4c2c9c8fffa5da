//! What the status of a pool says about a rolling update.

use crate::api::pool::ContainerPoolStatus;
use crate::api::vocabulary::{EventReason, PoolProgressing, Reason};
use crate::api::{Condition, ContainerPool};
use crate::core::{Core, ObjectKey};

impl Core {
    /// The condition Progressing while workers are replaced because of their template: reason and message.
    pub(super) fn progress_of_update(
        &self,
        key: &ObjectKey,
        obj: &ContainerPool,
        status: &ContainerPoolStatus,
    ) -> Option<(PoolProgressing, String)> {
        let p = self.pools.get(key)?;
        let coming = !p.slots.starting().is_empty() || p.members.creating() > 0 || p.learned.backoff.is_failing();
        if !p.has_outdated() && p.learned.replacements.owed() == 0 && !(coming && reason_of(status).is_some()) {
            return None;
        }
        let (updated, all) =
            (p.updated() - p.slots.starting().len().min(p.updated()), p.members.len() + p.learned.replacements.owed());
        let text = format!("{updated} of {all} updated");
        Some(if obj.spec.paused {
            (PoolProgressing::UpdatePaused, format!("{text}; the pool is paused (spec.paused)"))
        } else if p.learned.backoff.is_failing() {
            (PoolProgressing::UpdateStalled, format!("{text}; workers do not start: {}", p.learned.backoff.message()))
        } else {
            (PoolProgressing::RollingUpdate, text)
        })
    }
}

/// Why an update goes on, as a status says. `None`: the status shows no update.
fn reason_of(status: &ContainerPoolStatus) -> Option<PoolProgressing> {
    use PoolProgressing::{RollingUpdate, UpdatePaused, UpdateStalled};
    let reason = &Condition::find::<PoolProgressing>(&status.conditions)?.reason;
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
    match (reason_of(old), reason_of(next)) {
        (None, Some(RollingUpdate | UpdatePaused)) => Some((false, EventReason::UpdateStarted, text(next))),
        (Some(RollingUpdate | UpdatePaused) | None, Some(UpdateStalled)) => {
            Some((true, EventReason::UpdateStalled, text(next)))
        }
        (Some(_), None) => {
            Some((false, EventReason::UpdateDone, format!("all {} workers are up to date", next.workers)))
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
