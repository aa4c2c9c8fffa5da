//! What is known. No rule is here: each file owns one kind of fact, and nothing else writes it.

pub(super) mod backoff;
pub(super) mod claims;
pub(super) mod credentials;
pub(super) mod directories;
pub(super) mod dispatches;
pub(super) mod due_rests;
pub(super) mod instances;
pub(super) mod leases;
pub(super) mod life;
pub(super) mod members;
pub(super) mod new_values;
pub(super) mod pauses;
pub(super) mod pending;
pub(super) mod pools;
pub(super) mod queue;
mod renewals;
pub(super) mod replacements;
pub(super) mod requests;
pub(super) mod rest_ends;
pub(super) mod shown_rests;
pub(super) mod slots;
mod tally;
pub(super) mod workers;
