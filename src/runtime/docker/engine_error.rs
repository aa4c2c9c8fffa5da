//! Why a request to an engine failed, sorted by whether it may have had its effect.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bollard::errors::Error;

use super::endpoint::Endpoint;
use super::transport::Problem;
use crate::runtime::{LOCAL_HOST, RuntimeError};

/// Why a request did not succeed. The messages say where, what, and if possible what would be right. The innermost cause stands
/// in the message. There is no `source`: the layers between only name the parts of the client, and a list of causes would
/// say the innermost one twice.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub(super) enum EngineError {
    /// No connection: nothing was asked.
    #[error("{0}")]
    NoConnection(String),
    /// It was asked, but no answer came that could be read: it may have had its effect.
    #[error("{0}")]
    NoAnswer(String),
    /// The engine answered that it will not; in its own words.
    #[error("{message}")]
    Answer {
        /// HTTP status, 400 or more.
        status: u16,
        /// The engine's words.
        message: String,
    },
}

impl EngineError {
    /// Sorts `error`, met at `endpoint` of the host called `host`.
    pub(super) fn new(host: &str, endpoint: &Endpoint, error: &Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::Answer { status: *status_code, message: message.trim_end().to_owned() }
            }
            // An error in the middle of an answer is the engine's word as well.
            Error::DockerStreamError { error } => Self::Answer { status: 500, message: error.trim_end().to_owned() },
            Error::HyperLegacyError { err } if err.is_connect() => match root_io(error) {
                Some(io) => Self::no_connection(host, endpoint, io),
                None => Self::NoConnection(unreachable(host, endpoint, &root(error))),
            },
            Error::RequestTimeoutError => {
                Self::NoAnswer(format!("the Docker Engine at {endpoint} does not answer (host {host})"))
            }
            _ => Self::NoAnswer(format!(
                "lost contact with the Docker Engine at {endpoint} (host {host}): {}",
                root(error)
            )),
        }
    }

    /// The connection could not be made, and why.
    pub(super) fn no_connection(host: &str, endpoint: &Endpoint, error: &io::Error) -> Self {
        Self::NoConnection(match endpoint {
            Endpoint::Unix(path) if error.kind() == io::ErrorKind::PermissionDenied => format!(
                "no permission on the Docker socket {}: {error}; join the group `docker` (`sudo usermod -aG docker $USER`, \
                 then log in again), set DOCKER_HOST to an engine of yours, or use --runtime Process",
                path.display()
            ),
            // It says what to do.
            _ if error.get_ref().and_then(|inner| inner.downcast_ref::<Problem>()).is_some() => {
                format!("cannot reach the Docker Engine of host {host} at {endpoint}: {error}")
            }
            _ => unreachable(host, endpoint, &error.to_string()),
        })
    }

    /// The engine took longer than this to say which one it is. Nothing else was asked.
    pub(super) fn slow(host: &str, endpoint: &Endpoint, limit: Duration) -> Self {
        Self::NoConnection(format!(
            "the Docker Engine at {endpoint} (host {host}) is too slow: it did not answer within {} s; it is asked again every few seconds",
            limit.as_secs()
        ))
    }

    /// True if the engine says that what was asked about does not exist.
    pub(super) const fn is_not_found(&self) -> bool {
        matches!(self, Self::Answer { status: 404, .. })
    }
}

impl From<EngineError> for RuntimeError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NoConnection(why) | EngineError::NoAnswer(why) => Self::Unreachable(why),
            EngineError::Answer { message, .. } => Self::Refused(message),
        }
    }
}

fn unreachable(host: &str, endpoint: &Endpoint, why: &str) -> String {
    if host == LOCAL_HOST {
        format!(
            "cannot reach a Docker Engine at {endpoint}: {why}; start Docker, set DOCKER_HOST, or use --runtime Process"
        )
    } else {
        format!("cannot reach the Docker Engine of host {host} at {endpoint}: {why}; start it, or correct its endpoint")
    }
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

/// What is behind an error, from the outside in.
fn causes(error: &Error) -> impl Iterator<Item = Cause<'_>> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause: Cause<'_> = next?;
        next = cause.source();
        Some(cause)
    })
}

fn root_io(error: &Error) -> Option<&io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The innermost message: the outer ones only name the layers of the client.
fn root(error: &Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_without_permission_is_named_with_its_group() {
        let endpoint = Endpoint::Unix("/run/d.sock".into());
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let why = EngineError::no_connection(LOCAL_HOST, &endpoint, &denied).to_string();
        for part in ["/run/d.sock", "group `docker`", "usermod -aG docker", "--runtime Process"] {
            assert!(why.contains(part), "{part:?} in {why}");
        }
    }
}
