//! Holders that vanish: a Dispatch may name a Lease, and its attempt ends when the Lease is not renewed.
//!
//! Judged by own monotonic time since the last change that was seen, never by the holder's clock.

use std::collections::BTreeSet;
use std::time::Duration;

use super::agenda::Wake;
use super::{Action, Core, LeaseFact, Now, ObjectKey, Subject};
use crate::api::Dispatch;

/// Taken for a Lease that names no duration, or does not exist. client-go's default for leader election.
pub const DEFAULT_DURATION: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(super) struct LeaseEntry {
    /// Dispatches with an open attempt that name it.
    users: BTreeSet<ObjectKey>,
    seen: Option<LeaseFact>,
    /// Monotonic time at which `seen` was first seen so.
    changed: Duration,
    asked: Option<Duration>,
    /// When the newest look at it that showed no change was asked for.
    unchanged: Option<Duration>,
    waiting: bool,
}

impl LeaseEntry {
    fn duration(&self) -> Duration {
        self.seen.as_ref().and_then(|f| f.duration).unwrap_or(DEFAULT_DURATION)
    }

    /// A look after its duration showed that it was not renewed. That time has passed is not enough: nobody may have
    /// looked, because this process was stopped or the API server did not answer.
    fn ran_out(&self) -> bool {
        self.unchanged.is_some_and(|asked| asked >= self.changed + self.duration())
    }
}

impl Core {
    /// Begins or ends to follow the Lease of a dispatch.
    pub(super) fn lease_of(&mut self, d: &Dispatch) {
        let Some(name) = &d.spec.lease_name else { return };
        let (key, dispatch) = (ObjectKey::of(d).sibling(name.clone()), ObjectKey::of(d));
        let open = d.status.as_ref().is_some_and(|s| s.is_open() && !s.phase.is_final());
        if open {
            if self.leases.entry(key.clone()).or_default().users.insert(dispatch) {
                self.agenda.mark(Subject::Lease(key));
            }
        } else {
            self.unlease(d);
        }
    }

    pub(super) fn unlease(&mut self, d: &Dispatch) {
        let Some(name) = &d.spec.lease_name else { return };
        let key = ObjectKey::of(d).sibling(name.clone());
        if let Some(e) = self.leases.get_mut(&key) {
            e.users.remove(&ObjectKey::of(d));
            if e.users.is_empty() {
                self.leases.remove(&key);
            }
        }
    }

    pub(super) fn saw_lease(&mut self, key: &ObjectKey, fact: LeaseFact, now: Now) {
        let Some(e) = self.leases.get_mut(key) else { return };
        e.waiting = false;
        if e.seen.as_ref().is_none_or(|s| s.stamp != fact.stamp) {
            (e.changed, e.unchanged) = (now.mono, None);
        } else {
            e.unchanged = e.asked;
        }
        e.seen = Some(fact);
        self.agenda.mark(Subject::Lease(key.clone()));
    }

    /// One look for all dispatches that name it: three times in its duration, and at its end.
    pub(super) fn decide_lease(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(e) = self.leases.get_mut(key) else { return };
        let users = if e.ran_out() { e.users.clone() } else { BTreeSet::new() };
        if !e.waiting {
            let end = e.changed + e.duration();
            let regular = |asked: Duration| asked + e.duration() / 3;
            // One look is just when it runs out.
            let due = e.asked.map_or(now.mono, |t| if t < end { regular(t).min(end) } else { regular(t) });
            if due <= now.mono {
                (e.waiting, e.asked) = (true, Some(now.mono));
                self.actions.push(Action::GetLease(key.clone()));
            } else {
                wake.after(due);
            }
        }
        for d in users {
            self.agenda.mark_dispatch(&d);
        }
    }

    /// True if the Lease was not renewed for its duration, as a look at it showed.
    pub(super) fn lease_ran_out(&self, key: &ObjectKey) -> bool {
        self.leases.get(key).is_some_and(LeaseEntry::ran_out)
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
        assert!(!lease.ran_out(), "nobody looked");
        lease.unchanged = Some(seconds(12));
        assert!(!lease.ran_out(), "there was time left at the last look, however long ago that was");
        lease.unchanged = Some(seconds(25));
        assert!(lease.ran_out());
    }
}
