//! Waiting for a Dispatch.

use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher;

use crate::api::Dispatch;
use crate::cli::exit::Failure;
use crate::cli::server::Server;

/// How long a server may be away while it is waited for, unless a flag says it.
pub const PATIENCE: Duration = Duration::from_mins(5);
/// The pause after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches the Dispatch with this name until `look` finds what it looks for. `look` sees None when there is none.
///
/// # Errors
/// The server refuses, or was away for as long as `patience`.
pub async fn until<T>(
    server: &Server,
    name: &str,
    patience: Duration,
    mut look: impl FnMut(Option<Dispatch>) -> Option<T>,
) -> Result<T, Failure> {
    let api: Api<Dispatch> = server.api();
    let mut seen = std::pin::pin!(watcher::watch_object(api, name));
    let mut away = Duration::ZERO;
    loop {
        match seen.next().await {
            Some(Ok(dispatch)) => {
                away = Duration::ZERO;
                if let Some(found) = look(dispatch) {
                    return Ok(found);
                }
            }
            Some(Err(error)) => {
                let failure = failure(server, &error);
                if let Some(failure) = failure.filter(|_| away >= patience || is_refused(&error)) {
                    return Err(failure);
                }
                tokio::time::sleep(PAUSE).await;
                away += PAUSE;
            }
            // It does not end by itself.
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The failure of a request of a watch. None: the watch was ended in order, and begins again.
fn failure(server: &Server, error: &watcher::Error) -> Option<Failure> {
    use watcher::Error as E;
    match error {
        E::InitialListFailed(error) | E::WatchStartFailed(error) | E::WatchFailed(error) => Some(server.failed(error)),
        _ => None,
    }
}

/// True if it is of no use to ask again.
fn is_refused(error: &watcher::Error) -> bool {
    use watcher::Error as E;
    let (E::InitialListFailed(error) | E::WatchStartFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}
