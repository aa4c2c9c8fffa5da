//! Instances and hosts, as runtimes report them.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use crate::api::RuntimeKind;
use crate::api::Worker;
use crate::api::worker::Handle;
use crate::core::config::{Config, HostKey};
use crate::core::object::Object;
use crate::runtime::{Exit, InstanceKey, InstanceState, LOCAL_HOST};

/// Host of a Worker.
pub(in crate::core) fn host_of(worker: &Worker) -> HostKey {
    HostKey { runtime: worker.spec.runtime, host: worker.spec.host.clone().unwrap_or_else(|| LOCAL_HOST.to_owned()) }
}

/// That a host is not listed, in words. `why`: those of [`Instances::why_unlisted`]. The Pods of a cluster have no host of their own.
pub(in crate::core) fn unlisted(host: &HostKey, why: &str) -> String {
    match (host.runtime, why) {
        (RuntimeKind::Pod, "") => "the Pods were not listed yet".to_owned(),
        (RuntimeKind::Pod, why) => format!("the Pods cannot be listed: {why}"),
        (runtime, "") => format!("{runtime} host {:?} has not answered yet", host.host),
        (runtime, why) => format!("{runtime} host {:?} cannot be reached: {why}", host.host),
    }
}

/// Key of the one instance of a Worker.
pub(in crate::core) fn instance_key(worker: &Worker) -> InstanceKey {
    let meta = &worker.metadata;
    InstanceKey {
        namespace: meta.namespace.clone().unwrap_or_default(),
        worker: meta.name.clone().unwrap_or_default(),
        uid: worker.uid_str().to_owned(),
    }
}

/// What a runtime reported of an instance. Its key and its host stand in the index and in its entry.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::core) enum InstanceView {
    /// It exists, and runs or is about to.
    There { handle: Handle, state: InstanceState },
    /// Nothing of it runs any more. It may still occupy its name.
    Ended(Exit),
    /// Confirmed gone.
    Gone,
}

impl InstanceView {
    /// True if nothing of it runs any more.
    pub fn is_dead(&self) -> bool {
        !matches!(self, Self::There { .. })
    }
}

/// One instance.
pub(in crate::core) struct InstanceEntry {
    /// Where it is.
    pub host: HostKey,
    /// This installation made it.
    pub own: bool,
    /// What was reported of it.
    pub view: InstanceView,
}

#[derive(Default)]
struct HostEntry {
    /// True from a listing until the host becomes unreachable.
    listed: bool,
    /// True once it was listed.
    known: bool,
    /// Why it is unreachable, in the runtime's words.
    message: String,
}

/// Every instance and host that is known.
pub(in crate::core) struct Instances {
    hosts: BTreeMap<HostKey, HostEntry>,
    known: IndexMap<InstanceKey, InstanceEntry>,
    /// Instances without a Worker: true once a live GET showed that there is none.
    orphans: BTreeMap<InstanceKey, bool>,
    /// Orphans that are being stopped.
    stopping: BTreeSet<InstanceKey>,
}

impl Instances {
    /// None yet, on the hosts that are configured.
    pub fn new(cfg: &Config) -> Self {
        let keys = |(runtime, names): &(RuntimeKind, Vec<String>)| {
            let runtime = *runtime;
            names.iter().map(move |host| HostKey { runtime, host: host.clone() }).collect::<Vec<_>>()
        };
        let hosts = cfg.hosts.iter().flat_map(keys).map(|key| (key, HostEntry::default())).collect();
        Self { hosts, known: IndexMap::new(), orphans: BTreeMap::new(), stopping: BTreeSet::new() }
    }

    /// A host was listed.
    pub fn listed(&mut self, host: &HostKey) {
        self.hosts.insert(host.clone(), HostEntry { listed: true, known: true, message: String::new() });
    }

    /// A host cannot be reached. Nothing is known of it until it is listed again.
    pub fn unreachable(&mut self, host: &HostKey, message: String) {
        let known = self.hosts.get(host).is_some_and(|h| h.known);
        self.hosts.insert(host.clone(), HostEntry { listed: false, known, message });
    }

    /// True from a listing of the host until the host becomes unreachable.
    pub fn is_listed(&self, host: &HostKey) -> bool {
        self.hosts.get(host).is_some_and(|h| h.listed)
    }

    /// True if every host is listed.
    pub fn all_listed(&self) -> bool {
        self.hosts.values().all(|h| h.listed)
    }

    /// A host that has never been listed, of those that concern the caller.
    pub fn never_listed(&self, concerns: impl Fn(&HostKey) -> bool) -> Option<&HostKey> {
        self.hosts.iter().find(|(host, h)| !h.known && concerns(host)).map(|(host, _)| host)
    }

    /// Why a host is not listed, in the runtime's words. `None`: it is.
    pub fn why_unlisted(&self, host: &HostKey) -> Option<&str> {
        self.hosts.get(host).filter(|h| !h.listed).map(|h| h.message.as_str())
    }

    /// One instance.
    pub fn get(&self, key: &InstanceKey) -> Option<&InstanceEntry> {
        self.known.get(key)
    }

    /// The instance of a Worker, as far as it is known.
    pub fn view_of(&self, worker: &Worker) -> Option<&InstanceView> {
        self.known.get(&instance_key(worker)).map(|e| &e.view)
    }

    /// True if the runtime reported that nothing of the Worker's instance runs any more.
    pub fn is_dead(&self, worker: &Worker) -> bool {
        self.view_of(worker).is_some_and(InstanceView::is_dead)
    }

    /// All instances on a host.
    pub fn on_host<'a>(&'a self, host: &'a HostKey) -> impl Iterator<Item = (&'a InstanceKey, &'a InstanceEntry)> {
        self.known.iter().filter(move |(_, e)| e.host == *host)
    }

    /// Records what was reported of an instance.
    pub fn record(&mut self, key: InstanceKey, entry: InstanceEntry) {
        self.known.insert(key, entry);
    }

    /// Forgets an instance that has neither a Worker nor anything that runs.
    pub fn forget(&mut self, key: &InstanceKey) {
        self.known.swap_remove(key);
    }

    /// Whether a live GET showed that an instance has no Worker. `None`: there was no GET.
    pub fn is_orphan(&self, key: &InstanceKey) -> Option<bool> {
        self.orphans.get(key).copied()
    }

    /// A live GET showed whether an instance has a Worker.
    pub fn checked_orphan(&mut self, key: InstanceKey, is_orphan: bool) {
        self.orphans.insert(key, is_orphan);
    }

    /// Another live GET is needed before an instance counts as an orphan.
    pub fn uncheck_orphan(&mut self, key: &InstanceKey) {
        self.orphans.remove(key);
    }

    /// Orphans, and candidates, with this uid.
    pub fn orphans_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a InstanceKey> {
        self.orphans.keys().filter(move |k| k.uid == uid)
    }

    /// A stop of an orphan begins. False: one is under way.
    pub fn begin_stop(&mut self, key: &InstanceKey) -> bool {
        self.stopping.insert(key.clone())
    }

    /// An order about an orphan ended.
    pub fn end_stop(&mut self, key: &InstanceKey) {
        self.orphans.remove(key);
        self.stopping.remove(key);
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.hosts.len() + self.known.len() + self.orphans.len() + self.stopping.len()
    }

    /// Instances, and candidates for orphans.
    #[cfg(test)]
    pub fn sizes(&self) -> (usize, usize) {
        (self.known.len(), self.orphans.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Pod host "local": not reached yet` said nothing to a user of a cluster.
    #[test]
    fn pods_have_no_host_in_words() {
        let says = |runtime, why| unlisted(&HostKey { runtime, host: "a".to_owned() }, why);
        assert_eq!(says(RuntimeKind::Pod, "timeout"), "the Pods cannot be listed: timeout");
        assert_eq!(says(RuntimeKind::Pod, ""), "the Pods were not listed yet");
        assert_eq!(says(RuntimeKind::Docker, "timeout"), "Docker host \"a\" cannot be reached: timeout");
        assert_eq!(says(RuntimeKind::Docker, ""), "Docker host \"a\" has not answered yet");
    }
}
