//! The present, and sums of times.

use std::time::Duration;

use jiff::Timestamp;

/// The present, by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, cut to microseconds, as it is stored. May jump.
    pub wall: Timestamp,
    /// Time since some fixed point. Never jumps.
    pub mono: Duration,
}

impl Now {
    /// From two readings.
    pub fn new(wall: Timestamp, mono: Duration) -> Self {
        Self { wall: stored(wall), mono }
    }
}

/// A time as it is stored: cut to microseconds. Decisions must not be finer.
pub fn stored(t: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(t.as_microsecond()).unwrap_or(t)
}

/// Time from `a` to `b`, or none if `b` is earlier.
pub fn between(a: Timestamp, b: Timestamp) -> Duration {
    Duration::try_from(b.duration_since(a)).unwrap_or_default()
}

/// `t + d`, or the end of time.
pub fn after(t: Timestamp, d: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(d).ok().and_then(|d| t.checked_add(d).ok()).unwrap_or(Timestamp::MAX)
}
