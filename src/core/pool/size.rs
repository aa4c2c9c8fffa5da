//! How many workers a pool should have.

use jiff::Timestamp;

use crate::api::pool::ContainerPoolSpec;

/// The counts that decide a pool's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Workers that name a dispatch.
    pub busy: i32,
    /// Idle workers that rest, or whose credential rests.
    pub resting: i32,
    /// Workers that are unhealthy, unreachable, draining or cannot be started.
    pub unavailable: i32,
    /// Unavailable workers that are being replaced.
    pub replaced: i32,
    /// Dispatches that wait.
    pub queued: i32,
    /// True while a credential of the pool could take work, or it has none.
    pub credential_free: bool,
    /// 1 if a refused credential is to be probed and has no worker, else 0.
    pub probers: i32,
    /// When the rest of a credential of the pool ends first, or one is probed.
    pub credential_back: Option<Timestamp>,
}

/// How many workers a pool should have.
pub fn want(spec: &ContainerPoolSpec, c: Counts) -> i32 {
    let work = if c.credential_free { spec.warm.max(c.queued) } else { 0 };
    let needed =
        c.busy.saturating_add(c.resting).saturating_add(c.unavailable - c.replaced).saturating_add(work + c.probers);
    spec.max.min(spec.min.max(needed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wanted_sizes() {
        let spec = ContainerPoolSpec { min: 1, max: 8, warm: 2, ..ContainerPoolSpec::default() };
        let c = |busy, resting, unavailable, queued| Counts {
            busy,
            resting,
            unavailable,
            queued,
            credential_free: true,
            ..Counts::default()
        };
        assert_eq!(want(&spec, c(0, 0, 0, 0)), 2, "warm");
        assert_eq!(want(&spec, c(3, 0, 0, 0)), 5, "busy and warm");
        assert_eq!(want(&spec, c(3, 0, 0, 4)), 7, "the queue takes the warm ones");
        assert_eq!(want(&spec, c(3, 2, 1, 9)), 8, "never above max");
        assert_eq!(want(&spec, Counts { replaced: 2, ..c(0, 0, 2, 0) }), 2, "one worker replaces another, not two");
        let none = Counts { credential_free: false, ..c(0, 3, 0, 9) };
        assert_eq!(want(&spec, none), 3, "more workers on limited credentials do not help");
        assert_eq!(want(&spec, Counts { probers: 1, ..none }), 4, "one more for a probe");
    }

    proptest! {
        #[test]
        fn want_stays_between_min_and_max(min in 0i32..10, more in 0i32..10, warm in 0i32..10, busy in 0i32..20, resting in 0i32..20, queued in 0i32..1000) {
            let spec = ContainerPoolSpec { min, max: min + more + 1, warm, ..ContainerPoolSpec::default() };
            let n = want(&spec, Counts { busy, resting, queued, credential_free: true, ..Counts::default() });
            prop_assert!(n >= spec.min && n <= spec.max);
            prop_assert!(n >= spec.max.min(busy));
        }
    }
}
