//! The condition Ready of a pool: whether enough workers are up.

use super::explain::few;
use super::sums::Sums;
use super::wait::Wait;
use super::{progress, update};
use crate::api::pool::ContainerPoolStatus;
use crate::api::vocabulary::{EventReason, PoolReady, Reason};
use crate::api::{Condition, ContainerPool, Period, names};
use crate::core::object::worker_status;
use crate::core::{Core, EventType, ObjectKey};

/// How many workers are looked at to name a few.
const LOOKED_AT: usize = 20;

/// `3 workers are up`.
fn up(n: usize) -> String {
    match n {
        0 => "no worker is up".to_owned(),
        1 => "1 worker is up".to_owned(),
        n => format!("{n} workers are up"),
    }
}

/// `2 of at least 3 workers are up`.
fn of_at_least(n: usize, min: usize) -> String {
    if min == 1 { format!("{n} of at least 1 worker is up") } else { format!("{n} of at least {min} workers are up") }
}

impl Core {
    /// Reason and message of the condition Ready.
    pub(super) fn ready(
        &mut self,
        key: &ObjectKey,
        obj: &ContainerPool,
        stored: &[Condition],
        sums: Sums,
        wait: &Wait,
    ) -> (PoolReady, String) {
        match wait {
            Wait::Deleting => return (PoolReady::Deleting, self.deletion(key)),
            Wait::Refused(_) | Wait::StartsFail(..) | Wait::HostUnreachable(_) => {
                return (wait.reason(), wait.to_string());
            }
            _ => {}
        }
        let min = usize::try_from(obj.spec.min).unwrap_or(0);
        let replacing = self.is_replacing(key, obj, stored) && self.creation_refused(key).is_none();
        let was_ready = Condition::find::<PoolReady>(stored).is_some_and(Condition::is_true);
        let size =
            self.pools.get(key).map_or(0, |p| p.members.len() + p.members.creating() + p.learned.replacements.owed());
        let share = if replacing && was_ready { update::budget(&obj.spec, size) } else { 0 };
        let needed = min.saturating_sub(share).max(min.min(1));
        if sums.up() >= min {
            let none = if sums.up() == 0 { ", and none is needed (spec.min is 0)" } else { "" };
            return (PoolReady::Available, format!("{}{none}", up(sums.up())));
        }
        let counted = of_at_least(sums.up(), min);
        let why = self.paused(obj).or_else(|| self.coming(key, obj)).or_else(|| self.missing(key));
        let text = match &why {
            None if replacing => format!("{counted}; a worker is being replaced"),
            None => counted,
            Some(why @ Wait::StartsPostponed(_)) if sums.up() == 0 => why.to_string(),
            Some(Wait::Starting) => {
                let n = sums.starting.max(1);
                format!("{counted}; {n} {} starting", if n == 1 { "is" } else { "are" })
            }
            Some(Wait::Unavailable(names)) => format!("{counted}; {names}"),
            Some(why) => format!("{counted}; {why}"),
        };
        if sums.up() >= needed {
            return (PoolReady::Available, text);
        }
        let reason = match &why {
            _ if replacing => PoolReady::Replacing,
            None | Some(Wait::Replaced(_)) => PoolReady::BelowMin,
            Some(why) => why.reason(),
        };
        (reason, text)
    }

    /// True while workers are replaced because of an update or of `recycle`, and nothing fails.
    fn is_replacing(&self, key: &ObjectKey, obj: &ContainerPool, stored: &[Condition]) -> bool {
        let Some(p) = self.pools.get(key) else { return false };
        if self.cfg.is_paused(obj) || p.learned.backoff.is_failing() {
            return false;
        }
        let comes = p.slots.starting().len() + p.members.creating();
        let goes = p.members.deleting() + p.slots.spent().len() + p.learned.replacements.owed();
        let updates = p.has_outdated() || p.learned.replacements.leaving() + p.learned.replacements.owed() > 0;
        let recycles = obj.spec.recycle.after_dispatches > 0 || obj.spec.recycle.max_age != Period::ZERO;
        let was_up = Condition::find::<PoolReady>(stored).is_some_and(Condition::is_true) || was_replacing(stored);
        // The last worker of an update or a recycling is on its way. A write under way may be about it.
        let last = comes + goes + p.slots.held().len() > 0;
        updates || (last && was_up && (recycles || progress::is_update(stored) || was_replacing(stored)))
    }

    /// The workers that a pool waits for while it is being deleted, in words.
    fn deletion(&self, key: &ObjectKey) -> String {
        let text = "the pool is being deleted";
        let Some(p) = self.pools.get(key).filter(|p| !p.members.existing().is_empty()) else { return text.to_owned() };
        let idle = p.members.existing().iter().filter(|o| !p.slots.busy().contains(o));
        let named: Vec<String> = p
            .slots
            .busy()
            .iter()
            .chain(idle)
            .take(LOOKED_AT)
            .map(|o| {
                let name = names::worker(&key.name, *o);
                let e = self.workers.get(&key.sibling(name.clone()));
                match e.and_then(|e| worker_status(e.obj()).dispatch.as_ref()) {
                    Some(d) => format!("{name} (busy with {})", d.name),
                    None => name,
                }
            })
            .collect();
        format!("{text}; waits for {}", few(&named, p.members.len()))
    }
}

fn was_replacing(stored: &[Condition]) -> bool {
    Condition::find::<PoolReady>(stored).is_some_and(|c| c.reason == PoolReady::Replacing.as_str())
}

/// The Event to record when the condition's status changes. None for a replacement that goes well.
pub(super) fn event(old: &ContainerPoolStatus, next: &ContainerPoolStatus) -> Option<(EventType, EventReason, String)> {
    let before = Condition::find::<PoolReady>(&old.conditions);
    let after = Condition::find::<PoolReady>(&next.conditions)?;
    if before.is_some_and(|b| b.status == after.status)
        || was_replacing(&next.conditions)
        || was_replacing(&old.conditions)
    {
        return None;
    }
    let type_ = if after.is_true() || before.is_none() { EventType::Normal } else { EventType::Warning };
    let reason = if after.is_true() { EventReason::Ready } else { EventReason::NotReady };
    Some((type_, reason, after.message.clone()))
}
