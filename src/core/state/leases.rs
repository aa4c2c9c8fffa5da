//! Leases that dispatches name, judged by own monotonic time since the last change that was seen, never by the holder's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::renewals::{Look, Renewals};
use crate::core::input::LeaseFact;
use crate::core::object::ObjectKey;
use crate::core::time::Now;

/// Duration of a Lease that names none, or does not exist. It is client-go's default for leader election.
const DEFAULT_DURATION: Duration = Duration::from_secs(15);

#[derive(Default)]
struct LeaseEntry {
    /// Dispatches with an open attempt that name it.
    users: BTreeSet<ObjectKey>,
    /// Dispatches that wait for a renewal before their next attempt.
    renewals: Renewals,
    seen: Option<LeaseFact>,
    /// Monotonic time at which `seen` was first seen so.
    changed: Duration,
    /// When the newest GET began.
    asked: Option<Duration>,
    /// When the newest GET began that showed no change.
    unchanged: Option<Duration>,
    /// A GET is under way.
    waiting: bool,
}

impl LeaseEntry {
    fn duration(&self) -> Duration {
        self.seen.as_ref().and_then(|f| f.duration).unwrap_or(DEFAULT_DURATION)
    }

    /// A GET after its duration showed that it was not renewed. It is not enough that time has passed: this process may have
    /// been stopped, or the API server did not answer.
    fn ran_out(&self) -> bool {
        self.unchanged.is_some_and(|asked| asked >= self.changed + self.duration())
    }
}

/// What a Lease needs next.
pub(in crate::core) enum NextLook {
    /// A GET, now.
    Now,
    /// A GET at this monotonic time.
    At(Duration),
    /// The end of a GET.
    UnderWay,
}

/// See the module's page.
#[derive(Default)]
pub(in crate::core) struct Leases(BTreeMap<ObjectKey, LeaseEntry>);

impl Leases {
    /// A dispatch with an open attempt names a Lease. Returns true if that is new.
    pub fn follow(&mut self, lease: &ObjectKey, dispatch: ObjectKey) -> bool {
        let e = self.0.entry(lease.clone()).or_default();
        e.renewals.forget(&dispatch);
        e.users.insert(dispatch)
    }

    /// A dispatch names a Lease, and this attempt of it was Lost: the next one waits for a renewal. Returns true if that is
    /// new.
    pub fn await_renewal(&mut self, lease: &ObjectKey, dispatch: &ObjectKey, attempt: i32, now: Now) -> bool {
        let e = self.0.entry(lease.clone()).or_default();
        e.users.remove(dispatch);
        e.renewals.wait(dispatch, attempt, now)
    }

    /// A dispatch no longer needs a Lease.
    pub fn unfollow(&mut self, lease: &ObjectKey, dispatch: &ObjectKey) {
        if let Some(e) = self.0.get_mut(lease) {
            e.users.remove(dispatch);
            e.renewals.forget(dispatch);
            if e.users.is_empty() && e.renewals.is_empty() {
                self.0.remove(lease);
            }
        }
    }

    /// The end of a GET. Returns the dispatches that it changes something for, of those that wait for a renewal. `None`: no
    /// dispatch needs the Lease any more.
    pub fn saw(&mut self, lease: &ObjectKey, fact: LeaseFact, now: Now) -> Option<Vec<ObjectKey>> {
        let e = self.0.get_mut(lease)?;
        e.waiting = false;
        let changed = e.seen.as_ref().is_none_or(|s| s.stamp != fact.stamp);
        if changed {
            (e.changed, e.unchanged) = (now.mono, None);
        } else {
            e.unchanged = e.asked;
        }
        e.seen = Some(fact);
        let asked = e.asked.unwrap_or_default();
        let look = Look { asked, changed, ran_out: e.ran_out(), duration: e.duration() };
        Some(e.renewals.looked(&look, now))
    }

    /// True if the Lease was renewed since a dispatch waits for that, and has not run out since.
    pub fn is_renewed(&self, lease: &ObjectKey, dispatch: &ObjectKey) -> bool {
        self.0.get(lease).is_some_and(|e| e.renewals.is_renewed(dispatch))
    }

    /// True if a dispatch waited for a renewal so long that its holder will not come back.
    pub fn is_given_up(&self, lease: &ObjectKey, dispatch: &ObjectKey) -> bool {
        self.0.get(lease).is_some_and(|e| e.renewals.is_given_up(dispatch, e.unchanged, e.duration()))
    }

    /// What a Lease needs next: a GET three times in its duration, and one at its end. `None`: no dispatch needs it.
    pub fn next_look(&mut self, lease: &ObjectKey, now: Now) -> Option<NextLook> {
        let e = self.0.get_mut(lease)?;
        if e.waiting {
            return Some(NextLook::UnderWay);
        }
        let end = e.changed + e.duration();
        let regular = |asked: Duration| asked + e.duration() / 3;
        // One is just when it runs out.
        let due = e.asked.map_or(now.mono, |t| if t < end { regular(t).min(end) } else { regular(t) });
        if due > now.mono {
            return Some(NextLook::At(due));
        }
        (e.waiting, e.asked) = (true, Some(now.mono));
        Some(NextLook::Now)
    }

    /// True if the Lease was not renewed for its duration, as a GET showed.
    pub fn ran_out(&self, lease: &ObjectKey) -> bool {
        self.0.get(lease).is_some_and(LeaseEntry::ran_out)
    }

    /// Dispatches with an open attempt that name a Lease.
    pub fn users(&self, lease: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.0.get(lease).into_iter().flat_map(|e| &e.users)
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.0.values().map(|e| 1 + e.users.len() + e.renewals.entries()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the simulation: a controller that had been stopped ended attempts whose holder had renewed in time.
    #[test]
    fn only_a_look_shows_that_a_lease_ran_out() {
        let seconds = Duration::from_secs;
        let seen = LeaseFact { stamp: Some("1".to_owned()), duration: Some(seconds(20)) };
        let mut lease =
            LeaseEntry { seen: Some(seen), changed: seconds(5), asked: Some(seconds(12)), ..LeaseEntry::default() };
        assert!(!lease.ran_out(), "no GET showed it");
        lease.unchanged = Some(seconds(12));
        assert!(!lease.ran_out(), "there was time left at the last look, however long ago that was");
        lease.unchanged = Some(seconds(25));
        assert!(lease.ran_out());
    }
}
