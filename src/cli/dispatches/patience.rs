//! What is safe to repeat is repeated while the server is away.

use std::time::Duration;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::server::Server;
use crate::clock::Clock;
use crate::supervisor::patience::is_away;

/// The pause between two attempts to reach the server.
const PAUSE: Duration = Duration::from_secs(1);

/// Does this until the server answers, or `patience` is over. It says once that it waits.
///
/// # Errors
/// Those of `work`; [`Exit::Unreachable`] only when the time is over.
pub async fn repeat<T>(
    clock: &dyn Clock,
    patience: Duration,
    mut work: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let end = clock.mono().saturating_add(patience);
    let mut said = false;
    loop {
        match work().await {
            Err(failure) if failure.exit == Exit::Unreachable && clock.mono() + PAUSE < end => {
                if !said {
                    output::say(&format!("{failure}; repeating it"));
                    said = true;
                }
                tokio::time::sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// The failure of a request. A server that is overloaded, or is starting or stopping, counts as one that is away.
pub fn failed(server: &Server, error: &kube::Error) -> Failure {
    let mut failure = server.failed(error);
    if is_away(error) {
        failure.exit = Exit::Unreachable;
    }
    failure
}
