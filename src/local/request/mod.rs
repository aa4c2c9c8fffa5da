//! Reading requests: paths, queries, media types, bodies.

pub(crate) mod body;
pub(crate) mod decode;
pub(crate) mod negotiate;
pub(crate) mod options;
pub(crate) mod patch;
pub(crate) mod protobuf;
pub(crate) mod query;
pub(crate) mod routes;
pub(crate) mod select;
