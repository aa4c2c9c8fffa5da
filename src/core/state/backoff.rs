//! Failing starts make a pool wait: 1 s, doubling to 5 min.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::Time;
use crate::api::pool::StartBackoff;
use crate::core::time;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// A pool's failing starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::core) struct Backoff {
    /// Failed starts in a row. Workers that were created at the same time count once.
    failures: i32,
    /// No start before this.
    until: Option<Timestamp>,
    /// Exit code and last lines of the newest failure, and what to set.
    message: String,
    /// True once this controller decided it: the stored one may be older.
    known: bool,
}

impl Backoff {
    /// True while starts fail.
    pub const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// No start before this.
    pub const fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// The newest failure: exit code, last lines, and what to set.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Takes over what an earlier controller stored.
    pub fn adopt(&mut self, stored: Option<&StartBackoff>) {
        if let Some(s) = stored.filter(|_| !self.known) {
            *self = Self { failures: s.failures, until: Some(s.until.0), message: s.message.clone(), known: true };
        }
    }

    /// Counts a failed start. Another one within the wait that follows belongs to the same try.
    pub fn fail(&mut self, message: &str, now: Timestamp) {
        self.known = true;
        message.clone_into(&mut self.message);
        if self.until.is_some_and(|u| self.failures > 0 && now < u) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let doublings = u32::try_from(self.failures.clamp(1, 16) - 1).unwrap_or(0);
        self.until = Some(time::after(now, (FIRST * 2u32.pow(doublings)).min(LONGEST)));
    }

    /// Nothing failed so far, whatever the pool's status says.
    pub fn forget(&mut self) {
        *self = Self { known: true, ..Self::default() };
    }

    /// As stored in the pool's status.
    pub fn stored(&self) -> Option<StartBackoff> {
        let until = self.until.filter(|_| self.failures > 0)?;
        Some(StartBackoff { failures: self.failures, until: Time::from(until), message: self.message.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_one_second_to_five_minutes() {
        let (mut b, mut now) = (Backoff::default(), Timestamp::UNIX_EPOCH);
        let mut waits = Vec::new();
        for _ in 0..11 {
            b.fail("x", now);
            let until = b.until.unwrap();
            waits.push(until.as_second() - now.as_second());
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn workers_made_together_count_once() {
        let (mut b, now) = (Backoff::default(), Timestamp::UNIX_EPOCH);
        for _ in 0..8 {
            b.fail("x", now);
        }
        assert_eq!(b.failures, 1);
    }
}
