//! Failing starts make a pool wait: 1 s, doubling to 5 min.

use std::time::Duration;

use jiff::Timestamp;

use super::actions::Attempted;
use super::{Core, EventType, Now, ObjectKey, time};
use crate::api::pool::StartBackoff;
use crate::api::{Time, Worker, names};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// A pool's failing starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    /// Failed starts in a row; workers that were made at the same time count once.
    pub failures: i32,
    /// No start before this.
    pub until: Option<Timestamp>,
    /// Exit code and last lines of the newest failure, and what to set.
    pub message: String,
    /// True once it was decided here: what is stored may be older.
    known: bool,
}

impl Backoff {
    /// Takes over what an earlier controller stored.
    pub fn adopt(&mut self, stored: Option<&StartBackoff>) {
        if let Some(s) = stored.filter(|_| !self.known) {
            *self = Self { failures: s.failures, until: Some(s.until.0), message: s.message.clone(), known: true };
        }
    }

    /// Counts a failed start; another one within the wait that followed belongs to the same try.
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

    /// Nothing failed so far, whatever is stored.
    pub fn forget(&mut self) {
        *self = Self { known: true, ..Self::default() };
    }

    /// As stored in the pool's status.
    pub fn stored(&self) -> Option<StartBackoff> {
        let until = self.until.filter(|_| self.failures > 0)?;
        Some(StartBackoff { failures: self.failures, until: Time::from(until), message: self.message.clone() })
    }
}

impl Core {
    pub(super) fn count_start_failure(&mut self, pool: &ObjectKey, w: &Worker, why: &str, now: Now) {
        // Of a template that is no longer wanted nothing follows.
        let wanted = self.pools.get_mut(pool).filter(|p| p.update.templates.made(w));
        if let Some(p) = wanted {
            p.backoff.fail(why, now.wall);
            if let Some(obj) = p.obj.clone() {
                self.record(
                    "ContainerPool",
                    &*obj,
                    EventType::Warning,
                    Attempted::Start.reason(),
                    format!("{}: {why}", ObjectKey::of(w).name),
                    now,
                );
            }
            self.replacement_failed(pool, names::ordinal(&pool.name, &ObjectKey::of(w).name));
        }
        self.agenda.mark_pool(pool);
    }

    /// A worker lives for some time after it became Ready. What that says is said of its own template.
    pub(super) fn started_well(&mut self, worker: &ObjectKey, pool: &ObjectKey) {
        let Some(obj) = self.workers.get(worker).map(|e| e.obj.clone()) else { return };
        let its = self.pools.get_mut(pool).filter(|p| p.update.templates.made(&obj));
        if let Some(p) = its.filter(|p| p.backoff.failures > 0) {
            p.backoff.forget();
            self.agenda.mark_pool(pool);
        }
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
