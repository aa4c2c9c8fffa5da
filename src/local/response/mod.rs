//! Writing responses: objects and lists as JSON, errors as a `Status`.

pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod status;
pub(crate) mod table;
