//! When a worker's instance is checked.

use std::time::Duration;

use super::agenda::Wake;
use super::entries::Op;
use super::state::instances::{host_of, instance_key};
use super::{Action, Core, Now, ObjectKey, RuntimeOrder};

impl Core {
    /// Has a worker looked at: every `health.interval`, and at once if nothing is known of its instance.
    pub(super) fn check_if_due(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(e) = self.workers.get(key) else { return };
        if e.op.is_some() {
            return;
        }
        let (w, checked, missed) = (e.obj.clone(), e.checked, e.missed);
        let host = host_of(&w);
        if !self.instances.is_listed(&host) || self.instances.is_dead(&w) {
            return; // a listing will tell
        }
        let policy = self.pool_obj(&self.workers[key].pool).map(|p| p.spec.health.clone()).unwrap_or_default();
        // A worker that missed a check is asked again soon: it takes no work until it answers.
        let pause = if missed == 0 { policy.interval.get() } else { policy.interval.get().min(policy.timeout.get()) };
        let due = if checked == Duration::ZERO || self.instances.view_of(&w).is_none() {
            now.mono
        } else {
            together(checked + pause, pause)
        };
        if now.mono < due {
            wake.after(due);
            return;
        }
        if let Some(e) = self.workers.get_mut(key) {
            e.begin(Op::Check);
        }
        self.actions.push(Action::Runtime(RuntimeOrder::Check(host, instance_key(&w), policy.timeout.get())));
    }
}

/// When a check is made that is due at `due`, a `pause` after the last one: together with others, at most a sixtieth of that
/// pause later. A controller is then woken now and then, not for each of thousands of workers.
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
    fn those_that_are_due_at_about_the_same_time_are_checked_at_one() {
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
