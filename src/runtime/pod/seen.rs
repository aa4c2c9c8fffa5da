//! What the watch on Pods showed last: enough to answer a check without a request. Of a Pod, only the content of an [`Instance`] is
//! stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::api::worker::Handle;
use crate::runtime::{Instance, InstanceKey, InstanceState, LOCAL_HOST, RuntimeError};

/// What is known, shared by the watch and its readers.
#[derive(Default)]
pub(super) struct Seen(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Watches that have listed and run.
    live: usize,
    /// Nodes that are cordoned.
    cordoned: BTreeSet<Arc<str>>,
    pods: BTreeMap<InstanceKey, Pod>,
    /// Only of Pods whose end is awaited: otherwise there would soon be one for each Pod that ever existed.
    waiting: BTreeMap<InstanceKey, Waiting>,
}

struct Waiting {
    waiters: usize,
    gone: watch::Sender<()>,
}

/// The end of a Pod is awaited. See [`Seen::going`].
pub(super) struct Going<'a> {
    seen: &'a Seen,
    key: &'a InstanceKey,
    gone: watch::Receiver<()>,
}

impl Going<'_> {
    /// Resolves when the watch shows that the Pod is gone, or did since this resolved last. Never, without a watch.
    pub async fn notified(&mut self) {
        // The other end is there as long as this one.
        let _ = self.gone.changed().await;
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let mut inner = self.seen.lock();
        if let Some(waiting) = inner.waiting.get_mut(self.key) {
            waiting.waiters -= 1;
            if waiting.waiters == 0 {
                inner.waiting.remove(self.key);
            }
        }
    }
}

/// What is known of a Pod, except its owner.
struct Pod {
    own: bool,
    handle: Handle,
    /// As it is, whatever becomes of its node.
    state: InstanceState,
    extra: Extra,
}

/// What is known of a Pod and is no part of an [`Instance`].
#[derive(Default)]
pub(super) struct Extra {
    /// Why it will never take a task again, although it has not ended.
    pub hollow: Option<String>,
    /// Its node.
    pub node: Option<Arc<str>>,
    /// For how long it is protected from eviction once its node is cordoned.
    pub protected_for: Option<Duration>,
}

/// A Pod whose protection from eviction is over.
pub(super) struct Exposed {
    /// Whose it is.
    pub key: InstanceKey,
    /// Uid of the Pod.
    pub uid: String,
    /// How long it was protected after its node was cordoned.
    pub after: Duration,
}

impl Inner {
    /// A Pod on a cordoned node is leaving it, unless it has ended.
    fn instance(&self, key: &InstanceKey, pod: &Pod) -> Instance {
        let handle = pod.handle.clone();
        let state = match pod.extra.node.as_ref().filter(|node| self.cordoned.contains(*node)) {
            Some(node) if !matches!(pod.state, InstanceState::Exited(_)) => {
                InstanceState::Leaving(format!("its node {node} is cordoned"))
            }
            _ => pod.state.clone(),
        };
        Instance { key: key.clone(), host: LOCAL_HOST.to_owned(), own: pod.own, handle, state }
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch runs, from here to [`Seen::lost`].
    pub fn live(&self) {
        self.lock().live += 1;
    }

    /// A watch is no more.
    pub fn lost(&self) {
        let mut inner = self.lock();
        inner.live = inner.live.saturating_sub(1);
    }

    /// A Pod as it is now. Returns the instance that it is on its node.
    pub fn put(&self, instance: Instance, extra: Extra) -> Instance {
        let Instance { key, host: _, own, handle, state } = instance;
        let (mut inner, pod) = (self.lock(), Pod { own, handle, state, extra });
        let now = inner.instance(&key, &pod);
        inner.pods.insert(key, pod);
        now
    }

    /// The name of a node, as other Pods on it have it.
    pub fn node(&self, name: &str) -> Arc<str> {
        // Only cordoned nodes are shared: of the others the name is all that is known.
        self.lock().cordoned.get(name).cloned().unwrap_or_else(|| name.into())
    }

    /// These nodes are cordoned, and no others. Returns the instances that are other ones by that.
    pub fn cordon(&self, nodes: BTreeSet<Arc<str>>) -> Vec<Instance> {
        let mut inner = self.lock();
        let before = std::mem::replace(&mut inner.cordoned, nodes);
        let other: BTreeSet<Arc<str>> = before.symmetric_difference(&inner.cordoned).cloned().collect();
        let on_it = |pod: &&Pod| pod.extra.node.as_ref().is_some_and(|node| other.contains(node));
        let live = |pod: &&Pod| !matches!(pod.state, InstanceState::Exited(_));
        let pods = inner.pods.iter().filter(|(_, pod)| on_it(pod) && live(pod));
        pods.map(|(key, pod)| inner.instance(key, pod)).collect()
    }

    /// Pods whose protection is over. `cordoned`: how long each node has been cordoned.
    pub fn exposed(&self, cordoned: &BTreeMap<Arc<str>, Duration>) -> Vec<Exposed> {
        let inner = self.lock();
        let over = |(key, pod): (&InstanceKey, &Pod)| {
            let (node, after) = (pod.extra.node.as_ref()?, pod.extra.protected_for?);
            let uid = pod.handle.id.clone();
            (*cordoned.get(node)? >= after).then(|| Exposed { key: key.clone(), uid, after })
        };
        inner.pods.iter().filter_map(over).collect()
    }

    /// A Pod is gone.
    pub fn remove(&self, key: &InstanceKey) {
        let mut inner = self.lock();
        inner.pods.remove(key);
        // The waiting stop asks the API server once more.
        if let Some(waiting) = inner.waiting.get(key) {
            waiting.gone.send_replace(());
        }
    }

    /// Only these are there.
    pub fn keep(&self, keys: &BTreeSet<&InstanceKey>) {
        let gone: Vec<InstanceKey> = self.lock().pods.keys().filter(|k| !keys.contains(k)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// As it was last seen, however long ago.
    pub fn get(&self, key: &InstanceKey) -> Option<Instance> {
        let inner = self.lock();
        inner.pods.get_key_value(key).map(|(key, pod)| inner.instance(key, pod))
    }

    /// What a check finds, if the watch can answer for it.
    pub fn checked(&self, key: &InstanceKey) -> Option<Result<Instance, RuntimeError>> {
        let inner = self.lock();
        let (key, pod) = inner.pods.get_key_value(key).filter(|_| inner.live > 0)?;
        Some(match &pod.extra.hollow {
            Some(why) => Err(RuntimeError::Refused(why.clone())),
            None => Ok(inner.instance(key, pod)),
        })
    }

    /// Waits for a Pod to go, from here until it is dropped.
    pub fn going<'a>(&'a self, key: &'a InstanceKey) -> Going<'a> {
        let mut inner = self.lock();
        let new = || Waiting { waiters: 0, gone: watch::Sender::new(()) };
        let waiting = inner.waiting.entry(key.clone()).or_insert_with(new);
        waiting.waiters += 1;
        Going { seen: self, key, gone: waiting.gone.subscribe() }
    }

    /// How many Pods' ends are awaited.
    #[cfg(test)]
    pub fn waited_for(&self) -> usize {
        self.lock().waiting.len()
    }
}
