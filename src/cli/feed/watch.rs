//! One watch, that begins again with a listing after each loss.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch as latest};

use crate::causes::with_causes;
use crate::clock::Clock;
use crate::controller::{Decoded, Pause, Trim, translate};
use crate::core::Seen;
use crate::dashboard::live::{Change, Watched};

/// Watches one kind, without end. `losses`: whenever it changes, what a watch shows may be old.
pub(super) async fn watch<K>(
    api: Api<Decoded<K>>,
    what: Watched,
    wrap: fn(Seen<K>) -> Change,
    clock: Arc<dyn Clock>,
    mut losses: latest::Receiver<u64>,
    changes: mpsc::Sender<Change>,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Trim
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let mut pause = Pause::default();
    loop {
        losses.mark_unchanged();
        let mut events = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
        let mut listing = BTreeSet::new();
        let why = loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = losses.changed() => break None,
            };
            let event = match event {
                Some(Ok(event)) => event,
                Some(Err(error)) => break Some(with_causes(&error)),
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
        if let Some(why) = why
            && changes.send(Change::Lost(what, clock.now(), why)).await.is_err()
        {
            return;
        }
        tokio::time::sleep(pause.next().unwrap_or_default()).await;
    }
}
