//! Dispatches whose last attempt was Lost, and that wait for their holder: for a renewal of the Lease that they name.
//!
//! A renewal counts if it is seen to follow the close: a look at the Lease that began after the close was seen, and a later
//! one that shows something else. So a dispatch takes three steps, each at the end of a look, and no look walks those that
//! take none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::core::object::ObjectKey;
use crate::core::time::Now;

/// Shortest time after which a holder that does not renew its Lease is given up.
const GIVE_UP: Duration = Duration::from_secs(600);
/// The same in durations of the Lease.
const DURATIONS: u32 = 10;

/// One dispatch.
struct Waiter {
    /// The attempt that was Lost.
    attempt: i32,
    /// Monotonic time since which it waits for a renewal.
    since: Duration,
    renewed: bool,
}

/// What the end of a GET of the Lease showed.
pub(super) struct Look {
    /// Monotonic time at which the GET began.
    pub asked: Duration,
    /// It shows something else than the one before it.
    pub changed: bool,
    /// The Lease was not renewed for its duration.
    pub ran_out: bool,
    /// Duration of the Lease.
    pub duration: Duration,
}

impl Look {
    /// When a dispatch is given up that waits since then.
    fn end(since: Duration, duration: Duration) -> Duration {
        since + GIVE_UP.max(duration * DURATIONS)
    }
}

/// The dispatches that wait, of one Lease. See the module's page.
#[derive(Default)]
pub(super) struct Renewals {
    all: BTreeMap<ObjectKey, Waiter>,
    /// No look began since: what the Lease was at the close is not known.
    fresh: BTreeSet<(Duration, ObjectKey)>,
    /// The newest look shows what the first one showed.
    unchanged: BTreeSet<(Duration, ObjectKey)>,
    /// It was renewed, and has not run out since.
    renewed: BTreeSet<ObjectKey>,
}

impl Renewals {
    /// A dispatch waits since this attempt of it was Lost. Returns true if that is new.
    pub fn wait(&mut self, dispatch: &ObjectKey, attempt: i32, now: Now) -> bool {
        if self.all.get(dispatch).is_some_and(|w| w.attempt == attempt) {
            return false;
        }
        self.forget(dispatch);
        self.all.insert(dispatch.clone(), Waiter { attempt, since: now.mono, renewed: false });
        self.fresh.insert((now.mono, dispatch.clone()));
        true
    }

    /// A dispatch no longer waits.
    pub fn forget(&mut self, dispatch: &ObjectKey) {
        if let Some(w) = self.all.remove(dispatch) {
            let place = (w.since, dispatch.clone());
            self.fresh.remove(&place);
            self.unchanged.remove(&place);
            self.renewed.remove(&place.1);
        }
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.all.len() + self.fresh.len() + self.unchanged.len() + self.renewed.len()
    }

    /// True if none waits.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// True if the Lease was renewed since the dispatch waits, and has not run out since.
    pub fn is_renewed(&self, dispatch: &ObjectKey) -> bool {
        self.all.get(dispatch).is_some_and(|w| w.renewed)
    }

    /// True if the Lease was not renewed for so long that its holder will not come back. `unchanged`: when the newest GET
    /// began that showed no change.
    pub fn is_given_up(&self, dispatch: &ObjectKey, unchanged: Option<Duration>, duration: Duration) -> bool {
        let waits = self.all.get(dispatch).filter(|w| !w.renewed);
        waits.zip(unchanged).is_some_and(|(w, asked)| asked >= Look::end(w.since, duration))
    }

    /// The end of a GET. Returns the dispatches that it changes something for.
    pub fn looked(&mut self, look: &Look, now: Now) -> Vec<ObjectKey> {
        let mut concerned = Vec::new();
        if look.changed {
            for (_, dispatch) in std::mem::take(&mut self.unchanged) {
                if let Some(w) = self.all.get_mut(&dispatch) {
                    w.renewed = true;
                }
                self.renewed.insert(dispatch.clone());
                concerned.push(dispatch);
            }
        }
        if look.ran_out {
            for dispatch in std::mem::take(&mut self.renewed) {
                if let Some(w) = self.all.get_mut(&dispatch) {
                    (w.renewed, w.since) = (false, now.mono);
                }
                self.unchanged.insert((now.mono, dispatch.clone()));
                concerned.push(dispatch);
            }
        }
        while let Some(first) = self.fresh.pop_first() {
            if first.0 > look.asked {
                self.fresh.insert(first);
                break;
            }
            self.unchanged.insert(first);
        }
        if !look.changed {
            let over = self.unchanged.iter().take_while(|(since, _)| look.asked >= Look::end(*since, look.duration));
            concerned.extend(over.map(|(_, dispatch)| dispatch.clone()));
        }
        concerned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Now {
        Now::new(jiff::Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
    }

    fn look(asked: u64, changed: bool, ran_out: bool) -> Look {
        Look { asked: Duration::from_secs(asked), changed, ran_out, duration: DURATION }
    }

    #[test]
    fn only_a_change_after_a_look_after_the_close_is_a_renewal() {
        let (mut renewals, d) = (Renewals::default(), ObjectKey::new("ns", "d"));
        assert!(renewals.wait(&d, 1, at(100)));
        assert!(!renewals.wait(&d, 1, at(101)), "the same close");
        renewals.looked(&look(99, true, false), at(102));
        renewals.looked(&look(103, true, false), at(104));
        assert!(!renewals.is_renewed(&d), "its holder may have renewed before the close");
        assert_eq!(renewals.looked(&look(110, true, false), at(111)), std::slice::from_ref(&d));
        assert!(renewals.is_renewed(&d));
        // It dies while the dispatch waits for a worker.
        assert_eq!(renewals.looked(&look(131, false, true), at(132)), std::slice::from_ref(&d));
        assert!(!renewals.is_renewed(&d));
        assert_eq!(renewals.looked(&look(140, true, false), at(141)), std::slice::from_ref(&d));
        assert!(renewals.is_renewed(&d));
        assert!(renewals.wait(&d, 2, at(150)), "another close");
        assert!(!renewals.is_renewed(&d));
        renewals.forget(&d);
        assert!(renewals.is_empty());
        assert_eq!(renewals.looked(&look(160, true, false), at(161)), []);
    }

    #[test]
    fn a_holder_that_does_not_come_back_is_given_up_after_a_look_that_shows_so() {
        let (mut renewals, d) = (Renewals::default(), ObjectKey::new("ns", "d"));
        renewals.wait(&d, 1, at(100));
        renewals.looked(&look(100, false, true), at(101));
        let unchanged = |seconds| Some(Duration::from_secs(seconds));
        assert!(!renewals.is_given_up(&d, unchanged(699), DURATION), "however long ago that look was");
        assert_eq!(renewals.looked(&look(699, false, true), at(900)), []);
        assert_eq!(renewals.looked(&look(700, false, true), at(901)), std::slice::from_ref(&d));
        assert!(renewals.is_given_up(&d, unchanged(700), DURATION));
        assert!(!renewals.is_given_up(&d, unchanged(700), DURATION * 10), "ten durations are longer");
    }
}
