//! The kinds that are served, and what a valid object of each is.

pub(crate) mod built_in;
pub(crate) mod cel;
pub(crate) mod column;
pub(crate) mod compile;
mod event;
pub(crate) mod field_error;
mod format;
pub(crate) mod kind;
pub(crate) mod meta;
mod rule;
mod secret;
pub(crate) mod validate;
