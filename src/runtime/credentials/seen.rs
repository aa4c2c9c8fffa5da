//! The values of credentials that were seen last, as hashes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A hash of each value that was seen last, without the values. It can be stored for a later process, in a file of this user alone:
/// a short value could be guessed from its hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Goes into each hash: equal values of two installations have different ones.
    salt: String,
    /// By namespace and identity.
    hashes: BTreeMap<String, BTreeMap<String, String>>,
}

impl Seen {
    /// Nothing was seen yet. `salt`: a random text.
    pub fn salted(salt: String) -> Self {
        Self { salt, hashes: BTreeMap::new() }
    }

    /// Notes a value. Returns true if another one was noted before.
    pub(super) fn note(&mut self, namespace: &str, identity: &str, value: &[u8]) -> bool {
        let hash = hex::encode(Sha256::new().chain_update(&self.salt).chain_update(value).finalize());
        let values = self.hashes.entry(namespace.to_owned()).or_default();
        values.insert(identity.to_owned(), hash.clone()).is_some_and(|before| before != hash)
    }

    /// Leaves only the credentials for which `exists` returns true. It gets namespace and identity.
    pub(super) fn retain(&mut self, exists: impl Fn(&str, &str) -> bool) {
        for (namespace, values) in &mut self.hashes {
            values.retain(|identity, _| exists(namespace, identity));
        }
        self.hashes.retain(|_, values| !values.is_empty());
    }

    /// What may be stored now: new credentials, and other values that were seen in `earlier` already. The rest is as in `stored`.
    #[must_use]
    pub fn settled(&self, earlier: &Self, stored: &Self) -> Self {
        let mut settled = self.clone();
        for (namespace, values) in &mut settled.hashes {
            for (identity, hash) in values {
                let of = |seen: &Self| seen.hashes.get(namespace)?.get(identity).cloned();
                if let Some(before) = of(stored).filter(|_| of(earlier).as_ref() != Some(hash)) {
                    *hash = before;
                }
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_no_value_and_equal_values_differ_between_installations() {
        let (mut one, mut other) = (Seen::salted("1".to_owned()), Seen::salted("2".to_owned()));
        for seen in [&mut one, &mut other] {
            seen.note("team", "a", b"sesame");
        }
        let text = serde_json::to_string(&one).unwrap();
        assert!(text.contains("team") && !text.contains("sesame"), "{text}");
        assert_eq!(serde_json::from_str::<Seen>(&text).unwrap(), one);
        assert_ne!(one.hashes, other.hashes);
    }

    #[test]
    fn another_value_is_settled_when_it_is_seen_again() {
        let mut stored = Seen::default();
        stored.note("team", "a", b"old");
        let mut now = stored.clone();
        now.note("team", "a", b"new");
        now.note("team", "b", b"first");
        let settled = now.settled(&stored, &stored);
        assert_eq!(settled.hashes["team"]["a"], stored.hashes["team"]["a"]);
        assert!(settled.hashes["team"].contains_key("b"));
        assert_eq!(now.settled(&now, &settled), now);
    }
}
