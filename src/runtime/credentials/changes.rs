//! Which credentials have another value than before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::secret::Secret;
use super::seen::Seen;

/// A credential has another value than the one that was seen before.
#[derive(Debug, Clone)]
pub struct Change {
    /// Namespace of its pools.
    pub namespace: String,
    /// Its identity.
    pub identity: String,
    /// What it is now. None: a directory, in which there is no single value.
    pub value: Option<Secret>,
}

/// Remembers a hash of each value that was read, and says when one is another.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    values: Seen,
    logins: BTreeMap<(String, String), [u8; 32]>,
    pending: VecDeque<Change>,
}

impl Changes {
    /// Begins with the values that an earlier process saw: one that changed since is another value.
    pub fn since(values: Seen) -> Self {
        let state = State { values, ..State::default() };
        Self(Arc::new(Inner { state: Mutex::new(state), more: Notify::new() }))
    }

    /// The values that were seen last.
    pub fn seen(&self) -> Seen {
        self.state().values.clone()
    }

    /// A value was read. `counts`: if it is another one than before, that is a change.
    pub fn saw(&self, namespace: &str, identity: &str, value: &Secret, counts: bool) {
        let is_another = self.state().values.note(namespace, identity, value.expose().as_bytes());
        if is_another && counts {
            self.push(namespace, identity, Some(value));
        }
    }

    /// A login was looked at. `counts`: no worker changed it itself, so another state than before is a change.
    pub fn saw_login(&self, namespace: &str, identity: &str, hash: [u8; 32], counts: bool) {
        let before = self.state().logins.insert((namespace.to_owned(), identity.to_owned()), hash);
        if counts && before.is_some_and(|before| before != hash) {
            self.push(namespace, identity, None);
        }
    }

    /// A login that was refused was written since, and was not seen before: it changed while no server ran.
    pub fn login_was_renewed(&self, namespace: &str, identity: &str) {
        self.push(namespace, identity, None);
    }

    /// True if a login was seen.
    pub fn knows_login(&self, namespace: &str, identity: &str) -> bool {
        self.state().logins.contains_key(&(namespace.to_owned(), identity.to_owned()))
    }

    /// Forgets the credentials that no pool has any more. `exists` gets namespace and identity.
    pub fn retain(&self, exists: impl Fn(&str, &str) -> bool) {
        let mut state = self.state();
        state.values.retain(&exists);
        state.logins.retain(|(namespace, identity), _| exists(namespace, identity));
    }

    fn push(&self, namespace: &str, identity: &str, value: Option<&Secret>) {
        let change = Change { namespace: namespace.into(), identity: identity.into(), value: value.cloned() };
        self.state().pending.push_back(change);
        self.0.more.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next change. One caller at a time.
    pub async fn next(&self) -> Change {
        loop {
            let next = self.state().pending.pop_front();
            match next {
                Some(change) => return change,
                None => self.0.more.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn next(changes: &Changes) -> Option<String> {
        changes.next().now_or_never().map(|change| change.identity)
    }

    #[test]
    fn only_another_value_than_before_is_a_change() {
        let changes = Changes::default();
        for value in ["one", "one"] {
            changes.saw("team", "a", &Secret::new(value), true);
        }
        changes.saw("other", "a", &Secret::new("two"), true);
        assert_eq!(next(&changes), None);
        changes.saw("team", "a", &Secret::new("two"), true);
        assert_eq!((next(&changes).as_deref(), next(&changes)), (Some("a"), None));
    }

    #[test]
    fn what_changed_while_no_server_ran_is_a_change() {
        let earlier = Changes::default();
        for identity in ["same", "changed"] {
            earlier.saw("team", identity, &Secret::new("old"), true);
        }
        let changes = Changes::since(earlier.seen());
        changes.saw("team", "same", &Secret::new("old"), true);
        changes.saw("team", "changed", &Secret::new("new"), true);
        changes.saw("team", "unknown", &Secret::new("new"), true);
        let change = changes.next().now_or_never().unwrap();
        assert_eq!((change.identity.as_str(), change.value.unwrap().expose()), ("changed", "new"));
        assert_eq!(next(&changes), None);
    }

    /// A command may print another token each time. The ones before are no worse for it.
    #[test]
    fn a_value_that_does_not_count_is_the_one_that_later_ones_are_compared_with() {
        let changes = Changes::default();
        for value in ["one", "two"] {
            changes.saw("team", "a", &Secret::new(value), false);
        }
        assert_eq!(next(&changes), None);
        changes.saw("team", "a", &Secret::new("two"), true);
        assert_eq!(next(&changes), None);
        changes.saw("team", "a", &Secret::new("three"), true);
        assert_eq!(next(&changes).as_deref(), Some("a"));
    }

    #[test]
    fn what_no_pool_has_is_forgotten() {
        let changes = Changes::default();
        changes.saw("team", "a", &Secret::new("one"), true);
        changes.saw_login("team", "d", [1; 32], true);
        changes.retain(|_, _| false);
        assert_eq!(changes.seen(), Seen::default());
        assert!(!changes.knows_login("team", "d"));
        changes.saw("team", "a", &Secret::new("two"), true);
        assert_eq!(next(&changes), None);
    }

    #[test]
    fn what_a_worker_wrote_itself_is_no_change() {
        let changes = Changes::default();
        changes.saw_login("team", "d", [1; 32], true);
        changes.saw_login("team", "d", [2; 32], false);
        assert_eq!(next(&changes), None);
        changes.saw_login("team", "d", [3; 32], true);
        assert_eq!(next(&changes).as_deref(), Some("d"));
    }
}
