//! The status of a pool.

use std::time::Duration;

use super::not_ready::LIST;
use super::wait::Wait;
use super::{dispatching, progress, ready, size};
use crate::api::pool::{ContainerPoolStatus, CredentialRest, Recent};
use crate::api::vocabulary::{
    PoolPatternsValid, PoolProgressing, PoolRequestsAccepted, PoolRuntimeAllowed, PoolScalingLimited, Reason as _,
};
use crate::api::{Condition, ContainerPool, names, seconds};
use crate::core::agenda::Wake;
use crate::core::state::pools::PoolEntry;
use crate::core::{Core, EventType, Now, ObjectKey, Subject, Verb, conditions};

/// How long nothing is said about a pool whose hosts have not been listed yet.
const FIRST_LISTING: Duration = Duration::from_secs(10);

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// What is written at once if it changes: each condition's status, and the reason of a False one.
fn gist(conditions: &[Condition]) -> String {
    let shown = conditions.iter().filter(|c| c.type_ != PoolScalingLimited::CONDITION);
    shown.fold(String::new(), |mut text, c| {
        let reason = if c.is_true() { "" } else { &c.reason };
        text.extend([&c.type_, "=", &c.status, " ", reason, "\n"]);
        text
    })
}

impl Core {
    /// Writes the status if it changed: at most once in `rollup_interval`, but a rest of a credential at once, and what a
    /// condition newly says too, as far as [`AtOnce`] allows.
    ///
    /// [`AtOnce`]: crate::core::state::pools::AtOnce
    pub(super) fn write_pool_status(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now, wake: &mut Wake) {
        if self.agenda.is_locked(&Subject::Pool(key.clone())) {
            return;
        }
        let knows = self.knows_the_hosts(key, obj, now, wake);
        let Some(p) = self.pools.get(key) else { return };
        let (due, last) = (!p.due_rests.is_empty(), p.status_written);
        let next_at = last.map_or(now.mono, |t| t + self.cfg.rollup_interval);
        if !due && (!knows || (now.mono < next_at && !self.says_something_new(key, obj, now))) {
            if knows {
                wake.after(next_at);
            }
            return;
        }
        let old = obj.status.clone().unwrap_or_default();
        let mut next = old.clone();
        next.rate_limits = self.rests(key, obj);
        if knows {
            self.describe(key, obj, &mut next, now);
        }
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
                p.said = gist(&next.conditions);
            }
            self.record_transitions(obj, &old, &next, now);
            if let Some(base) = self.pool_obj(key) {
                self.write(Subject::Pool(key.clone()), Verb::PoolStatus(base, Box::new(next)));
            }
        }
    }

    /// False while the hosts of the pool's runtime have neither been listed nor failed: nothing is known of its workers. After
    /// [`FIRST_LISTING`] that is worth being said.
    fn knows_the_hosts(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now, wake: &mut Wake) -> bool {
        let Some(p) = self.pools.get_mut(key) else { return false };
        let until = *p.looked_at.get_or_insert(now.mono) + FIRST_LISTING;
        let silent = self.unlisted(obj).is_some_and(|(_, why)| why.is_empty());
        if silent && now.mono < until {
            wake.after(until);
            return false;
        }
        true
    }

    /// True if a condition has another status than the stored one, or has the status False for another reason. ScalingLimited
    /// waits for the next roll-up: it follows the length of the queue, and changes with each burst of work.
    fn says_something_new(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now) -> bool {
        let old = obj.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
        let mut next = ContainerPoolStatus { conditions: old.clone(), ..ContainerPoolStatus::default() };
        self.judge(key, obj, &mut next, now);
        let says = gist(&next.conditions);
        let known = says == gist(&old);
        let interval = self.cfg.rollup_interval;
        // What was written may not have been seen yet.
        let is_new = |p: &PoolEntry| !known && says != p.said;
        self.pools.get_mut(key).filter(|p| is_new(p)).is_some_and(|p| p.at_once.take(interval, now.mono))
    }

    /// Records Events on transitions of the pool's conditions Ready and Progressing.
    fn record_transitions(
        &mut self,
        obj: &ContainerPool,
        old: &ContainerPoolStatus,
        next: &ContainerPoolStatus,
        now: Now,
    ) {
        if let Some((type_, reason, text)) = ready::event(old, next) {
            self.record("ContainerPool", obj, type_, reason, text, now);
        }
        if let Some((warning, reason, text)) = progress::event_of_update(old, next) {
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            self.record("ContainerPool", obj, type_, reason, text, now);
        }
    }

    /// What a status says, except for the rests that are stored in it.
    fn describe(&mut self, key: &ObjectKey, obj: &ContainerPool, s: &mut ContainerPoolStatus, now: Now) {
        s.observed_generation = obj.metadata.generation;
        s.selector = Some(format!("{}={}", names::POOL, key.name));
        s.recent = self.recent(key);
        s.not_ready = self.not_ready(key);
        s.hosts = self.hosts(key, obj);
        s.resting_credentials = self.resting_credentials(key, obj, now);
        let wait = self.judge(key, obj, s, now);
        s.next_available_time = match &wait {
            Wait::Resting(Some(t), _) => Some(seconds(*t)),
            _ => None,
        };
        let Some(p) = self.pools.get(key) else { return };
        s.updated = count(p.updated());
        s.start_backoff = p.learned.backoff.stored();
    }

    /// Counts the workers and dispatches, and sets the conditions.
    fn judge(&mut self, key: &ObjectKey, obj: &ContainerPool, s: &mut ContainerPoolStatus, now: Now) -> Wait {
        let counts = self.counts(key, obj, now);
        let sums = self.sums(key, now);
        let wait = self.explain(key, now);
        let refused = self.runtime_refused(obj);
        let in_use = self.limited_by_directory(key, obj, counts, now);
        let (members, (queued, delayed), bad) = self.pools.get(key).map_or_else(Default::default, |p| {
            (
                p.members.len(),
                (p.queue.waiting().len().saturating_sub(p.queue.delayed()), p.queue.delayed()),
                p.learned.requests.bad().clone(),
            )
        });
        (s.workers, s.queued, s.delayed) = (count(members), count(queued), count(delayed));
        (s.ready, s.busy, s.resting) = (count(sums.ready), count(sums.busy), count(sums.resting));
        (s.starting, s.unavailable) = (count(sums.starting), count(sums.unavailable));
        let update = self.progress_of_update(key, obj, s, sums.up());
        let (reason, text) = self.ready(key, obj, &s.conditions, sums, &wait);
        let c = &mut s.conditions;
        conditions::set(c, reason, &text, now);
        let (reason, text) = dispatching::judge((queued, delayed), sums, obj.spec.max, &wait);
        conditions::set(c, reason, &text, now);
        let short = size::want(&obj.spec, counts) > count(sums.up());
        let scaling = short || sums.starting > 0;
        let reason = if scaling { PoolProgressing::Scaling } else { PoolProgressing::Steady };
        let (reason, text) = update.unwrap_or((reason, String::new()));
        conditions::set(c, reason, &text, now);
        let (reason, text) = if counts.queued > 0 && count(members) >= obj.spec.max {
            (PoolScalingLimited::MaxReached, wait.to_string())
        } else if let Some(text) = in_use {
            (PoolScalingLimited::DirectoryInUse, text)
        } else {
            (PoolScalingLimited::WithinRange, String::new())
        };
        conditions::set(c, reason, &text, now);
        let reason = if refused.is_none() { PoolRuntimeAllowed::Allowed } else { PoolRuntimeAllowed::Refused };
        conditions::set(c, reason, refused.as_deref().unwrap_or_default(), now);
        let first = bad.iter().next().map(|(k, b)| format!("annotation {k}: {}", b.text));
        let text = match first {
            Some(t) if bad.len() > 1 => format!("{t} (and {} more)", bad.len() - 1),
            Some(t) => t,
            None => String::new(),
        };
        let reason = if bad.is_empty() { PoolRequestsAccepted::Accepted } else { PoolRequestsAccepted::Refused };
        conditions::set(c, reason, &text, now);
        let check = self.cfg.check_pattern;
        let problem = self.pools.get_mut(key).and_then(|p| p.patterns.problem(&obj.spec.rate_limit.patterns, check));
        match problem {
            Some(text) => conditions::set(c, PoolPatternsValid::Invalid, text, now),
            None if Condition::find::<PoolPatternsValid>(c).is_some() => {
                conditions::set(c, PoolPatternsValid::Valid, "", now);
            }
            None => {}
        }
        wait
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
}
