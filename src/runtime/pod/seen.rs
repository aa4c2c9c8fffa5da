//! What the watch on Pods showed last: enough to answer a check without a request. Small: of a Pod an [`Instance`] is kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::runtime::{Instance, InstanceKey, RuntimeError};

/// What is known, shared by the watch and those who ask.
#[derive(Default)]
pub(super) struct Seen(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Watches that have listed and run.
    live: usize,
    pods: BTreeMap<InstanceKey, Pod>,
    waiting: BTreeMap<InstanceKey, Vec<oneshot::Sender<()>>>,
}

struct Pod {
    instance: Instance,
    hollow: Option<String>,
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

    /// A Pod as it is now.
    pub fn put(&self, instance: Instance, hollow: Option<String>) {
        self.lock().pods.insert(instance.key.clone(), Pod { instance, hollow });
    }

    /// A Pod is gone.
    pub fn remove(&self, key: &InstanceKey) {
        let mut inner = self.lock();
        inner.pods.remove(key);
        // Who waits asks the API server once more; that nobody waits any more is no matter.
        for waiting in inner.waiting.remove(key).into_iter().flatten() {
            let _ = waiting.send(());
        }
    }

    /// Only these are there.
    pub fn keep(&self, keys: &std::collections::BTreeSet<InstanceKey>) {
        let gone: Vec<InstanceKey> = self.lock().pods.keys().filter(|k| !keys.contains(k)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// As it was last seen, however long ago.
    pub fn get(&self, key: &InstanceKey) -> Option<Instance> {
        self.lock().pods.get(key).map(|p| p.instance.clone())
    }

    /// What a check finds, if the watch can answer for it.
    pub fn checked(&self, key: &InstanceKey) -> Option<Result<Instance, RuntimeError>> {
        let inner = self.lock();
        let pod = inner.pods.get(key).filter(|_| inner.live > 0)?;
        Some(match &pod.hollow {
            Some(why) => Err(RuntimeError::Refused(why.clone())),
            None => Ok(pod.instance.clone()),
        })
    }

    /// Resolves when the watch shows that a Pod is gone. Never, without a watch.
    pub fn gone(&self, key: &InstanceKey) -> impl Future<Output = ()> + use<> {
        let (sender, receiver) = oneshot::channel();
        self.lock().waiting.entry(key.clone()).or_default().push(sender);
        async {
            let _ = receiver.await;
        }
    }
}
