//! What the pauses of a pool's workers depend on, as it was last noted.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// See the module's page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::core) struct Pauses {
    /// The pool asks for pauses.
    pub on: bool,
    /// Credentials that rest, by identity, and until when. [`Timestamp::MAX`]: until a person ends it.
    pub credentials: BTreeMap<String, Timestamp>,
}
