//! Why the process cannot start or stop its parts.

use crate::runtime::RuntimeError;
use crate::runtime::assemble::AssembleError;
use crate::runtime::docker::EndpointError;

/// Why the process cannot start or stop its parts.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// The API in this process cannot start.
    #[error("the API in this process: {0}")]
    Api(String),
    /// The API says that the pool is not valid.
    #[error("the pool is not valid: {}", .0.message)]
    InvalidPool(Box<kube::core::Status>),
    /// The pool cannot be created for another reason.
    #[error("creating the pool: {0}")]
    CreatePool(Box<dyn std::error::Error + Send + Sync>),
    /// The address of the Docker Engine is not known or cannot be used.
    #[error("{0}")]
    DockerAddress(#[source] EndpointError),
    /// The Docker Engine cannot be used.
    #[error("{source}")]
    Docker {
        /// What it says.
        source: RuntimeError,
        /// True if it is there, but not for this user.
        forbidden: bool,
    },
    /// Runtime Process cannot be used.
    #[error("runtime Process: {0}")]
    Process(#[source] RuntimeError),
    /// A runtime that this process cannot have.
    #[error("{0}")]
    Runtime(#[source] AssembleError),
    /// The parts cannot be stopped in order.
    #[error("stopping: {what}: {source}")]
    Stop {
        /// What failed.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<AssembleError> for Error {
    fn from(error: AssembleError) -> Self {
        match error {
            AssembleError::Docker(source) => Self::DockerAddress(source),
            AssembleError::Process(source) => Self::Process(source),
            other => Self::Runtime(other),
        }
    }
}
