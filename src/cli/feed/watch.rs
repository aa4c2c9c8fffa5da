//! One watch, that begins again with a listing after each loss.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use kube::Api;
use kube::core::Status;
use kube::runtime::watcher;
use tokio::sync::{mpsc, watch as latest};

use crate::causes::with_causes;
use crate::clock::Clock;
use crate::controller::{Decoded, Pause, Trim, translate};
use crate::core::Seen;
use crate::dashboard::live::{Change, Loss, Watched};

/// Watches one kind, without end. `losses`: whenever it changes, what a watch shows may be old.
pub(super) async fn watch<K: Trim>(
    api: Api<Decoded<K>>,
    what: Watched,
    wrap: fn(Seen<K>) -> Change,
    clock: Arc<dyn Clock>,
    mut losses: latest::Receiver<u64>,
    changes: mpsc::Sender<Change>,
) {
    let mut pause = Pause::default();
    loop {
        losses.mark_unchanged();
        let mut events = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
        let mut listing = BTreeSet::new();
        let lost = loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = losses.changed() => break None,
            };
            let event = match event {
                Some(Ok(event)) => event,
                // The server has forgotten the version from which it was watched. It answers, so nothing is lost.
                Some(Err(error)) if status(&error).is_some_and(|status| status.code == 410) => break None,
                Some(Err(error)) => break Some(loss(&error)),
                None => break None,
            };
            if let Some(seen) = translate(event, &mut listing) {
                if matches!(seen, Seen::Listed(_)) {
                    pause = Pause::default();
                }
                if changes.send(wrap(seen)).await.is_err() {
                    return;
                }
            }
        };
        if let Some(loss) = lost
            && changes.send(Change::Lost(what, clock.now(), loss)).await.is_err()
        {
            return;
        }
        tokio::time::sleep(pause.next().unwrap_or_default()).await;
    }
}

/// What the server itself said.
fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::WatchError(status)
        | watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

fn loss(error: &watcher::Error) -> Loss {
    match status(error) {
        Some(status) if !status.message.is_empty() => {
            Loss { why: status.message.clone(), refused: matches!(status.code, 401 | 403) }
        }
        _ => Loss::away(with_causes(error)),
    }
}
