//! Follows a server: lists and watches the three kinds, and asks for its time. With the rights of the user, and reading only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::client::Body;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::{Client, Error, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::state::{Away, Part, State};
use crate::api::{ContainerPool, Dispatch, Worker};
use crate::causes::with_causes;
use crate::dashboard::history::{History, Kind};

/// The pause before a retry.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a server may take to say its time.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is asked.
const EVERY: Duration = Duration::from_secs(10);
/// How often pages get what is new.
const TICK: Duration = Duration::from_millis(250);
/// The length of a watch in seconds, after which the server ends it.
const WATCH: u32 = 290;

/// A kind that is followed.
pub(super) trait Followed:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static
{
    /// Which one it is.
    const KIND: Kind;
    /// It is as it is.
    fn seen(&self, history: &mut History, now: i64);
    /// It is gone.
    fn gone(&self, history: &mut History, now: i64);
}

impl Followed for ContainerPool {
    const KIND: Kind = Kind::Pool;
    fn seen(&self, history: &mut History, _: i64) {
        history.pool(self);
    }
    fn gone(&self, history: &mut History, _: i64) {
        history.pool_gone(&self.name_any());
    }
}

impl Followed for Worker {
    const KIND: Kind = Kind::Worker;
    fn seen(&self, history: &mut History, now: i64) {
        history.worker(now, self);
    }
    fn gone(&self, history: &mut History, now: i64) {
        history.worker_gone(now, &self.spec.pool, &self.name_any());
    }
}

impl Followed for Dispatch {
    const KIND: Kind = Kind::Dispatch;
    fn seen(&self, history: &mut History, now: i64) {
        history.dispatch(now, self);
    }
    fn gone(&self, history: &mut History, now: i64) {
        history.dispatch_gone(now, &self.spec.pool, &self.name_any());
    }
}

/// Follows all that there is to follow, without end.
pub(super) async fn follow_all(client: Client, namespace: &str, state: Arc<State>) {
    tokio::join!(
        follow::<ContainerPool>(Api::namespaced(client.clone(), namespace), &state),
        follow::<Worker>(Api::namespaced(client.clone(), namespace), &state),
        follow::<Dispatch>(Api::namespaced(client.clone(), namespace), &state),
        ask_the_time(&client, namespace, &state),
        async {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                state.publish();
            }
        },
    );
}

/// Follows a kind, without end. After each failure everything is listed again.
async fn follow<K: Followed>(api: Api<DeserializeGuard<K>>, state: &State) {
    loop {
        let Err(error) = follow_once(&api, state).await;
        // A version that the server has forgotten is no failure of it.
        if !matches!(&error, Error::Api(status) if status.code == 410) {
            state.lost(K::KIND, away(&error));
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn follow_once<K: Followed>(
    api: &Api<DeserializeGuard<K>>,
    state: &State,
) -> Result<std::convert::Infallible, Error> {
    let listed = api.list(&ListParams::default()).await?;
    let mut version = listed.metadata.resource_version.unwrap_or_default();
    let there: BTreeSet<String> = listed.items.iter().map(ResourceExt::name_any).collect();
    state.seen(|history, now| {
        // Those that cannot be read are there, and not shown.
        listed.items.iter().filter_map(|one| one.0.as_ref().ok()).for_each(|one| one.seen(history, now));
        history.listed(now, K::KIND, &there);
    });
    state.found(K::KIND);
    loop {
        let watch = WatchParams { timeout: Some(WATCH), ..WatchParams::default() };
        let mut events = api.watch(&watch, &version).await?.boxed();
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(one) | WatchEvent::Modified(one) => {
                    version = one.resource_version().unwrap_or(version);
                    if let Ok(one) = &one.0 {
                        state.seen(|history, now| one.seen(history, now));
                    }
                }
                WatchEvent::Deleted(one) => {
                    version = one.resource_version().unwrap_or(version);
                    if let Ok(one) = &one.0 {
                        state.seen(|history, now| one.gone(history, now));
                    }
                }
                WatchEvent::Bookmark(mark) => version = mark.metadata.resource_version,
                WatchEvent::Error(status) => return Err(Error::Api(status)),
            }
        }
    }
}

/// Asks for the server's time, without end: countdowns use it, and a server that hangs is noticed.
async fn ask_the_time(client: &Client, namespace: &str, state: &State) {
    loop {
        match tokio::time::timeout(PATIENCE, ahead(client, namespace, || state.local())).await {
            Ok(Ok(ahead)) => {
                state.measured(ahead.unwrap_or_default());
                state.found(Part::Server);
            }
            Ok(Err(error)) => state.lost(Part::Server, away(&error)),
            Err(_) => {
                state.lost(Part::Server, Away { why: "it does not answer within 5 s".to_owned(), refused: false });
            }
        }
        tokio::time::sleep(if state.is_lost() { PAUSE } else { EVERY }).await;
    }
}

/// How many milliseconds the server's clock is ahead of `local`, within half a second. None: it does not say its time.
///
/// # Errors
/// It does not answer, or refuses.
pub(super) async fn ahead(
    client: &Client,
    namespace: &str,
    local: impl Fn() -> Timestamp,
) -> Result<Option<i64>, Error> {
    let path = format!("{}?limit=1", ContainerPool::url_path(&(), Some(namespace)));
    let request = http::Request::get(path).body(Body::empty()).map_err(Error::HttpError)?;
    let before = local().as_millisecond();
    let response = client.send(request).await?;
    let middle = i64::midpoint(before, local().as_millisecond());
    if !response.status().is_success() {
        // What it says is read the usual way.
        Api::<ContainerPool>::namespaced(client.clone(), namespace).list(&ListParams::default().limit(1)).await?;
    }
    let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
    Ok(date.map(|date| date.as_millisecond() + 500 - middle))
}

/// Whether the user may see what the dashboard shows.
///
/// # Errors
/// The server does not answer, or the user may not list one of the kinds.
pub(super) async fn may_look(client: &Client, namespace: &str) -> Result<(), Error> {
    let one = ListParams::default().limit(1);
    Api::<DeserializeGuard<ContainerPool>>::namespaced(client.clone(), namespace).list(&one).await?;
    Api::<DeserializeGuard<Worker>>::namespaced(client.clone(), namespace).list(&one).await?;
    Api::<DeserializeGuard<Dispatch>>::namespaced(client.clone(), namespace).list(&one).await?;
    Ok(())
}

fn away(error: &Error) -> Away {
    match error {
        Error::Api(status) if !status.message.is_empty() => {
            Away { why: status.message.clone(), refused: matches!(status.code, 401 | 403) }
        }
        _ => Away { why: with_causes(error), refused: false },
    }
}
