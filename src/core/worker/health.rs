//! A Worker that is Ready and idle: its health, and when its instance is checked.

use std::time::Duration;

use super::exit::describe_worker;
use crate::api::vocabulary::{EventReason, WorkerHealthy, WorkerReady};
use crate::api::worker::{WorkerPhase, WorkerStatus};
use crate::api::{Condition, Worker};
use crate::core::agenda::Wake;
use crate::core::limits::{EARLY_END, MISSED_CHECKS};
use crate::core::state::instances::{InstanceView, host_of, instance_key};
use crate::core::state::life::Order;
use crate::core::{Action, Core, EventType, Now, ObjectKey, RuntimeOrder, WorkerEnd, conditions};
use crate::runtime::InstanceState;

impl Core {
    /// A worker that is Ready and idle: replaces it if its instance is dead or unhealthy, and checks it.
    pub(super) fn keep_healthy(
        &mut self,
        key: &ObjectKey,
        w: &Worker,
        status: &WorkerStatus,
        now: Now,
        wake: &mut Wake,
    ) {
        let pool = self.workers[key].pool().clone();
        if self.instances.is_dead(w) {
            let until = status.cooldown.as_ref().and_then(|c| c.until.as_ref());
            let resting = until.is_some_and(|u| self.rest_ends.lasts(u.0, now));
            let since = self.workers[key].life().since();
            let why = self.describe_end(w);
            if resting {
                // It keeps its place: a new worker instead of it would not rest.
                if status.phase != WorkerPhase::Failed {
                    let mut next = status.clone();
                    next.phase = WorkerPhase::Failed;
                    next.message = Some(why.clone());
                    conditions::set(&mut next.conditions, WorkerReady::InstanceLost, &why, now);
                    self.record("Worker", w, EventType::Warning, EventReason::InstanceLost, why, now);
                    self.write_worker(key, next, now);
                }
                return;
            }
            let end = if now.mono < since + EARLY_END {
                let text = match self.instances.view_of(w) {
                    Some(InstanceView::Ended(exit)) => describe_worker(exit, " soon after its start"),
                    _ => format!("worker lost soon after its start: {why}"),
                };
                self.count_start_failure(&pool, w, &text, now);
                text
            } else {
                self.record("Worker", w, EventType::Warning, EventReason::InstanceLost, why.clone(), now);
                why
            };
            self.delete_worker(key, WorkerEnd::InstanceEnded(end), now);
            return;
        }
        let leaving = match self.instances.view_of(w) {
            Some(InstanceView::There { state: InstanceState::Leaving(why), .. }) => Some(why.clone()),
            _ => None,
        };
        // A rest would be lost with the worker. One that rests stays until its rest ends, or its node ends it. A paused pool gives way
        // as well: otherwise the drain of a node would wait for the pool.
        let until = status.cooldown.as_ref().and_then(|c| c.until.as_ref());
        if let Some(why) = leaving.filter(|_| !until.is_some_and(|u| self.rest_ends.lasts(u.0, now))) {
            self.record("Worker", w, EventType::Normal, EventReason::NodeDrained, why.clone(), now);
            self.delete_worker(key, WorkerEnd::Leaving(why), now);
            return;
        }
        if self.pools.get(&pool).is_some_and(|p| p.learned.backoff.is_failing()) {
            let since = self.workers[key].life().since();
            if now.mono >= since + EARLY_END {
                self.started_well(key, &pool);
            } else {
                wake.after(since + EARLY_END);
            }
        }
        let paused = self.pool_obj(&pool).is_some_and(|p| self.cfg.is_paused(&p));
        let missed = self.workers[key].life().missed();
        if missed >= MISSED_CHECKS && self.instances.is_listed(&host_of(w)) && !paused {
            self.record(
                "Worker",
                w,
                EventType::Warning,
                EventReason::Unhealthy,
                format!("{missed} checks in a row failed"),
                now,
            );
            self.delete_worker(key, WorkerEnd::Unhealthy(missed), now);
            return;
        }
        let waits = match self.instances.view_of(w) {
            Some(InstanceView::There { state, .. }) => state.why_not_ready().map(str::to_owned),
            _ => None,
        };
        let healthy = missed == 0 && waits.is_none();
        let shown = Condition::find::<WorkerHealthy>(&status.conditions).is_none_or(Condition::is_true);
        let e = &self.workers[key];
        let sure = self.instances.view_of(w).is_some()
            && e.life().order_under_way().is_none()
            && e.life().last_check().is_some();
        if sure && healthy != shown {
            let mut next = status.clone();
            let reason = match (healthy, &waits) {
                (true, _) => WorkerHealthy::CheckPassed,
                (false, None) => WorkerHealthy::CheckFailed,
                (false, Some(_)) => WorkerHealthy::NotReady,
            };
            let why = waits.clone().unwrap_or_default();
            conditions::set(&mut next.conditions, reason, &why, now);
            next.message = waits;
            self.write_worker(key, next, now);
            return;
        }
        if let Some(next) = self.rest_to_show(&pool, w, now) {
            self.write_worker(key, next, now);
            return;
        }
        self.pause_or_go_on(key, w, status, now, wake);
        self.check_if_due(key, now, wake);
    }

    /// Orders a check of an instance: every `health.interval`, and at once if nothing is known of the instance.
    pub(in crate::core) fn check_if_due(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(e) = self.workers.get(key) else { return };
        if e.life().order_under_way().is_some() {
            return;
        }
        let (w, checked, missed) = (e.obj().clone(), e.life().last_check(), e.life().missed());
        let host = host_of(&w);
        if !self.instances.is_listed(&host) || self.instances.is_dead(&w) {
            return; // a listing will show it
        }
        let policy = self.pool_obj(self.workers[key].pool()).map(|p| p.spec.health.clone()).unwrap_or_default();
        // After a missed check the next one is soon: the worker takes no work until it answers.
        let pause = if missed == 0 { policy.interval.get() } else { policy.interval.get().min(policy.timeout.get()) };
        let due = match checked {
            Some(checked) if self.instances.view_of(&w).is_some() => together(checked + pause, pause),
            _ => now.mono,
        };
        if now.mono < due {
            wake.after(due);
            return;
        }
        if let Some(e) = self.workers.get_mut(key) {
            e.life_mut().order(Order::Check, now.mono);
        }
        self.actions.push(Action::Runtime(RuntimeOrder::Check(host, instance_key(&w), policy.timeout.get())));
    }
}

/// When a check is made that is due at `due`, a `pause` after the last one. It is delayed by at most a sixtieth of the pause, to
/// make it together with other checks: a controller is then not woken for each of thousands of workers.
fn together(due: Duration, pause: Duration) -> Duration {
    let step = (pause.as_millis() / 60).max(1);
    let millis = due.as_nanos().div_ceil(1_000_000).next_multiple_of(step);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn checks_that_are_due_at_about_the_same_time_are_made_at_one_time() {
        let pause = Duration::from_secs(120);
        let at = |millis| together(Duration::from_millis(millis), pause).as_millis();
        assert_eq!([2001, 2500, 3999, 4000].map(at), [4000; 4]);
        assert_eq!(at(4001), 6000);
    }

    proptest! {
        #[test]
        fn none_is_checked_early_or_much_later(due in 0..10_000_000_000u64, pause in 1_000_000..4_000_000_000u64) {
            let (due, pause) = (Duration::from_micros(due), Duration::from_micros(pause));
            let at = together(due, pause);
            prop_assert!(at >= due);
            prop_assert!(at <= due + pause / 60 + Duration::from_millis(1));
        }
    }
}
