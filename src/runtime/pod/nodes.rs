//! Nodes that are being drained. Every drain begins with a cordon (`spec.unschedulable`), so only cordoned nodes are watched, and
//! in most clusters at most times there is none.
//!
//! A Pod on a cordoned node is [`Leaving`](crate::runtime::InstanceState::Leaving). If the node stays cordoned for as long as the
//! Pod is protected, the protection ends: its label is removed, and the next eviction is granted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;

use super::seen::{Exposed, Seen};
use crate::api::{Period, names};
use crate::clock::{Clock, SystemClock};
use crate::runtime::Observation;

/// How often it is asked whose protection is over, while a node is cordoned. `kubectl drain` retries as often.
const TICK: Duration = Duration::from_secs(5);

/// Whether cordoned nodes are known. None: not listed yet.
pub(super) type Followed = watch::Sender<Option<bool>>;

/// Follows cordoned nodes, endlessly. What it yields are changes of instances on them.
pub(super) fn follow(client: Client, seen: Arc<Seen>, followed: Arc<Followed>) -> BoxStream<'static, Observation> {
    let config = watcher::Config::default().fields("spec.unschedulable=true");
    Box::pin(async_stream::stream! {
        // Of a node only its name is needed.
        let nodes: Api<PartialObjectMeta<Node>> = Api::all(client.clone());
        let mut events = watcher::watcher(nodes, config).default_backoff().boxed();
        let clock = SystemClock::new();
        // Monotonic time at which each node was first seen to be cordoned.
        let mut since: BTreeMap<Arc<str>, Duration> = BTreeMap::new();
        let mut listing: BTreeMap<Arc<str>, Duration> = BTreeMap::new();
        loop {
            let next = if since.is_empty() { Ok(events.next().await) } else { tokio::time::timeout(TICK, events.next()).await };
            match next {
                Ok(Some(Ok(event))) => {
                    if !take(event, clock.mono(), &mut since, &mut listing) {
                        continue;
                    }
                    followed.send_replace(Some(true));
                    for instance in seen.cordon(since.keys().cloned().collect()) {
                        yield Observation::Changed(instance);
                    }
                }
                Ok(Some(Err(error))) => {
                    // What was known holds on: that it cannot be asked uncordons no node.
                    if is_refused(&error) && followed.send_replace(Some(false)) != Some(false) {
                        tracing::warn!(%error, "nodes cannot be watched, so busy workers are not protected from eviction");
                    }
                }
                Ok(None) => break,
                Err(_) => {}
            }
            let now = clock.mono();
            let cordoned = since.iter().map(|(node, since)| (node.clone(), now.saturating_sub(*since))).collect();
            for exposed in seen.exposed(&cordoned) {
                expose(&client, &exposed).await;
            }
        }
    })
}

/// Takes in what the watch showed. True if it is known which nodes are cordoned.
fn take(
    event: Event<PartialObjectMeta<Node>>,
    now: Duration,
    since: &mut BTreeMap<Arc<str>, Duration>,
    listing: &mut BTreeMap<Arc<str>, Duration>,
) -> bool {
    let name = |node: &PartialObjectMeta<Node>| -> Arc<str> { node.name_any().into() };
    match event {
        Event::Init => listing.clear(),
        Event::InitApply(node) => {
            let name = name(&node);
            let from = since.get(&name).copied().unwrap_or(now);
            listing.insert(name, from);
        }
        Event::InitDone => {
            *since = std::mem::take(listing);
            return true;
        }
        Event::Apply(node) => {
            since.entry(name(&node)).or_insert(now);
            return true;
        }
        // It was uncordoned, or is gone.
        Event::Delete(node) => {
            since.remove(&name(&node));
            return true;
        }
    }
    false
}

fn is_refused(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400..=407))
}

/// Ends the protection of a Pod. If that fails, the next tick retries it.
async fn expose(client: &Client, pod: &Exposed) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.key.namespace);
    let patch = Patch::Merge(json!({"metadata": {"uid": pod.uid, "labels": {names::PROTECTED: null}}}));
    let done = tokio::time::timeout(TICK, api.patch(&pod.key.instance_name(), &PatchParams::default(), &patch)).await;
    let (worker, after) = (&pod.key.worker, Period::from(pod.after));
    match done {
        Ok(Ok(_)) => tracing::info!(
            namespace = pod.key.namespace,
            %worker,
            "the worker is no longer protected from eviction: its node has been cordoned for {after} (spec.drainTimeout)"
        ),
        Ok(Err(error)) => tracing::warn!(%worker, %error, "the protection from eviction cannot be ended yet"),
        Err(_) => tracing::warn!(%worker, "the protection from eviction cannot be ended yet: no answer"),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectMeta;

    use super::*;
    use crate::api::worker::Handle;
    use crate::runtime::pod::seen::Extra;
    use crate::runtime::{Exit, Instance, InstanceKey, InstanceState, LOCAL_HOST};

    fn node(name: &str) -> PartialObjectMeta<Node> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        PartialObjectMeta { metadata, ..PartialObjectMeta::default() }
    }

    fn put(seen: &Seen, worker: &str, node: &str, state: InstanceState) -> InstanceState {
        let key = InstanceKey { namespace: "n".into(), worker: worker.into(), uid: worker.into() };
        let handle = Handle { id: format!("pod-{worker}"), started: String::new(), engine: None };
        let instance = Instance { key, host: LOCAL_HOST.into(), own: true, handle, state };
        let protected_for = Some(Duration::from_secs(60));
        seen.put(instance, Extra { node: Some(seen.node(node)), protected_for, hollow: None }).state
    }

    #[tokio::test(start_paused = true)]
    async fn pods_leave_the_nodes_that_are_cordoned_and_their_protection_ends() {
        let (seen, mut since, mut listing) = (Seen::default(), BTreeMap::new(), BTreeMap::new());
        let clock = SystemClock::new();
        let mut tell = |event| take(event, clock.mono(), &mut since, &mut listing).then(|| since.clone());
        put(&seen, "a", "one", InstanceState::Running);
        put(&seen, "b", "two", InstanceState::Running);
        put(&seen, "c", "one", InstanceState::Exited(Exit::default()));
        assert!(tell(Event::Init).is_none());
        let now = tell(Event::InitDone).unwrap();
        assert!(seen.cordon(now.keys().cloned().collect()).is_empty());
        let now = tell(Event::Apply(node("one"))).unwrap();
        let leaving = InstanceState::Leaving("its node one is cordoned".to_owned());
        let changed = seen.cordon(now.keys().cloned().collect());
        assert_eq!(changed.iter().map(|i| (i.key.worker.as_str(), &i.state)).collect::<Vec<_>>(), [("a", &leaving)]);
        assert_eq!(put(&seen, "d", "one", InstanceState::Starting), leaving, "one that comes later leaves as well");
        let exposed = |since: &BTreeMap<Arc<str>, Duration>| {
            let cordoned =
                since.iter().map(|(node, since)| (node.clone(), clock.mono().saturating_sub(*since))).collect();
            seen.exposed(&cordoned).into_iter().map(|e| e.uid).collect::<Vec<_>>()
        };
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(exposed(&now).is_empty());
        // Listing the nodes again does not begin its time anew.
        tell(Event::Init);
        tell(Event::InitApply(node("one")));
        let now = tell(Event::InitDone).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(exposed(&now), ["pod-a", "pod-c", "pod-d"]);
        let now = tell(Event::Delete(node("one"))).unwrap();
        let back = seen.cordon(now.keys().cloned().collect());
        assert!(back.iter().all(|i| !matches!(i.state, InstanceState::Leaving(_))), "{back:?}");
        assert_eq!((back.len(), exposed(&now).len()), (2, 0));
    }
}
