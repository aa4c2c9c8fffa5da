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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Now {
        // Wall clocks prove nothing here: this one stands still.
        Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
    }

    fn mono(seconds: u64) -> Duration {
        at(seconds).mono
    }

    fn held_by(holder: &str, renewed: i64) -> Record {
        Record {
            holder: holder.to_owned(),
            seconds: Some(15),
            acquired: Some(Timestamp::UNIX_EPOCH),
            renewed: Some(Timestamp::from_second(renewed).unwrap()),
            transitions: 3,
        }
    }

    #[test]
    fn a_lease_that_is_not_there_is_created_and_renewed() {
        let mut c = Candidate::new("a", Timing::default());
        assert_eq!(c.step(at(5)), Step::Read);
        c.saw(None, mono(5));
        let Step::Create(record) = c.step(at(5)) else { panic!() };
        assert_eq!((record.holder.as_str(), record.seconds, record.transitions), ("a", Some(15), 0));
        assert!(!c.leads(mono(5)));
        c.wrote(record.clone(), mono(5), mono(6));
        assert!(c.leads(mono(14)) && !c.leads(mono(15)), "10 s from when the write was asked for");
        assert_eq!(c.step(at(6)), Step::Wait(mono(7)));
        let Step::Replace(renewal) = c.step(at(7)) else { panic!() };
        assert_eq!((renewal.acquired, renewal.transitions), (record.acquired, 0));
        c.failed(mono(8));
        assert_eq!(c.step(at(10)), Step::Read, "what became of it is not known");
        assert_eq!(c.step(at(15)), Step::Read);
        assert!(c.deadline().is_none(), "the deadline has passed");
    }

    #[test]
    fn a_lease_is_taken_when_a_look_shows_that_it_ran_out() {
        let mut c = Candidate::new("b", Timing::default());
        c.saw(Some(held_by("a", 1)), mono(100));
        assert_eq!(c.step(at(101)), Step::Wait(mono(102)));
        c.saw(Some(held_by("a", 2)), mono(110));
        assert_eq!(c.step(at(124)), Step::Read);
        c.saw(Some(held_by("a", 2)), mono(124));
        assert_eq!(c.step(at(124)), Step::Wait(mono(125)), "it runs out 15 s after the change, and is looked at then");
        assert_eq!(c.step(at(500)), Step::Read, "only a look shows that it was not renewed");
        c.saw(Some(held_by("a", 2)), mono(500));
        let Step::Replace(record) = c.step(at(500)) else { panic!() };
        assert_eq!((record.holder.as_str(), record.transitions), ("b", 4));
        c.conflicted(mono(501));
        assert!(!c.leads(mono(501)));
        assert_eq!(c.step(at(501)), Step::Wait(mono(503)));
    }

    #[test]
    fn a_release_is_taken_up_at_once_and_another_holder_ends_the_term() {
        let mut c = Candidate::new("a", Timing::default());
        c.saw(Some(Record { holder: String::new(), seconds: Some(1), ..held_by("", 1) }), mono(1));
        let Step::Replace(record) = c.step(at(1)) else { panic!() };
        c.wrote(record, mono(1), mono(1));
        let released = c.release(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((released.holder.as_str(), released.seconds, released.transitions), ("", Some(1), 4));
        c.conflicted(mono(3));
        assert_eq!(c.step(at(3)), Step::Read, "no time is lost");
        assert_eq!(c.release(Timestamp::UNIX_EPOCH), None, "it has to be read first");
        c.saw(Some(held_by("b", 9)), mono(3));
        assert!(!c.leads(mono(3)));
        assert_eq!(c.holder(), Some("b"));
    }

    #[test]
    fn times_that_do_not_fit_are_refused() {
        let timing = |lease, deadline, retry| Timing {
            lease: Duration::from_millis(lease),
            renew_deadline: Duration::from_millis(deadline),
            retry: Duration::from_millis(retry),
        };
        assert_eq!(timing(15_000, 10_000, 2000).check(), Ok(()));
        assert_eq!(timing(2000, 1000, 500).check(), Ok(()));
        for (timing, word) in [
            (timing(10_000, 10_000, 2000), "longer than --renew-deadline"),
            (timing(1500, 1000, 100), "whole seconds"),
            (timing(15_000, 3000, 2000), "twice --retry-period"),
            (timing(15_000, 3000, 0), "twice --retry-period"),
        ] {
            assert!(timing.check().unwrap_err().contains(word));
        }
    }

    /// What happens to one request. Times are ticks of 100 ms.
    #[derive(Clone, Copy, Debug)]
    struct Fate {
        /// Until it takes effect, or never.
        effect: Option<u64>,
        /// Until its sender has the answer, or gave up.
        answer: u64,
        /// How many versions old the answer to a read is.
        stale: usize,
        /// How long its sender then does nothing.
        pause: u64,
    }

    fn fates() -> impl Strategy<Value = Vec<Fate>> {
        let one =
            (prop::option::weighted(0.9, 0u64..60), 0u64..60, 0usize..3, prop_oneof![4 => Just(0u64), 1 => 0u64..250])
                .prop_map(|(effect, answer, stale, pause)| Fate { effect, answer, stale, pause });
        // Mostly fast, so a candidate comes to lead.
        let fast = (0u64..3, 0u64..3).prop_map(|(effect, more)| Fate {
            effect: Some(effect),
            answer: effect + more,
            stale: 0,
            pause: 0,
        });
        prop::collection::vec(prop_oneof![1 => one, 3 => fast], 400)
    }

    struct Sent {
        step: Step,
        base: usize,
        asked: u64,
        fate: Fate,
        /// Its result: the version that was read or written, or that the Lease had another one.
        result: Option<Result<usize, ()>>,
    }

    /// A Lease: every version it had, None where it was not there.
    struct Store(Vec<Option<Record>>);

    impl Store {
        fn newest(&self) -> usize {
            self.0.len() - 1
        }

        fn carry_out(&mut self, sent: &mut Sent) {
            sent.result = Some(match &sent.step {
                Step::Create(r) | Step::Replace(r) if sent.base == self.newest() => {
                    self.0.push(Some(r.clone()));
                    Ok(self.newest())
                }
                Step::Create(_) | Step::Replace(_) => Err(()),
                _ => Ok(self.newest().saturating_sub(sent.fate.stale)),
            });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever is lost, late, stale or paused: two candidates never lead at the same time, and mostly one does.
        #[test]
        fn never_do_two_lead(fates in fates(), offsets in prop::collection::vec(0u64..100_000, 3)) {
            let time = |tick: u64, who: usize| Duration::from_millis(100 * tick + offsets[who]);
            let mut store = Store(vec![None]);
            let mut all: Vec<(Candidate, usize, u64)> =
                (0..3).map(|i| (Candidate::new(format!("c{i}"), Timing::default()), 0, 0)).collect();
            let mut sent: Vec<(usize, Sent, bool)> = Vec::new();
            let (mut fates, mut led) = (fates.into_iter(), BTreeSet::new());
            'run: for tick in 0..6000 {
                for (_, s, _) in &mut sent {
                    if s.fate.effect.is_some_and(|e| s.asked + e <= tick) && s.result.is_none() {
                        store.carry_out(s);
                    }
                }
                for (who, (c, base, busy_until)) in all.iter_mut().enumerate() {
                    if *busy_until > tick {
                        continue;
                    }
                    let now = Now::new(Timestamp::from_second(i64::try_from(tick / 10).unwrap()).unwrap(), time(tick, who));
                    if let Some((_, s, over)) = sent.iter_mut().find(|(w, _, over)| *w == who && !over) {
                        if s.asked + s.fate.answer > tick {
                            continue;
                        }
                        *over = true;
                        *busy_until = tick + s.fate.pause;
                        match (&s.step, s.result) {
                            (_, None) => c.failed(now.mono),
                            (_, Some(Err(()))) => c.conflicted(now.mono),
                            (Step::Create(r) | Step::Replace(r), Some(Ok(version))) => {
                                *base = version;
                                c.wrote(r.clone(), time(s.asked, who), now.mono);
                            }
                            (_, Some(Ok(version))) => {
                                *base = version;
                                c.saw(store.0[version].clone(), now.mono);
                            }
                        }
                        continue;
                    }
                    let step = c.step(now);
                    if !matches!(step, Step::Wait(_)) {
                        let Some(fate) = fates.next() else { break 'run };
                        sent.push((who, Sent { step, base: *base, asked: tick, fate, result: None }, false));
                    }
                }
                let leaders: Vec<usize> = (0..all.len()).filter(|i| all[*i].0.leads(time(tick, *i))).collect();
                prop_assert!(leaders.len() <= 1, "tick {tick}: {leaders:?}");
                led.extend(leaders);
            }
            prop_assert!(!led.is_empty(), "no candidate ever led");
        }
    }
}
