//! The three watches, as inputs of the core.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::api::Api;
use kube::core::ResourceExt;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};

use super::health::{Health, not_served};
use super::trim::{Decoded, Trim};
use crate::causes::with_causes;
use crate::core::{Input, ObjectKey, Seen};

/// Watches one kind, without end.
pub(super) fn watch<K: Trim>(
    client: Client,
    namespace: Option<&str>,
    health: &Health,
    wrap: fn(Seen<K>) -> Input,
) -> BoxStream<'static, Input> {
    let api: Api<Decoded<K>> = match namespace {
        Some(ns) => Api::namespaced(client, ns),
        None => Api::all(client),
    };
    let (kind, health) = (K::kind(&()), health.clone());
    health.follows(&kind);
    let mut listing = BTreeSet::new();
    watcher(api, watcher::Config::default())
        .backoff(Pause::default())
        .filter_map(move |event| {
            let seen = match event {
                Ok(event) => {
                    if matches!(event, watcher::Event::InitDone) && health.listed(&kind) {
                        tracing::info!(%kind, "all is listed again");
                    }
                    translate(event, &mut listing)
                }
                Err(error) => {
                    let (text, missing) = (with_causes(&error), is_missing(&error));
                    match (health.failed(&kind, missing, text.clone()), missing) {
                        (false, _) => {}
                        (true, true) => tracing::warn!("{}", not_served(&kind)),
                        (true, false) => tracing::warn!(%kind, error = text, "a watch failed; it is started again"),
                    }
                    None
                }
            };
            futures::future::ready(seen.map(wrap))
        })
        .boxed()
}

/// True if the server does not know the kind.
fn is_missing(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// What an event of a watch shows. `listing`: the objects that a listing under way has shown.
pub(crate) fn translate<K: Trim>(
    event: watcher::Event<Decoded<K>>,
    listing: &mut BTreeSet<ObjectKey>,
) -> Option<Seen<K>> {
    match event {
        watcher::Event::Init => {
            listing.clear();
            None
        }
        watcher::Event::InitApply(decoded) => {
            listing.insert(key(&decoded));
            read(decoded).map(Seen::Present)
        }
        watcher::Event::InitDone => Some(Seen::Listed(std::mem::take(listing))),
        watcher::Event::Apply(decoded) => read(decoded).map(Seen::Present),
        watcher::Event::Delete(decoded) => read(decoded).map(Seen::Gone),
    }
}

fn key<K: Resource>(object: &Decoded<K>) -> ObjectKey {
    ObjectKey::new(object.namespace().unwrap_or_default(), object.name_any())
}

/// An object that does not fit its type counts as existing, and the controller ignores it.
fn read<K: Trim>(decoded: Decoded<K>) -> Option<Arc<K>> {
    let key = key(&decoded);
    match decoded.0 {
        Ok(object) => Some(object.trimmed()),
        Err(unreadable) => {
            tracing::warn!(kind = %K::kind(&()), %key, error = %unreadable.error, "an object cannot be read; it is left alone");
            None
        }
    }
}

/// The wait before a watch is started again: 200 ms, doubling to 10 s. It has no jitter: one seed must give one run, and
/// there are only three watches in a controller and few controllers.
#[derive(Default)]
pub(crate) struct Pause {
    tries: u32,
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.tries = (self.tries + 1).min(7);
        Some((Duration::from_millis(100) * 2u32.pow(self.tries)).min(Duration::from_secs(10)))
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {
        self.tries = 0;
    }
}
