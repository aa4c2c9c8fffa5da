//! Which controller leads: one of several candidates holds a Lease. Values in, decisions out.
//!
//! The rules are those of client-go, so other tools can read the Lease. Every write is a compare-and-swap on the version that
//! was read. A holder counts its time from before it sent its last successful write, and gives up after
//! [`Timing::renew_deadline`]. Other candidates count from when they first saw the newest record, and wait for
//! [`Timing::lease`]. They take over only if a GET after that shows no change. The lease is longer than the deadline, so no
//! candidate leads before the last one has stopped, whatever the wall clocks show.

use std::time::Duration;

use jiff::Timestamp;

use super::Now;

/// What a Lease says, as far as an election needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `holderIdentity`. Empty: no candidate holds it.
    pub holder: String,
    /// `leaseDurationSeconds`: how long others wait.
    pub seconds: Option<i32>,
    /// `acquireTime`: since when this holder holds it. For people.
    pub acquired: Option<Timestamp>,
    /// `renewTime`: only that it changes matters.
    pub renewed: Option<Timestamp>,
    /// `leaseTransitions`: how often the holder changed.
    pub transitions: i32,
}

/// The times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long other candidates wait after the last change that they saw. Whole seconds.
    pub lease: Duration,
    /// How long a holder leads without a successful renewal.
    pub renew_deadline: Duration,
    /// Time between two attempts to renew or to acquire.
    pub retry: Duration,
}

impl Default for Timing {
    /// client-go's: 15 s, 10 s, 2 s.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { lease: seconds(15), renew_deadline: seconds(10), retry: seconds(2) }
    }
}

impl Timing {
    /// Whether an election with these times is safe and lets a renewal fail once.
    ///
    /// # Errors
    /// What is wrong, in the words of the command line.
    pub fn check(&self) -> Result<(), String> {
        if self.lease.subsec_nanos() != 0 || self.lease.is_zero() || i32::try_from(self.lease.as_secs()).is_err() {
            return Err("--lease-duration must be whole seconds, at least 1s".to_owned());
        }
        if self.lease <= self.renew_deadline {
            return Err("--lease-duration must be longer than --renew-deadline".to_owned());
        }
        if self.retry.is_zero() || self.renew_deadline < self.retry * 2 {
            return Err("--renew-deadline must be at least twice --retry-period, which must be above 0".to_owned());
        }
        Ok(())
    }

    fn seconds(&self) -> i32 {
        i32::try_from(self.lease.as_secs()).unwrap_or(i32::MAX)
    }
}

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this monotonic time.
    Wait(Duration),
    /// Read the Lease; answer with [`Candidate::saw`].
    Read,
    /// Create the Lease; answer with [`Candidate::wrote`].
    Create(Record),
    /// Replace the version of the Lease that was read or written last; answer with [`Candidate::wrote`].
    Replace(Record),
}

/// One candidate.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    timing: Timing,
    /// The Lease as last read or written. None: there is none, or it was not read yet.
    seen: Option<Record>,
    /// Monotonic time at which `seen` was first seen so.
    changed: Duration,
    /// True if a write may be based on `seen`.
    current: bool,
    /// Monotonic time just before the newest successful write was sent. None: it does not hold the Lease.
    held: Option<Duration>,
    /// Nothing is done before this monotonic time.
    next: Duration,
}

impl Candidate {
    /// A candidate that has seen nothing yet. No other candidate may have the same identity.
    pub fn new(identity: impl Into<String>, timing: Timing) -> Self {
        Self {
            identity: identity.into(),
            timing,
            seen: None,
            changed: Duration::ZERO,
            current: false,
            held: None,
            next: Duration::ZERO,
        }
    }

    /// True while it may lead.
    pub fn leads(&self, now: Duration) -> bool {
        self.deadline().is_some_and(|deadline| now < deadline)
    }

    /// Monotonic time at which it must no longer lead, unless a renewal succeeds before.
    pub fn deadline(&self) -> Option<Duration> {
        self.held.map(|held| held + self.timing.renew_deadline)
    }

    /// The identity that holds the Lease, as far as was seen.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|r| r.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// True if what it saw last is the newest, as far as it knows: a write may be based on it.
    pub fn is_current(&self) -> bool {
        self.current
    }

    /// What to do now.
    pub fn step(&mut self, now: Now) -> Step {
        if !self.leads(now.mono) {
            self.give_up();
        }
        if now.mono < self.next {
            return Step::Wait(self.deadline().map_or(self.next, |deadline| deadline.min(self.next)));
        }
        if !self.current {
            return Step::Read;
        }
        let fresh = Record {
            holder: self.identity.clone(),
            seconds: Some(self.timing.seconds()),
            acquired: Some(now.wall),
            renewed: Some(now.wall),
            transitions: 0,
        };
        match &self.seen {
            None => Step::Create(fresh),
            Some(old) if old.holder == self.identity => Step::Replace(Record {
                acquired: old.acquired.or(fresh.acquired),
                transitions: old.transitions,
                ..fresh
            }),
            Some(old) if old.holder.is_empty() || self.ran_out(now.mono) => {
                Step::Replace(Record { transitions: old.transitions.saturating_add(1), ..fresh })
            }
            Some(_) => Step::Read,
        }
    }

    /// A read was answered with this.
    pub fn saw(&mut self, record: Option<Record>, now: Duration) {
        if self.seen != record {
            (self.seen, self.changed) = (record, now);
        }
        let (own, free) = match self.seen.as_ref().map(|r| r.holder.as_str()) {
            Some(holder) => (holder == self.identity, holder.is_empty()),
            None => (false, true),
        };
        if !own {
            self.give_up();
        }
        if own || free || self.ran_out(now) {
            (self.current, self.next) = (true, now);
        } else {
            // It is read again when it may have expired, or sooner: it may be released.
            self.current = false;
            self.next = (now + self.timing.retry).min((self.changed + self.lease_of_holder()).max(now));
        }
    }

    /// A write of this record, sent at monotonic time `asked`, succeeded.
    pub fn wrote(&mut self, record: Record, asked: Duration, now: Duration) {
        self.held = (record.holder == self.identity).then_some(asked);
        (self.seen, self.changed, self.current) = (Some(record), now, true);
        self.next = asked + self.timing.retry;
    }

    /// A write was refused because another client wrote: the Lease has another version, exists already, or is gone.
    pub fn conflicted(&mut self, now: Duration) {
        self.current = false;
        // A holder has no time to lose. If there are several candidates, another one has just won, and this one can wait.
        self.next = if self.held.is_some() { now } else { now + self.timing.retry };
    }

    /// A request failed, or its outcome is unknown.
    pub fn failed(&mut self, now: Duration) {
        self.current = false;
        self.next = now + self.timing.retry;
    }

    /// What to write to let another candidate take over at once. None: it does not hold the Lease, or must read it before.
    pub fn release(&self, wall: Timestamp) -> Option<Record> {
        let seen = self.seen.as_ref().filter(|r| self.current && r.holder == self.identity)?;
        Some(Record {
            holder: String::new(),
            seconds: Some(1),
            acquired: Some(wall),
            renewed: Some(wall),
            transitions: seen.transitions,
        })
    }

    /// It no longer leads, whatever the Lease says. It must read the Lease again.
    pub fn give_up(&mut self) {
        if self.held.take().is_some() {
            self.current = false;
        }
    }

    fn ran_out(&self, now: Duration) -> bool {
        now >= self.changed + self.lease_of_holder()
    }

    fn lease_of_holder(&self) -> Duration {
        let seconds = self.seen.as_ref().and_then(|r| r.seconds).and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
        seconds.map_or(self.timing.lease, Duration::from_secs)
    }
}

#[cfg(test)]
mod tests;
