//! How a server is made.
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::clock::{Clock, Ids};

/// How a server is made.
pub struct Options {
    /// The custom kinds to serve.
    pub crds: Vec<CustomResourceDefinition>,
    /// Gives `creationTimestamp`, `deletionTimestamp` and the times of records.
    pub clock: Arc<dyn Clock>,
    /// Gives uids and generated names.
    pub ids: Ids,
    /// How much of the past stays readable.
    pub history: History,
}

/// How much of the past stays readable. A watch from an earlier version gets 410.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Every version of every object, for [`LocalApi::history`](super::LocalApi::history) as well.
    Full,
    /// The newest events of each kind, at most that many and at most 5 minutes old, for watches only.
    Window(usize),
}

/// Why a server could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A CRD that this server cannot serve.
    #[error("CRD {name}: {message}")]
    Crd {
        /// `plural.group`.
        name: String,
        /// What is wrong, with the path in the schema.
        message: String,
    },
}
