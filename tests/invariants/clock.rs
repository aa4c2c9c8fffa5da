//! Clocks on virtual time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use poolkeeper::clock::Clock;
use poolkeeper::local::LocalApi;
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z: where every run begins.
pub const EPOCH: i64 = 1_767_225_600;

/// A wall clock that follows virtual time until it is told to jump.
pub struct SimClock {
    start: Instant,
    offset_ms: AtomicI64,
}

impl SimClock {
    pub fn new() -> Self {
        Self { start: Instant::now(), offset_ms: AtomicI64::new(0) }
    }

    /// Sets how far the clock is from true time.
    pub fn set_offset(&self, offset: SignedDuration) {
        self.offset_ms.store(i64::try_from(offset.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let true_time = Timestamp::from_second(EPOCH).unwrap() + self.start.elapsed();
        true_time + SignedDuration::from_millis(self.offset_ms.load(Ordering::Relaxed))
    }

    fn mono(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The clock of the runtime's record. Its wall clock is the number of the last write to the store, in microseconds: so
/// the auditor knows what was stored when something happened to an instance.
pub struct RecordClock {
    pub api: LocalApi,
    pub start: Instant,
}

impl Clock for RecordClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(i64::try_from(self.api.revision()).unwrap()).unwrap()
    }

    fn mono(&self) -> Duration {
        self.start.elapsed()
    }
}
