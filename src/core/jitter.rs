//! Waits that double, and what is added to them so that not all dispatches come back at once.

use std::time::Duration;

/// More doublings than these change nothing: every wait is at its bound.
const MOST_DOUBLINGS: i32 = 31;

/// The wait of the `nth` time in a row, from 1: it doubles with each, up to `longest`.
pub(in crate::core) fn doubled(first: Duration, nth: i32, longest: Duration) -> Duration {
    let doublings = u32::try_from(nth.saturating_sub(1).clamp(0, MOST_DOUBLINGS)).unwrap_or(0);
    first.saturating_mul(1 << doublings).min(longest)
}

/// A wait with up to this share of it added. The string alone decides how much.
pub(in crate::core) fn jittered(wait: Duration, share: f64, seed: &str) -> Duration {
    wait.saturating_add(wait.mul_f64(share * fraction(seed)))
}

/// A number in `[0, 1)` that depends on the string alone (FNV-1a, 64 bits).
fn fraction(seed: &str) -> f64 {
    let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    f64::from(u32::try_from(hash >> 40).unwrap_or(0)) / f64::from(1u32 << 24)
}
