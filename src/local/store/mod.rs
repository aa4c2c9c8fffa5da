//! The objects, the events that watches read, and the records.

pub(crate) mod committed;
pub(crate) mod object;
