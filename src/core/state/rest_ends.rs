//! When rests end by the monotonic clock.
//!
//! The end of a rest is stored as a wall-clock time, which is all that another controller has. This controller knows more of
//! the rests that it began itself: how long they last. If the wall clock is set back meanwhile, such a rest still ends in
//! time. A rest that another controller began follows the wall clock: nothing else is known of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::core::Now;

/// How long an end is remembered after it has passed on both clocks.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Ends of the rests that this controller began: the stored time, and the monotonic time.
#[derive(Default)]
pub(in crate::core) struct RestEnds(BTreeMap<Timestamp, Duration>);

impl RestEnds {
    /// A rest begins that lasts this long, and whose end is stored as `until`.
    pub fn begin(&mut self, until: Timestamp, lasts: Duration, now: Now) {
        while let Some(first) = self.0.first_entry() {
            if *first.key() > now.wall || *first.get() + REMEMBERED > now.mono {
                break;
            }
            first.remove();
        }
        let end = now.mono.saturating_add(lasts);
        let known = self.0.entry(until).or_insert(end);
        *known = end.max(*known);
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True while a rest with this stored end lasts.
    pub fn lasts(&self, until: Timestamp, now: Now) -> bool {
        until > now.wall && !self.is_over(until, now)
    }

    /// True if a rest with this stored end is known to be over by the monotonic clock.
    pub fn is_over(&self, until: Timestamp, now: Now) -> bool {
        self.end(until).is_some_and(|end| end <= now.mono)
    }

    /// The monotonic time at which a rest with this stored end is over, if this controller began it.
    pub fn end(&self, until: Timestamp) -> Option<Duration> {
        self.0.get(&until).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(wall: i64, mono: u64) -> Now {
        Now::new(Timestamp::from_second(wall).unwrap(), Duration::from_secs(mono))
    }

    #[test]
    fn a_known_rest_ends_by_whichever_clock_is_first_and_another_by_the_wall_clock() {
        let (known, other) = (Timestamp::from_second(104).unwrap(), Timestamp::from_second(105).unwrap());
        let mut rests = RestEnds::default();
        rests.begin(known, Duration::from_secs(4), now(100, 0));
        assert!(rests.lasts(known, now(103, 3)));
        assert!(!rests.lasts(known, now(104, 3)), "the wall clock was set forward");
        assert!(!rests.lasts(known, now(94, 4)), "the wall clock was set back");
        assert!(rests.lasts(other, now(94, 400)));
    }

    #[test]
    fn two_rests_with_one_end_last_as_long_as_the_longer() {
        let until = Timestamp::from_second(104).unwrap();
        let mut rests = RestEnds::default();
        rests.begin(until, Duration::from_secs(4), now(100, 0));
        rests.begin(until, Duration::from_secs(9), now(95, 1));
        assert!(rests.lasts(until, now(96, 9)));
    }

    #[test]
    fn what_is_long_over_is_forgotten() {
        let mut rests = RestEnds::default();
        for n in 0..1000 {
            let until = Timestamp::from_second(n + 1).unwrap();
            rests.begin(until, Duration::from_secs(1), now(n, n.unsigned_abs()));
        }
        assert!(rests.0.len() <= 603, "{}", rests.0.len());
    }
}
