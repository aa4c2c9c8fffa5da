//! Clocks on virtual time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use poolkeeper::clock::Clock;
use poolkeeper::local::LocalApi;
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z: where every run begins.
pub const EPOCH: i64 = 1_767_225_600;

/// A wall clock that follows virtual time until it jumps.
pub struct SimClock {
    start: Instant,
    offset_ms: AtomicI64,
    /// The last reading of virtual time in microseconds, and how often it was asked for.
    readings: Mutex<(u128, u32)>,
}

/// A caller that reads the time so often while none passes is in an endless loop.
const TOO_OFTEN: u32 = 50_000;

impl SimClock {
    pub fn new() -> Self {
        Self { start: Instant::now(), offset_ms: AtomicI64::new(0), readings: Mutex::default() }
    }

    fn elapsed(&self) -> Duration {
        let now = self.start.elapsed();
        let count = {
            let mut readings = self.readings.lock().unwrap();
            let same = readings.0 == now.as_micros();
            *readings = (now.as_micros(), if same { readings.1 + 1 } else { 0 });
            readings.1
        };
        assert!(count < TOO_OFTEN, "it goes round in circles at {now:?}");
        now
    }

    /// Sets how far the clock is from true time.
    pub fn set_offset(&self, offset: SignedDuration) {
        self.offset_ms.store(i64::try_from(offset.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let true_time = Timestamp::from_second(EPOCH).unwrap() + self.elapsed();
        true_time + SignedDuration::from_millis(self.offset_ms.load(Ordering::Relaxed))
    }

    fn mono(&self) -> Duration {
        self.elapsed()
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
