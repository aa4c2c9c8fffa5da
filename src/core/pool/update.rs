//! Rolling update: which workers are replaced although nothing is wrong with them, and how many at a time.
//!
//! A worker is due to be replaced if it was created from another template than its pool's, or is older than
//! `recycle.maxAge`. It is removed when it is idle and fewer workers are away than `update.maxUnavailable` allows. Until
//! then it goes on working. A worker is away while it is being deleted and is not replaced yet, while it starts, and for
//! [`EARLY_END`] after it became Ready. So a template that does not start, or ends at once, costs that share and no more.
//!
//! If there is no such share, as in a pool of one worker, a worker is created ahead of the removal of another one, as
//! `update.maxSurge` and `max` allow. So an update never takes the last worker away before another one is up.
//!
//! - A busy worker that is due takes no next dispatch in the write that frees it.
//! - A resting worker stays until its own rest ends: the rest would be lost with it.
//! - For each worker that was removed the pool owes one on the same credential, even if it wants fewer workers by then. An
//!   update does not shrink a pool.
//! - Workers that cannot take work (their probe fails, their credential is not the pool's any more, or they may have an old value of
//!   it) are removed first.
//!
//! A worker that has served `recycle.afterDispatches` gets no more work. It is removed when it is idle, whatever the share.
//! `scale` decides how many workers follow it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::directories;
use crate::api::pool::ContainerPoolSpec;
use crate::api::{ContainerPool, names};
use crate::core::agenda::Wake;
use crate::core::limits::EARLY_END;
use crate::core::object::worker_status;
use crate::core::state::instances::host_of;
use crate::core::state::pools::PoolEntry;
use crate::core::state::replacements::Leaves;
use crate::core::state::slots::Slot;
use crate::core::state::workers::WorkerEntry;
use crate::core::template::Templates;
use crate::core::{Core, Now, Object, ObjectKey, Subject, WorkerEnd, time};

/// When a worker that cannot take work is due to be replaced: before any that can.
const AT_ONCE: Timestamp = Timestamp::MIN;
/// When a worker of another template is due, if it can take work: long ago.
const OUTDATED: Timestamp = Timestamp::UNIX_EPOCH;

/// Hundredths of workers: a number, or a percentage of this size.
fn hundredths(share: &IntOrString, size: usize) -> usize {
    match share {
        IntOrString::Int(n) => usize::try_from(*n).unwrap_or(0).saturating_mul(100),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            size.saturating_mul(percent)
        }
    }
}

/// How many workers of a pool of this size may be created ahead: a percentage is rounded up. No more than `max` exist. None
/// if the credentials are directories: the new worker and the old one would have the same.
pub fn surge(spec: &ContainerPoolSpec, size: usize) -> usize {
    if directories::are_used(spec) {
        return 0;
    }
    hundredths(&spec.update.max_surge, size).div_ceil(100).min(capacity(spec).saturating_sub(size))
}

/// How many workers of a pool of this size may be away: a percentage is rounded down. At least 1 if none can be created ahead.
pub fn budget(spec: &ContainerPoolSpec, size: usize) -> usize {
    let share = hundredths(&spec.update.max_unavailable, size) / 100;
    if surge(spec, size) > 0 { share } else { share.max(1) }
}

impl PoolEntry {
    /// Workers that cannot be counted on: they are being deleted, starting, or became Ready a short while ago. Held workers
    /// count too: the write under way may be their deletion, or that they are Ready.
    fn away(&self) -> usize {
        let come = self.members.creating() + self.slots.starting().len() + self.slots.young();
        come + self.slots.held().len() + self.members.deleting() + self.learned.replacements.owed()
    }

    /// Workers that exist or are owed, without those that were created ahead.
    fn size(&self) -> usize {
        let all = self.members.len() + self.members.creating() + self.learned.replacements.owed();
        all.saturating_sub(self.learned.replacements.ahead())
    }

    /// How many workers may be away, with those that come in addition to the pool's size.
    fn most_away(&self, spec: &ContainerPoolSpec, due: Timestamp) -> usize {
        let share = budget(spec, self.size());
        // None is created ahead for a worker that is old, or that cannot take work anyway.
        let share = if due == OUTDATED { share } else { share.max(1) };
        share + self.learned.replacements.ahead()
    }

    /// How many more workers may be removed that are due since then.
    fn room(&self, spec: &ContainerPoolSpec, due: Timestamp) -> usize {
        self.most_away(spec, due).saturating_sub(self.away())
    }

    /// True if another worker may be created ahead.
    fn may_surge(&self, spec: &ContainerPoolSpec) -> bool {
        self.learned.replacements.ahead() < surge(spec, self.size())
    }
}

impl Core {
    /// When a worker is to be replaced, if ever.
    fn due_of(&self, e: &WorkerEntry) -> Option<Timestamp> {
        if self.is_outdated(e) {
            return Some(OUTDATED);
        }
        let max_age = self.pools.get(e.pool())?.obj()?.spec.recycle.max_age;
        let made = e.obj().metadata.creation_timestamp.as_ref()?;
        (!max_age.is_zero()).then(|| time::after(made.0, max_age.get()))
    }

    /// True if a worker has served as often as it may.
    pub(in crate::core) fn is_spent(&self, e: &WorkerEntry) -> bool {
        let limit = self.pools.get(e.pool()).and_then(|p| p.obj()).map_or(0, |p| p.spec.recycle.after_dispatches);
        limit > 0 && worker_status(e.obj()).dispatches >= limit
    }

    /// True if a worker that is about to be free must not take work again.
    pub(in crate::core) fn goes_when_idle(&self, key: &ObjectKey, spec: &ContainerPoolSpec, now: Now) -> bool {
        let Some(e) = self.workers.get(key) else { return false };
        // A busy worker for which another one is to be created ahead becomes idle for a moment, in which that is seen.
        let turn = |p: &PoolEntry, due| p.room(spec, due) > 0 || (due == OUTDATED && p.may_surge(spec));
        let its_turn = |due| self.pools.get(e.pool()).is_some_and(|p| !p.learned.backoff.is_failing() && turn(p, due));
        self.is_spent(e) || self.due_of(e).filter(|t| *t <= now.wall).is_some_and(its_turn)
    }

    /// Updates when a worker is due to be replaced.
    pub(in crate::core) fn reindex_due(&mut self, key: &ObjectKey) {
        let Some(e) = self.workers.get(key) else { return };
        let due = match e.slot() {
            Some(Slot::Idle { .. }) => self.due_of(e),
            Some(Slot::Unavailable) if self.is_useless(e) => Some(AT_ONCE),
            _ => None,
        };
        self.set_due(key, due);
    }

    /// True if a worker that cannot take work is of another template, or may have an old value of its credential. Its recovery is not
    /// waited for.
    fn is_useless(&self, e: &WorkerEntry) -> bool {
        let stays = e.obj().is_deleting() || e.obj().spec.cordoned || !self.instances.is_listed(&host_of(e.obj()));
        !stays && (self.is_outdated(e) || self.is_stale(e))
    }

    fn set_due(&mut self, key: &ObjectKey, due: Option<Timestamp>) {
        let Some(e) = self.workers.get_mut(key) else { return };
        let Some(p) = self.pools.get_mut(e.pool()) else { return };
        if e.set_due(due, &mut p.slots) {
            self.agenda.mark_pool(e.pool());
        }
    }

    /// The pool's template may have changed: earlier failures say nothing about the new one.
    pub(in crate::core) fn set_template(&mut self, key: &ObjectKey, spec: &ContainerPoolSpec) {
        let Some(p) = self.pools.get_mut(key) else { return };
        let templates = Templates::of(spec);
        if p.templates != Templates::default() && p.templates != templates {
            p.learned.backoff.forget();
        }
        p.templates = templates;
    }

    /// A worker became Ready.
    pub(in crate::core) fn became_ready(&mut self, key: &ObjectKey, now: Now) {
        let Some(e) = self.workers.get_mut(key) else { return };
        if let Some(p) = self.pools.get_mut(e.pool()) {
            e.became_ready(&mut p.slots, now);
        }
    }

    /// A worker of the present template did not start. If it was to replace another one, the pool still owes that one.
    pub(in crate::core) fn replacement_failed(&mut self, pool: &ObjectKey, ordinal: Option<i32>) {
        let (Some(p), Some(ordinal)) = (self.pools.get_mut(pool), ordinal) else { return };
        if p.has_outdated() {
            p.learned.replacements.begin(ordinal, Leaves::Failed);
        }
    }

    /// The write that was to delete a worker ended, and the worker stays.
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
        let (Some(p), Some(ordinal)) = (self.pools.get_mut(e.pool()), e.ordinal()) else { return };
        let Some(obj) = p.obj().cloned() else { return };
        let credential = e.obj().spec.credential.clone();
        match p.learned.replacements.gone(ordinal) {
            None => p.learned.replacements.lost_one(),
            Some(Leaves::ForUpdate) if p.learned.replacements.replaced_ahead(credential.as_ref()) => {}
            Some(why) => {
                if p.learned.replacements.owed() < p.most_away(&obj.spec, AT_ONCE) {
                    match why {
                        Leaves::ForUpdate => p.learned.replacements.owe_for(credential),
                        Leaves::Failed => p.learned.replacements.owe(credential),
                    }
                }
            }
        }
    }

    /// Removes idle workers that are due to be replaced, as many as may be away.
    pub(in crate::core) fn replace_due(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now, wake: &mut Wake) {
        self.age_young(key, now, wake);
        if self.cfg.is_paused(obj) || self.runtime_refused(obj).is_some() {
            return;
        }
        let spent = self.pools.get_mut(key).map(|p| p.slots.take_spent());
        for ordinal in spent.into_iter().flatten() {
            if !self.replace_one(key, ordinal, WorkerEnd::Spent, now, wake)
                && let Some(p) = self.pools.get_mut(key)
            {
                p.slots.put_back_spent(ordinal);
            }
        }
        if let Some(p) = self.pools.get_mut(key).filter(|p| p.learned.replacements.ahead() > 0 && !p.has_outdated()) {
            p.learned.replacements.end();
        }
        // Two controllers lead for a moment when one is late. A debt that can never be paid would hold up the update.
        let full = |p: &PoolEntry| p.learned.replacements.owed() > 0 && p.members.len() >= capacity(&obj.spec);
        if let Some(p) = self.pools.get_mut(key).filter(|p| full(p)) {
            p.learned.replacements.paid_by_another();
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
                    return; // a worker of the new template is starting, or another one is being deleted
                }
                // None is, for example after a restart of the controller. One has to start.
                if p.members.len() < max(&obj.spec) {
                    if p.learned.replacements.owed() == 0 {
                        if due == OUTDATED && p.may_surge(&obj.spec) {
                            self.create_ahead(key, ordinal);
                        } else {
                            p.learned.replacements.owe(None);
                        }
                    }
                    return;
                }
                p.learned.replacements.owe_nothing();
            } else if p.room(&obj.spec, due) == 0 {
                self.surge(key, &obj.spec);
                return;
            }
            p.learned.replacements.begin(ordinal, Leaves::ForUpdate);
            let stale = due == AT_ONCE && self.is_stale_one(key, ordinal);
            let why = match due {
                _ if stale => WorkerEnd::CredentialChanged,
                due if due > OUTDATED => WorkerEnd::TooOld,
                _ => WorkerEnd::Outdated,
            };
            if !self.replace_one(key, ordinal, why, now, wake) {
                self.replacement_stays(key, Some(ordinal));
                return;
            }
        }
    }

    /// True if a worker is removed for its credential alone.
    fn is_stale_one(&self, pool: &ObjectKey, ordinal: i32) -> bool {
        let e = self.workers.get(&pool.sibling(names::worker(&pool.name, ordinal)));
        e.is_some_and(|e| self.is_stale(e) && !self.is_outdated(e))
    }

    /// Owes a worker for each outdated idle one, as many as may be created ahead.
    fn surge(&mut self, key: &ObjectKey, spec: &ContainerPoolSpec) {
        while let Some(p) = self.pools.get(key).filter(|p| p.may_surge(spec)) {
            self.visits.0 += 1;
            let next = p.slots.nth_due(p.learned.replacements.ahead());
            let Some((_, ordinal)) = next.filter(|(due, _)| *due == OUTDATED) else { return };
            self.create_ahead(key, ordinal);
        }
    }

    /// Owes a worker on the credential of one that is to be removed when the new one is up.
    fn create_ahead(&mut self, key: &ObjectKey, ordinal: i32) {
        let worker = key.sibling(names::worker(&key.name, ordinal));
        let credential = self.workers.get(&worker).and_then(|e| e.obj().spec.credential.clone());
        if let Some(p) = self.pools.get_mut(key) {
            p.learned.replacements.owe_ahead(credential);
        }
    }

    /// Removes a worker. Returns false if it has to wait after a failed write.
    fn replace_one(&mut self, pool: &ObjectKey, ordinal: i32, why: WorkerEnd, now: Now, wake: &mut Wake) -> bool {
        self.visits.0 += 1;
        let worker = pool.sibling(names::worker(&pool.name, ordinal));
        if let Some(until) = self.agenda.blocked_until(&Subject::Worker(worker.clone()), now) {
            wake.after(until);
            return false;
        }
        self.delete_worker(&worker, why, now);
        true
    }

    /// A worker that lives [`EARLY_END`] after it became Ready started well.
    fn age_young(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
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
            e.aged(&mut p.slots);
            let obj = e.obj().clone();
            if !obj.is_deleting() && !self.instances.is_dead(&obj) {
                self.started_well(&worker, key);
            }
        }
    }
}

fn max(spec: &ContainerPoolSpec) -> usize {
    usize::try_from(spec.max).unwrap_or(0)
}

/// How many workers a pool can have on its hosts.
fn capacity(spec: &ContainerPoolSpec) -> usize {
    let hosts: Option<i32> =
        spec.hosts.iter().map(|h| h.max).try_fold(0, |sum: i32, max| Some(sum.saturating_add(max?)));
    let hosts = hosts.filter(|_| !spec.hosts.is_empty()).map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
    max(spec).min(hosts)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::api::RuntimeKind;
    use crate::api::worker::WorkerSpec;
    use crate::core::state::slots::Standing;

    fn share(text: &str) -> IntOrString {
        IntOrString::String(text.to_owned())
    }

    fn spec(max: i32, max_unavailable: IntOrString, max_surge: IntOrString) -> ContainerPoolSpec {
        let mut spec = ContainerPoolSpec { max, ..ContainerPoolSpec::default() };
        (spec.update.max_unavailable, spec.update.max_surge) = (max_unavailable, max_surge);
        spec
    }

    #[test]
    fn a_share_that_may_be_away_is_rounded_down() {
        use IntOrString::Int;
        // Without a surge it is at least 1: otherwise no update would ever end.
        let full = |text: &str, size: i32| budget(&spec(size, share(text), Int(1)), usize::try_from(size).unwrap());
        assert_eq!([full("25%", 8), full("25%", 7), full("25%", 3), full("100%", 8)], [2, 1, 1, 8]);
        assert_eq!([budget(&spec(8, Int(3), Int(0)), 8), budget(&spec(8, Int(30), Int(0)), 8)], [3, 30]);
        assert_eq!(budget(&spec(4, share("25%"), Int(1)), 3), 0, "one is created ahead");
        assert_eq!(budget(&spec(4, share("25%"), Int(0)), 3), 1);
    }

    #[test]
    fn a_surge_is_rounded_up_and_never_above_max() {
        use IntOrString::Int;
        let of = |max, text: &str, size| surge(&spec(max, Int(1), share(text)), size);
        assert_eq!([of(9, "25%", 1), of(9, "25%", 5), of(9, "25%", 8), of(9, "100%", 8)], [1, 2, 1, 1]);
        assert_eq!([of(1, "25%", 1), of(3, "0%", 1), of(3, "100%", 4)], [0, 0, 0]);
        let host = |max| crate::api::pool::PoolHost { name: "local".into(), max };
        let on = |hosts| surge(&ContainerPoolSpec { hosts, ..spec(9, Int(1), Int(1)) }, 1);
        assert_eq!(on(vec![host(Some(1))]), 0, "its host has no room");
        assert_eq!([on(vec![host(Some(2))]), on(vec![host(Some(1)), host(None)])], [1, 1]);
    }

    proptest! {
        #[test]
        fn a_share_never_exceeds_what_was_said(percent in 1usize..=100, size in 0usize..10_000) {
            let text = || share(&format!("{percent}%"));
            let n = budget(&spec(100_000, text(), IntOrString::Int(0)), size);
            prop_assert!(n >= 1 && (n == 1 || n * 100 <= percent * size));
            let n = surge(&spec(100_000, text(), text()), size);
            prop_assert!(n * 100 >= percent * size && (n == 0 || (n - 1) * 100 < percent * size));
        }
    }

    proptest! {
        /// Whatever is removed and created: the next removal never exceeds the share and what was created ahead, except that
        /// one worker may always be removed where none can be created ahead. And never more than `max` are created.
        #[test]
        fn no_more_than_the_share_is_away(staying in 1i32..50, away in prop::collection::vec(0usize..6, 20), owed in 0usize..6, n in 1i32..20, surges in 0i32..9, more in 0i32..9) {
            let mut p = PoolEntry::default();
            let worker = WorkerSpec {
                pool: "p".to_owned(),
                pool_generation: 1,
                runtime: RuntimeKind::Process,
                credential: None,
                host: None,
                directory: None,
                template_hash: String::new(),
                cordoned: false,
            };
            (0..staying).for_each(|o| p.members.appeared(Some(o), &worker));
            for (ordinal, kind) in (0..staying).zip(away) {
                match kind {
                    0 => p.slots.insert(ordinal, Slot::Starting),
                    1 => p.slots.insert(ordinal, Slot::Held(Standing::Idle(None))),
                    2 => p.members.leaves(ordinal),
                    3 => p.slots.became_ready(ordinal, Duration::ZERO),
                    _ => {}
                }
            }
            (0..owed).for_each(|_| p.learned.replacements.owe(None));
            let size = i32::try_from(p.members.len() + owed).unwrap();
            let full = spec(size, share("100%"), IntOrString::Int(surges));
            prop_assert_eq!(p.room(&full, OUTDATED) + p.away(), p.members.len() + owed);
            let spec = spec(size + more, IntOrString::Int(n), IntOrString::Int(surges));
            while p.may_surge(&spec) {
                p.learned.replacements.owe_ahead(None);
            }
            let ahead = p.learned.replacements.ahead();
            prop_assert_eq!(ahead, usize::try_from(surges.min(more)).unwrap());
            prop_assert!(p.size() + ahead <= max(&spec));
            let room = p.room(&spec, OUTDATED);
            prop_assert!(room == 0 || p.away() + room == usize::try_from(n).unwrap() + ahead);
        }
    }
}
