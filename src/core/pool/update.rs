//! Rolling update: who is replaced although nothing is wrong with it, and how many at a time.
//!
//! A worker that was made from another template than its pool's, or is older than `recycle.maxAge`, goes when it is idle
//! and the share of the pool that may be away (`update.maxUnavailable`) is not used up; else it goes on working. Away is
//! who is deleted and not yet replaced, who starts, and who became Ready less than [`EARLY_END`] ago: so a template that
//! does not start, or dies at once, costs that share and no more. A busy worker takes no next dispatch in the write that
//! frees it if it may go; a resting one stays until its own rest ends, which would be lost with it. For each that went the
//! pool owes one on the same credential, also where it wants fewer by now: an update does not shrink a pool. Who can take no
//! work, as its probe fails or its credential is no longer what the pool says, goes before who can.
//!
//! A worker that served `recycle.afterDispatches` is no use any more: it gets no work, and goes when idle, whatever the
//! share. How many come after it is `scale`'s to say.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::api::pool::{ContainerPoolSpec, ContainerPoolStatus};
use crate::api::vocabulary::{EventReason, PoolProgressing, Reason};
use crate::api::{Condition, ContainerPool, names};
use crate::core::agenda::Wake;
use crate::core::limits::EARLY_END;
use crate::core::object::worker_status;
use crate::core::state::instances::host_of;
use crate::core::state::pools::PoolEntry;
use crate::core::state::slots::Slot;
use crate::core::state::workers::WorkerEntry;
use crate::core::template::Templates;
use crate::core::{Core, Now, Object, ObjectKey, Subject, time};

/// When who can take no work is due to be replaced: before who can.
const USELESS: Timestamp = Timestamp::MIN;
/// When who could work is due, if its template is another one: long since.
const OUTDATED: Timestamp = Timestamp::UNIX_EPOCH;

/// How many workers of a pool of this size may be away: a number as it is, a percentage rounded down; at least 1.
pub fn budget(max_unavailable: &IntOrString, size: usize) -> usize {
    let n = match max_unavailable {
        IntOrString::Int(n) => usize::try_from(*n).unwrap_or(0),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            size.saturating_mul(percent) / 100
        }
    };
    n.max(1)
}

impl PoolEntry {
    /// Workers that are not there to work because they go, come, or came just now. Held are those about which a write is
    /// under way: that they go, or are Ready.
    fn away(&self) -> usize {
        let come = self.members.creating() + self.slots.starting().len() + self.slots.young();
        come + self.slots.held().len() + self.members.deleting() + self.learned.replacements.owed()
    }

    /// How many more workers may go to be replaced.
    fn room(&self, spec: &ContainerPoolSpec) -> usize {
        let size = self.members.len() + self.members.creating() + self.learned.replacements.owed();
        budget(&spec.update.max_unavailable, size).saturating_sub(self.away())
    }
}

impl Core {
    /// When a worker is to be replaced, if ever.
    fn due_of(&self, e: &WorkerEntry) -> Option<Timestamp> {
        if self.is_outdated(e) {
            return Some(OUTDATED);
        }
        let max_age = self.pools.get(&e.pool)?.obj()?.spec.recycle.max_age;
        let made = e.obj.metadata.creation_timestamp.as_ref()?;
        (!max_age.is_zero()).then(|| time::after(made.0, max_age.get()))
    }

    /// True if a worker has served as often as it may.
    pub(in crate::core) fn is_spent(&self, e: &WorkerEntry) -> bool {
        let limit = self.pools.get(&e.pool).and_then(|p| p.obj()).map_or(0, |p| p.spec.recycle.after_dispatches);
        limit > 0 && worker_status(&e.obj).dispatches >= limit
    }

    /// True if a worker that is about to be free is not to take work again.
    pub(in crate::core) fn goes_when_idle(&self, key: &ObjectKey, spec: &ContainerPoolSpec, now: Now) -> bool {
        let Some(e) = self.workers.get(key) else { return false };
        let due = self.due_of(e).is_some_and(|t| t <= now.wall);
        let room = || self.pools.get(&e.pool).is_some_and(|p| !p.learned.backoff.is_failing() && p.room(spec) > 0);
        self.is_spent(e) || (due && room())
    }

    /// Puts a worker where it belongs among those that are to be replaced.
    pub(in crate::core) fn reindex_due(&mut self, key: &ObjectKey) {
        let Some(e) = self.workers.get(key) else { return };
        let due = match &e.slot {
            Some(Slot::Idle { .. }) => self.due_of(e),
            Some(Slot::Unavailable) if self.serves_nobody(e) => Some(USELESS),
            _ => None,
        };
        self.set_due(key, due);
    }

    /// True if a worker can take no work, and its template is another one: nobody waits for it to get well.
    fn serves_nobody(&self, e: &WorkerEntry) -> bool {
        let kept = e.obj.is_deleting() || e.obj.spec.cordoned || !self.instances.is_listed(&host_of(&e.obj));
        !kept && self.is_outdated(e)
    }

    fn set_due(&mut self, key: &ObjectKey, due: Option<Timestamp>) {
        let Some(e) = self.workers.get_mut(key) else { return };
        let (old, ordinal) = (std::mem::replace(&mut e.due, due), e.ordinal.unwrap_or(-1));
        if old == due {
            return;
        }
        let Some(p) = self.pools.get_mut(&e.pool) else { return };
        p.slots.set_due(ordinal, old, due);
        let pool = e.pool.clone();
        self.agenda.mark_pool(&pool);
    }

    /// The pool's template may be another one: what failed before says nothing of it.
    pub(in crate::core) fn take_template(&mut self, key: &ObjectKey, spec: &ContainerPoolSpec) {
        let Some(p) = self.pools.get_mut(key) else { return };
        let templates = Templates::of(spec);
        if p.templates != Templates::default() && p.templates != templates {
            p.learned.backoff.forget();
        }
        p.templates = templates;
    }

    /// A worker became Ready.
    pub(in crate::core) fn came_up(&mut self, key: &ObjectKey, now: Now) {
        let Some(e) = self.workers.get_mut(key) else { return };
        let (Some(ordinal), pool) = (e.ordinal, e.pool.clone()) else { return };
        e.young = Some(now.mono);
        if let Some(p) = self.pools.get_mut(&pool) {
            p.slots.came_up(ordinal, now.mono);
        }
    }

    /// A worker of the present template did not start. If it was to replace another one the pool still owes that.
    pub(in crate::core) fn replacement_failed(&mut self, pool: &ObjectKey, ordinal: Option<i32>) {
        let (Some(p), Some(ordinal)) = (self.pools.get_mut(pool), ordinal) else { return };
        if p.has_outdated() {
            p.learned.replacements.begin(ordinal);
        }
    }

    /// The write that was to delete a worker is over, and it stays.
    pub(in crate::core) fn replacement_stays(&mut self, pool: &ObjectKey, ordinal: Option<i32>) {
        if let (Some(p), Some(o)) = (self.pools.get_mut(pool), ordinal) {
            p.learned.replacements.stays(o);
        }
    }

    /// A worker is being deleted.
    pub(in crate::core) fn replacement_leaves(&mut self, pool: &ObjectKey, ordinal: i32) {
        if let Some(p) = self.pools.get_mut(pool) {
            p.learned.replacements.leaves(ordinal);
        }
    }

    /// A worker is gone, and its name is free.
    pub(in crate::core) fn replacement_gone(&mut self, e: &WorkerEntry) {
        let (Some(p), Some(ordinal)) = (self.pools.get_mut(&e.pool), e.ordinal) else { return };
        p.slots.set_due(ordinal, e.due, None);
        if let Some(at) = e.young {
            p.slots.not_young(ordinal, at);
        }
        let Some(obj) = p.obj().cloned() else { return };
        if !p.learned.replacements.gone(ordinal) {
            return;
        }
        let most = budget(&obj.spec.update.max_unavailable, p.members.len() + p.learned.replacements.owed());
        if p.learned.replacements.owed() < most {
            p.learned.replacements.owe(e.obj.spec.credential.clone());
        }
    }

    /// Lets idle workers go that are due to be replaced, as many as may be away.
    pub(in crate::core) fn replace_due(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now, wake: &mut Wake) {
        self.grow_up(key, now, wake);
        if obj.spec.paused || self.runtime_refused(obj).is_some() {
            return;
        }
        let spent = self.pools.get_mut(key).map(|p| p.slots.take_spent());
        for ordinal in spent.into_iter().flatten() {
            if !self.let_one_go(key, ordinal, now, wake)
                && let Some(p) = self.pools.get_mut(key)
            {
                p.slots.put_back_spent(ordinal);
            }
        }
        loop {
            let Some(p) = self.pools.get_mut(key) else { return };
            let Some((due, ordinal)) = p.slots.first_due() else { return };
            if due > now.wall {
                wake.at(due);
                return;
            }
            if p.learned.backoff.is_failing() {
                if let Some(until) = p.learned.backoff.until().filter(|u| *u > now.wall) {
                    wake.at(until);
                    return;
                }
                if p.away() > p.learned.replacements.owed() {
                    return; // somebody tries the new template, or goes
                }
                // Nobody does, as after a restart of the controller: one has to.
                if p.members.len() < max(&obj.spec) {
                    if p.learned.replacements.owed() == 0 {
                        p.learned.replacements.owe(None);
                    }
                    return;
                }
                p.learned.replacements.owe_nothing();
            } else if p.room(&obj.spec) == 0 {
                return;
            }
            p.learned.replacements.begin(ordinal);
            if !self.let_one_go(key, ordinal, now, wake) {
                self.replacement_stays(key, Some(ordinal));
                return;
            }
        }
    }

    /// False: not now.
    fn let_one_go(&mut self, pool: &ObjectKey, ordinal: i32, now: Now, wake: &mut Wake) -> bool {
        self.visits.0 += 1;
        let worker = pool.sibling(names::worker(&pool.name, ordinal));
        if let Some(until) = self.agenda.blocked_until(&Subject::Worker(worker.clone()), now) {
            wake.after(until);
            return false;
        }
        self.delete_worker(&worker, now);
        true
    }

    /// Who lived for a while after it became Ready started well.
    fn grow_up(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        loop {
            let Some(p) = self.pools.get_mut(key) else { return };
            let Some((since, ordinal)) = p.slots.oldest_young() else { return };
            if now.mono < since + EARLY_END {
                if p.learned.backoff.is_failing() || p.slots.first_due().is_some() {
                    wake.after(since + EARLY_END);
                }
                return;
            }
            p.slots.not_young(ordinal, since);
            self.visits.0 += 1;
            let worker = key.sibling(names::worker(&key.name, ordinal));
            let Some(e) = self.workers.get_mut(&worker) else { continue };
            e.young = None;
            let obj = e.obj.clone();
            if !obj.is_deleting() && !self.instances.is_dead(&obj) {
                self.started_well(&worker, key);
            }
        }
    }

    /// The condition Progressing while workers are replaced because of their template: reason and message.
    pub(in crate::core) fn progress_of_update(
        &self,
        key: &ObjectKey,
        obj: &ContainerPool,
        status: &ContainerPoolStatus,
    ) -> Option<(PoolProgressing, String)> {
        let p = self.pools.get(key)?;
        let coming = !p.slots.starting().is_empty() || !(p.members.creating() == 0) || p.learned.backoff.is_failing();
        if !p.has_outdated() && (p.learned.replacements.owed() == 0) && !(coming && reason_of(status).is_some()) {
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

fn max(spec: &ContainerPoolSpec) -> usize {
    usize::try_from(spec.max).unwrap_or(0)
}

/// Why an update goes on, as a status tells it. None: it tells of none.
pub(in crate::core) fn reason_of(status: &ContainerPoolStatus) -> Option<PoolProgressing> {
    use PoolProgressing::{RollingUpdate, UpdatePaused, UpdateStalled};
    let reason = &Condition::find::<PoolProgressing>(&status.conditions)?.reason;
    [RollingUpdate, UpdateStalled, UpdatePaused].into_iter().find(|r| r.as_str() == reason)
}

/// What is told when a pool's status begins to tell something else of an update: a warning or not, the reason, a text.
pub(in crate::core) fn told(
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

    use proptest::prelude::*;

    use super::*;
    use crate::api::RuntimeKind;
    use crate::api::worker::WorkerSpec;
    use crate::core::conditions;

    fn share(text: &str) -> IntOrString {
        IntOrString::String(text.to_owned())
    }

    #[test]
    fn a_share_is_rounded_down_and_at_least_one() {
        assert_eq!(budget(&share("25%"), 8), 2);
        assert_eq!(budget(&share("25%"), 7), 1);
        assert_eq!(budget(&share("25%"), 3), 1, "else no update would ever end");
        assert_eq!(budget(&share("100%"), 8), 8);
        assert_eq!(budget(&IntOrString::Int(3), 8), 3);
        assert_eq!(budget(&IntOrString::Int(30), 8), 30);
    }

    proptest! {
        #[test]
        fn a_share_never_exceeds_what_was_said(percent in 1usize..=100, size in 0usize..10_000) {
            let n = budget(&share(&format!("{percent}%")), size);
            prop_assert!(n >= 1 && (n == 1 || n * 100 <= percent * size));
        }
    }

    proptest! {
        /// Whatever goes and comes: who is let go next never makes it more than the share, but for the one that may
        /// always go.
        #[test]
        fn no_more_than_the_share_is_away(staying in 1i32..50, away in prop::collection::vec(0usize..6, 20), owed in 0usize..6, n in 1i32..20) {
            let mut p = PoolEntry::default();
            let worker = WorkerSpec {
                pool: "p".to_owned(),
                pool_generation: 1,
                runtime: RuntimeKind::Process,
                credential: None,
                host: None,
                template_hash: String::new(),
                cordoned: false,
            };
            (0..staying).for_each(|o| p.members.appeared(Some(o), &worker));
            for (ordinal, kind) in (0..staying).zip(away) {
                match kind {
                    0 => p.slots.insert(ordinal, Slot::Starting),
                    1 => p.slots.insert(ordinal, Slot::Held),
                    2 => p.members.leaves(ordinal),
                    3 => p.slots.came_up(ordinal, Duration::ZERO),
                    _ => {}
                }
            }
            (0..owed).for_each(|_| p.learned.replacements.owe(None));
            let mut spec = ContainerPoolSpec::default();
            spec.update.max_unavailable = IntOrString::Int(n);
            let room = p.room(&spec);
            prop_assert!(room == 0 || p.away() + room == usize::try_from(n).unwrap());
            spec.update.max_unavailable = share("100%");
            prop_assert_eq!(p.room(&spec) + p.away(), p.members.len() + owed);
        }
    }

    fn says(reason: PoolProgressing) -> ContainerPoolStatus {
        let mut s = ContainerPoolStatus::default();
        let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        conditions::set(&mut s.conditions, reason, "3 of 8 updated", now);
        s
    }

    #[test]
    fn each_transition_is_told_once() {
        use PoolProgressing::{RollingUpdate, Scaling, Steady, UpdatePaused, UpdateStalled};
        let reason = |a, b| told(&says(a), &says(b)).map(|(_, r, _)| r.as_str());
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
