//! Which credentials have another value than before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::secret::Secret;

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
    seen: BTreeMap<(String, String), [u8; 32]>,
    pending: VecDeque<Change>,
}

impl Changes {
    /// A value was read.
    pub fn saw(&self, namespace: &str, identity: &str, value: &Secret) {
        let hash = Sha256::digest(value.expose().as_bytes()).into();
        self.note(namespace, identity, hash, true, Some(value));
    }

    /// A login was looked at. `counts`: it did not change it itself: another hash than before is a change.
    pub fn saw_login(&self, namespace: &str, identity: &str, hash: [u8; 32], counts: bool) {
        self.note(namespace, identity, hash, counts, None);
    }

    /// A credential that was refused has a value that was written since, and none was seen before: it changed while no server ran.
    pub fn was_renewed(&self, namespace: &str, identity: &str, value: Option<&Secret>) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending.push_back(Change {
            namespace: namespace.into(),
            identity: identity.into(),
            value: value.cloned(),
        });
        self.0.more.notify_one();
    }

    /// True if a value of a credential was seen.
    pub fn knows(&self, namespace: &str, identity: &str) -> bool {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.contains_key(&(namespace.to_owned(), identity.to_owned()))
    }

    fn note(&self, namespace: &str, identity: &str, hash: [u8; 32], counts: bool, value: Option<&Secret>) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.seen.insert((namespace.to_owned(), identity.to_owned()), hash);
        if counts && before.is_some_and(|before| before != hash) {
            let value = value.cloned();
            state.pending.push_back(Change { namespace: namespace.into(), identity: identity.into(), value });
            self.0.more.notify_one();
        }
    }

    /// Waits for the next change. One caller at a time.
    pub async fn next(&self) -> Change {
        loop {
            let next = self.0.state.lock().unwrap_or_else(PoisonError::into_inner).pending.pop_front();
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

    #[test]
    fn only_another_value_than_before_is_a_change() {
        let changes = Changes::default();
        let next = || changes.next().now_or_never().map(|change| change.identity);
        for value in ["one", "one"] {
            changes.saw("team", "a", &Secret::new(value));
        }
        changes.saw("other", "a", &Secret::new("two"));
        assert_eq!(next(), None);
        changes.saw("team", "a", &Secret::new("two"));
        assert_eq!((next().as_deref(), next()), (Some("a"), None));
    }

    #[test]
    fn what_was_renewed_while_no_server_ran_is_a_change() {
        let changes = Changes::default();
        assert!(!changes.knows("team", "a"));
        changes.saw("team", "a", &Secret::new("new"));
        changes.was_renewed("team", "a", Some(&Secret::new("new")));
        assert!(changes.knows("team", "a") && !changes.knows("team", "b"));
        let change = changes.next().now_or_never().unwrap();
        assert_eq!((change.identity.as_str(), change.value.unwrap().expose()), ("a", "new"));
    }

    #[test]
    fn what_a_worker_wrote_itself_is_no_change() {
        let changes = Changes::default();
        changes.saw_login("team", "d", [1; 32], true);
        changes.saw_login("team", "d", [2; 32], false);
        assert!(changes.next().now_or_never().is_none());
        changes.saw_login("team", "d", [3; 32], true);
        assert!(changes.next().now_or_never().is_some());
    }
}
