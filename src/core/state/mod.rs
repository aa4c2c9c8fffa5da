//! What is known. No rule is here: each file owns one kind of fact, and nothing else writes it.

pub(super) mod claims;
pub(super) mod credentials;
pub(super) mod instances;
pub(super) mod pending;
