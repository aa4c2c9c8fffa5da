//! Credentials with another value than before, of which the status of a pool says nothing yet.

use std::collections::BTreeMap;

use crate::api::Time;
use crate::api::pool::CredentialRest;

/// What follows from another value of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) struct NewValue {
    /// When it was found.
    pub at: Time,
    /// True if workers that run see it: none of them has an old value.
    pub in_place: bool,
    /// True if the credential was refused: it is no longer parked.
    pub lets_in: bool,
}

impl NewValue {
    /// True if this entry was written after it.
    fn is_shown_by(&self, rest: &CredentialRest) -> bool {
        (!self.lets_in || rest.cleared_at.as_ref() >= Some(&self.at))
            && (self.in_place || rest.stale_before.as_ref() >= Some(&self.at))
    }

    /// The entry with it. What the old value met says nothing about the new one, except for a limit: the account may be the same.
    fn shown_in(&self, old: CredentialRest) -> CredentialRest {
        let at = Some(self.at.clone());
        let stale_before = at.clone().filter(|_| !self.in_place);
        if self.lets_in {
            CredentialRest { key: old.key, cleared_at: at, stale_before, ..CredentialRest::default() }
        } else {
            CredentialRest { stale_before, ..old }
        }
    }
}

/// The new values that one pool is to show, by the identity of the credential.
#[derive(Default)]
pub(in crate::core) struct NewValues(BTreeMap<String, NewValue>);

impl NewValues {
    /// One was found.
    pub fn found(&mut self, identity: &str, value: NewValue) {
        let before = self.0.remove(identity);
        let both = |of: fn(&NewValue) -> bool| of(&value) || before.as_ref().is_some_and(of);
        let (in_place, lets_in) = (!both(|v| !v.in_place), both(|v| v.lets_in));
        self.0.insert(identity.to_owned(), NewValue { at: value.at.clone(), in_place, lets_in });
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn entries(&self) -> usize {
        self.0.len()
    }

    /// Forgets those that are stored, or are of no credential of the pool any more. Returns the entries that are to be written: each is
    /// computed from `newest`.
    pub fn due(
        &mut self,
        is_named: impl Fn(&str) -> bool,
        stored: impl Fn(&str) -> Option<CredentialRest>,
        newest: impl Fn(&str) -> Option<CredentialRest>,
    ) -> Vec<CredentialRest> {
        self.0.retain(|id, value| is_named(id) && !stored(id).is_some_and(|rest| value.is_shown_by(&rest)));
        let entry = |(id, value): (&String, &NewValue)| {
            let rest = newest(id).unwrap_or_else(|| CredentialRest { key: id.clone(), ..CredentialRest::default() });
            (!value.is_shown_by(&rest)).then(|| value.shown_in(rest))
        };
        self.0.iter().filter_map(entry).collect()
    }
}
