//! The version of Kubernetes whose answers this server gives.

pub(super) const MAJOR: &str = "1";
pub(super) const MINOR: &str = "33";
