//! The rests of a pool's credentials, as its workers show them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

/// The rests of one pool's credentials.
#[derive(Debug, Default)]
pub(in crate::core) struct ShownRests {
    /// The ends of the rests that last, by the identity of the credential.
    ends: BTreeMap<String, Timestamp>,
    /// Credentials whose idle workers show something else.
    changed: BTreeSet<String>,
    /// Monotonic time at which they were last taken.
    taken: Option<Duration>,
}

/// The credentials whose idle workers have to be written.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::core) enum Changed {
    /// None.
    Nothing,
    /// Some, at this monotonic time.
    Later(Duration),
    /// These, now.
    Credentials(BTreeSet<String>),
}

impl ShownRests {
    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.ends.len() + self.changed.len()
    }

    /// True if no credential rests.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The end of a credential's rest.
    pub fn of(&self, identity: &str) -> Option<Timestamp> {
        self.ends.get(identity).copied()
    }

    /// Notes the end of the rest that lasts now. A rest that is over by itself is no change: its end is in the past then.
    pub fn note(&mut self, identity: &str, end: Option<Timestamp>, now: Timestamp) {
        let old = self.ends.get(identity).copied();
        if old == end {
            return;
        }
        match end {
            Some(end) => self.ends.insert(identity.to_owned(), end),
            None => self.ends.remove(identity),
        };
        if end.is_some() || old.is_some_and(|old| old > now) {
            self.changed.insert(identity.to_owned());
        }
    }

    /// The credentials that changed, at most once in an interval.
    pub fn take_changed(&mut self, interval: Duration, now: Duration) -> Changed {
        if self.changed.is_empty() {
            return Changed::Nothing;
        }
        let due = self.taken.map_or(now, |taken| taken + interval);
        if due > now {
            return Changed::Later(due);
        }
        self.taken = Some(now);
        Changed::Credentials(std::mem::take(&mut self.changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testkit::at;

    #[test]
    fn a_rest_that_begins_grows_or_is_cleared_is_a_change_and_its_end_is_none() {
        let (interval, s) = (Duration::from_secs(5), Duration::from_secs);
        let mut rests = ShownRests::default();
        let one = || Changed::Credentials(["a".to_owned()].into());
        rests.note("a", Some(at(100)), at(0));
        assert_eq!(rests.take_changed(interval, s(0)), one());
        rests.note("a", Some(at(100)), at(1));
        assert_eq!(rests.take_changed(interval, s(1)), Changed::Nothing);
        rests.note("a", Some(at(110)), at(2));
        assert_eq!(rests.take_changed(interval, s(2)), Changed::Later(s(5)));
        rests.note("a", Some(at(120)), at(3));
        assert_eq!(rests.take_changed(interval, s(5)), one());
        rests.note("a", None, at(120));
        assert_eq!((rests.take_changed(interval, s(120)), rests.of("a")), (Changed::Nothing, None));
        rests.note("a", Some(at(200)), at(130));
        assert_eq!(rests.take_changed(interval, s(130)), one());
        rests.note("a", None, at(140));
        assert_eq!(rests.take_changed(interval, s(140)), one());
    }
}
