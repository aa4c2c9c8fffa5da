//! What the refusals of a server mean for a command.

use kube::Error;

use crate::causes::with_causes;
use crate::cli::exit::{Exit, Failure};

/// The failure of a request. A server that was not reached is named.
pub(super) fn of(title: &str, error: &Error) -> Failure {
    let Error::Api(status) = error else {
        let exit = if is_refused_before_it_was_sent(error) { Exit::Failed } else { Exit::Unreachable };
        return Failure::new(exit, format!("{}: {}", title, with_causes(error)));
    };
    let exit = match status.code {
        400 | 422 => Exit::Usage,
        401 | 403 => Exit::Forbidden,
        404 => Exit::NotFound,
        409 => Exit::Conflict,
        _ => Exit::Failed,
    };
    let message = if status.message.is_empty() { &status.reason } else { &status.message };
    // A server without these kinds says no more than this.
    if status.code == 404 && message.contains("could not find the requested resource")
        || message == "404 page not found"
    {
        let message = format!(
            "{title} does not know Poolkeeper's kinds: install the chart, or `poolkeeper crd | kubectl apply -f -`"
        );
        return Failure::new(Exit::NotFound, message);
    }
    Failure::new(exit, message.clone())
}

/// True if the fault is in the request or in the answer, and not between here and the server.
const fn is_refused_before_it_was_sent(error: &Error) -> bool {
    matches!(error, Error::BuildRequest(_) | Error::SerdeError(_) | Error::FromUtf8(_) | Error::HttpError(_))
}

/// True if the object is not there. A server that does not know the kind says so in other words.
pub fn is_not_found(error: &Error) -> bool {
    let named = |status: &kube::core::Status| status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    matches!(error, Error::Api(status) if status.code == 404 && named(status))
}

/// True if the object is there already, or was changed meanwhile.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}
