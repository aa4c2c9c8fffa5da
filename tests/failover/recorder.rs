//! Writes down every version of everything in a namespace, as watches on the API server show it.
//!
//! A watch of the API server leaves nothing out, unless it has to be begun anew (410, as after a restart of the server).
//! Then what was missed is read from etcd, if that can be reached; else [`Recorder::holes`] says so. Events are only listed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject, ListParams, ObjectList, WatchEvent, WatchParams};
use kube::{Api, Client};
use poolkeeper::api::GROUP;
use poolkeeper::local::{Change, Record, Resource};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::etcd::Etcd;
use poolkeeper_testkit::cluster::client_that_tries_again;

/// The API server ends a watch after so long, in seconds, and it is begun anew where it ended.
const WATCH: u32 = 10;
/// A request that takes longer is abandoned and retried: a recorder that hangs would be taken for a controller that does.
const PATIENCE: Duration = Duration::from_secs(15);

/// Group, version, kind, plural.
pub type Kind = (&'static str, &'static str, &'static str, &'static str);

/// What is recorded.
pub const KINDS: [Kind; 6] = [
    (GROUP, "v1alpha1", "ContainerPool", "containerpools"),
    (GROUP, "v1alpha1", "Worker", "workers"),
    (GROUP, "v1alpha1", "Dispatch", "dispatches"),
    ("", "v1", "Pod", "pods"),
    ("coordination.k8s.io", "v1", "Lease", "leases"),
    ("events.k8s.io", "v1", "Event", "events"),
];

/// One version, and when it was seen.
pub type Seen = (Record, Duration);

#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

pub struct Inner {
    pub client: Client,
    eager: Client,
    pub namespace: String,
    pub start: Instant,
    records: Mutex<BTreeMap<u64, Seen>>,
    /// The newest version of what there is, by plural and uid.
    now: Mutex<BTreeMap<(String, String), Arc<Value>>>,
    listeners: Mutex<Vec<mpsc::UnboundedSender<Record>>>,
    newest: watch::Sender<u64>,
    holes: Mutex<Vec<String>>,
    relists: Mutex<Vec<String>>,
    /// What each watch is about, by plural, since when, and what went wrong last.
    watches: Mutex<BTreeMap<&'static str, (String, Duration, String)>>,
    etcd: Option<Etcd>,
}

impl std::ops::Deref for Recorder {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Recorder {
    /// Returns when everything is watched.
    pub async fn start(client: &Client, namespace: &str) -> Self {
        // The client's own pauses grow for as long as a server is away, to minutes.
        let eager = client_that_tries_again(false).await.unwrap();
        let this = Self(Arc::new(Inner {
            client: client.clone(),
            eager,
            namespace: namespace.to_owned(),
            start: Instant::now(),
            records: Mutex::default(),
            now: Mutex::default(),
            listeners: Mutex::default(),
            newest: watch::channel(0).0,
            holes: Mutex::default(),
            relists: Mutex::default(),
            watches: Mutex::default(),
            etcd: Etcd::from_env(),
        }));
        for kind in KINDS {
            let rv = this.relist(kind, None).await;
            tokio::spawn(this.clone().follow(kind, rv));
        }
        this
    }

    pub fn api(&self, (group, version, kind, plural): Kind) -> Api<DynamicObject> {
        let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
        Api::namespaced_with(self.eager.clone(), &self.namespace, &ApiResource::from_gvk_with_plural(&gvk, plural))
    }

    async fn follow(self, kind: Kind, mut rv: u64) {
        let api = self.api(kind);
        loop {
            self.says(kind, format!("begins a watch from {rv}"));
            let (params, from) = (WatchParams::default().timeout(WATCH), rv.to_string());
            let mut events = match timeout(PATIENCE, api.watch(&params, &from)).await {
                Ok(Ok(events)) => events.boxed(),
                Ok(Err(kube::Error::Api(status))) if status.code == 410 => {
                    rv = self.relist(kind, Some(rv)).await;
                    continue;
                }
                failed => {
                    self.pause(kind, format!("{:?}", failed.map(Result::err))).await;
                    continue;
                }
            };
            self.says(kind, format!("watches from {rv}"));
            loop {
                let (change, object) = match timeout(PATIENCE, events.next()).await {
                    Ok(Some(Ok(WatchEvent::Added(o)))) => (Change::Added, o),
                    Ok(Some(Ok(WatchEvent::Modified(o)))) => (Change::Modified, o),
                    Ok(Some(Ok(WatchEvent::Deleted(o)))) => (Change::Deleted, o),
                    Ok(None) => break,
                    Ok(Some(Ok(WatchEvent::Bookmark(b)))) => {
                        rv = rv.max(b.metadata.resource_version.parse().unwrap());
                        continue;
                    }
                    Ok(Some(Ok(WatchEvent::Error(status)))) if status.code == 410 => {
                        rv = self.relist(kind, Some(rv)).await;
                        break;
                    }
                    other => {
                        self.pause(kind, format!("{other:?}")).await;
                        break;
                    }
                };
                rv = self.take(kind, change, serde_json::to_value(object).unwrap());
            }
        }
    }

    fn says(&self, (_, _, _, plural): Kind, what: String) {
        let mut watches = self.watches.lock().unwrap();
        let watch = watches.entry(plural).or_default();
        (watch.0, watch.1) = (what, self.start.elapsed());
    }

    /// Says what went wrong, and waits before the retry.
    async fn pause(&self, kind: Kind, why: String) {
        self.says(kind, "pauses".to_owned());
        self.watches.lock().unwrap().entry(kind.3).or_default().2 = why;
        sleep(Duration::from_millis(50)).await;
    }

    /// What each watch is about.
    pub fn watches(&self) -> String {
        format!("{:?} at {:?}", self.watches.lock().unwrap(), self.start.elapsed())
    }

    /// Records one version.
    fn take(&self, (group, _, _, plural): Kind, change: Change, mut object: Value) -> u64 {
        let metadata = &mut object["metadata"];
        metadata.as_object_mut().unwrap().remove("managedFields");
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let (name, uid, rv) = (text("name"), text("uid"), text("resourceVersion").parse().unwrap());
        let object = Arc::new(object);
        let record = Record {
            resource_version: rv,
            time: jiff::Timestamp::now(),
            change,
            resource: Resource { group: group.to_owned(), plural: plural.to_owned() },
            namespace: Some(self.namespace.clone()),
            name,
            uid: uid.clone(),
            object: object.clone(),
            unsettled: false,
        };
        match self.records.lock().unwrap().entry(rv) {
            Entry::Occupied(_) => return rv,
            Entry::Vacant(free) => free.insert((record.clone(), self.start.elapsed())),
        };
        let key = (plural.to_owned(), uid);
        if change == Change::Deleted {
            self.now.lock().unwrap().remove(&key);
        } else {
            self.now.lock().unwrap().insert(key, object);
        }
        // Before it is passed on: what a holder does because of this version comes after it.
        self.newest.send_if_modified(|n| std::mem::replace(n, rv.max(*n)) < rv);
        self.listeners.lock().unwrap().retain(|l| l.send(record.clone()).is_ok());
        rv
    }

    /// The objects of a kind; retries until there is an answer.
    async fn list(&self, kind: Kind) -> ObjectList<DynamicObject> {
        loop {
            match timeout(PATIENCE, self.api(kind).list(&ListParams::default())).await {
                Ok(Ok(list)) => return list,
                failed => self.pause(kind, format!("{:?}", failed.map(Result::err))).await,
            }
        }
    }

    /// Lists, and makes up for what was missed since `last`. Gives the version to watch from.
    async fn relist(&self, kind: Kind, last: Option<u64>) -> u64 {
        self.says(kind, "lists".to_owned());
        let list = self.list(kind).await;
        let rv: u64 = list.metadata.resource_version.as_ref().unwrap().parse().unwrap();
        let items: Vec<Value> = list.items.iter().map(|o| serde_json::to_value(o).unwrap()).collect();
        let Some(last) = last else {
            for object in items {
                self.take(kind, Change::Added, object);
            }
            return rv;
        };
        let (group, _, _, plural) = kind;
        self.relists.lock().unwrap().push(format!("{plural} after {last}"));
        let missed = match &self.etcd {
            // Stored as another group's.
            Some(etcd) if plural != "events" => etcd.changes(group, plural, &self.namespace, last + 1, rv).await,
            _ => None,
        };
        if missed.is_none() && group == GROUP {
            self.holes.lock().unwrap().push(format!("{plural} between {last} and {rv}"));
        }
        for (change, object) in missed.into_iter().flatten() {
            self.take(kind, change, object);
        }
        // What etcd has reported is in the records already.
        let there: Vec<&str> = items.iter().filter_map(|o| o["metadata"]["uid"].as_str()).collect();
        let gone: Vec<Arc<Value>> = {
            let now = self.now.lock().unwrap();
            let of_kind = now.iter().filter(|((p, uid), _)| p == plural && !there.contains(&uid.as_str()));
            of_kind.map(|(_, o)| o.clone()).collect()
        };
        for object in gone {
            let mut object = (*object).clone();
            // A number that no write of this namespace's objects has.
            let free = (last + 1..=rv).rev().find(|n| !self.records.lock().unwrap().contains_key(n)).unwrap_or(rv);
            object["metadata"]["resourceVersion"] = Value::from(free.to_string());
            self.take(kind, Change::Deleted, object);
        }
        for object in items {
            let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            let known = self.now.lock().unwrap().contains_key(&(plural.to_owned(), uid));
            self.take(kind, if known { Change::Modified } else { Change::Added }, object);
        }
        rv
    }

    /// Waits until all is recorded that there is at the time of the call. Tells what is not, after the time.
    pub async fn catch_up(&self, limit: Duration) -> Vec<String> {
        let began = Instant::now();
        let mut lists = Vec::new();
        for kind in KINDS {
            match timeout(limit, self.list(kind)).await {
                Ok(list) => lists.push((kind.3, list)),
                Err(_) => return vec![format!("{} cannot be listed", kind.3)],
            }
        }
        loop {
            let missing: Vec<String> = lists.iter().flat_map(|(plural, list)| self.missing(plural, list)).collect();
            if missing.is_empty() || began.elapsed() > limit {
                return missing;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What a list tells that was not recorded.
    fn missing(&self, plural: &str, list: &ObjectList<DynamicObject>) -> Vec<String> {
        let version = |text: Option<&String>| text.and_then(|t| t.parse::<u64>().ok()).unwrap_or_default();
        let at = version(list.metadata.resource_version.as_ref());
        let there: BTreeSet<&str> = list.items.iter().filter_map(|o| o.metadata.uid.as_deref()).collect();
        let records = self.records.lock().unwrap();
        let versions =
            list.items.iter().filter(|o| !records.contains_key(&version(o.metadata.resource_version.as_ref())));
        let mut missing: Vec<String> =
            versions.map(|o| format!("a version of {plural} {:?}", o.metadata.name)).collect();
        let now = self.now.lock().unwrap();
        let gone = now.iter().filter(|((p, uid), o)| {
            let rv = o["metadata"]["resourceVersion"].as_str().and_then(|t| t.parse::<u64>().ok()).unwrap_or_default();
            p == plural && rv <= at && !there.contains(uid.as_str())
        });
        missing.extend(gone.map(|(_, o)| format!("the end of {plural} {}", o["metadata"]["name"])));
        missing
    }

    /// Every version from now on, as it is seen.
    pub fn listen(&self) -> mpsc::UnboundedReceiver<Record> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners.lock().unwrap().push(sender);
        receiver
    }

    /// The newest write that was seen.
    pub fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// The version of the newest record of such a kind.
    pub fn last(&self, counts: impl Fn(&Record) -> bool) -> Option<u64> {
        let records = self.records.lock().unwrap();
        records.iter().rev().find(|(_, (record, _))| counts(record)).map(|(version, _)| *version)
    }

    pub fn records(&self) -> Vec<Seen> {
        self.records.lock().unwrap().values().cloned().collect()
    }

    /// What there is now of a kind.
    pub fn all<K: serde::de::DeserializeOwned>(&self, plural: &str) -> Vec<K> {
        let now = self.now.lock().unwrap();
        let of_kind = now.iter().filter(|((p, _), _)| p == plural);
        of_kind.map(|(_, o)| serde_json::from_value((**o).clone()).unwrap()).collect()
    }

    /// Waits until what there is meets a condition, looking at every write. False: not within the time.
    pub async fn until(&self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let mut newest = self.newest.subscribe();
        let wait = async {
            while !condition(self) {
                let _ = tokio::time::timeout(Duration::from_secs(1), newest.changed()).await;
                // Not for each of a burst.
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Where versions are missing.
    pub fn holes(&self) -> Vec<String> {
        self.holes.lock().unwrap().clone()
    }

    /// Where a watch had to be begun anew.
    pub fn relists(&self) -> Vec<String> {
        self.relists.lock().unwrap().clone()
    }
}
