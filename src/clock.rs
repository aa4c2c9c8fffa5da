//! Time and chance: the one place that asks the machine for them.
//!
//! Everything else takes a [`Clock`] and [`Ids`], so a test may run on virtual time and one seed
//! gives one run. `clippy.toml` forbids the underlying calls elsewhere.
#![allow(clippy::disallowed_methods)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The wall clock. It may jump, in both directions.
    fn now(&self) -> Timestamp;
    /// Time since some fixed point in this process. It never runs backwards and never jumps.
    fn mono(&self) -> Duration;
    /// The zone of the clock times that people here read and write.
    fn zone(&self) -> TimeZone {
        TimeZone::UTC
    }
}

/// The machine's clocks. Monotonic time is tokio's, so it is virtual where tokio's is.
#[derive(Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn mono(&self) -> Duration {
        self.start.elapsed()
    }
    fn zone(&self) -> TimeZone {
        TimeZone::system()
    }
}

/// A source of uids and of jitter.
#[derive(Debug, Clone)]
pub struct Ids(Arc<Mutex<StdRng>>);

impl Ids {
    /// Seeded by the operating system.
    pub fn random() -> Self {
        Self(Arc::new(Mutex::new(rand::make_rng())))
    }

    /// The same seed gives the same sequence.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A version 4 UUID (RFC 9562), lower case with hyphens, as Kubernetes uids are.
    pub fn uid(&self) -> String {
        let mut b: [u8; 16] = self.with(rand::RngExt::random);
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let hex = hex::encode(b);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// A number in `[0, 1)`.
    pub fn unit(&self) -> f64 {
        self.with(rand::RngExt::random)
    }

    fn with<T>(&self, f: impl FnOnce(&mut StdRng) -> T) -> T {
        // A panic while the lock is held cannot leave a generator half changed: go on with it.
        f(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
