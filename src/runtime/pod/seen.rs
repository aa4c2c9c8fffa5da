//! What the watch on Pods showed last: enough to answer a check without a request. Of a Pod, only the content of an [`Instance`] is
//! stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    state: InstanceState,
    hollow: Option<Box<str>>,
}

impl Pod {
    fn instance(&self, key: &InstanceKey) -> Instance {
        let (handle, state) = (self.handle.clone(), self.state.clone());
        Instance { key: key.clone(), host: LOCAL_HOST.to_owned(), own: self.own, handle, state }
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

    /// A Pod as it is now.
    pub fn put(&self, instance: Instance, hollow: Option<String>) {
        let Instance { key, host: _, own, handle, state } = instance;
        self.lock().pods.insert(key, Pod { own, handle, state, hollow: hollow.map(Into::into) });
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
        self.lock().pods.get_key_value(key).map(|(key, pod)| pod.instance(key))
    }

    /// What a check finds, if the watch can answer for it.
    pub fn checked(&self, key: &InstanceKey) -> Option<Result<Instance, RuntimeError>> {
        let inner = self.lock();
        let (key, pod) = inner.pods.get_key_value(key).filter(|_| inner.live > 0)?;
        Some(match &pod.hollow {
            Some(why) => Err(RuntimeError::Refused(why.to_string())),
            None => Ok(pod.instance(key)),
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
