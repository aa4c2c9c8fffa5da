//! Commits: what a store gets as one batch, what a failed one leaves, and which requests wait for a slow one.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use poolkeeper::clock::{Ids, SystemClock};
use poolkeeper::local::{Change, History, LocalApi, Options, Record, Store, StoreError};
use poolkeeper_testkit::gadget::*;
use serde_json::json;
use tokio::sync::Semaphore;

/// Counts the batches, and fails those that it is asked to fail.
#[derive(Clone, Default)]
struct Faulty {
    batches: Arc<Mutex<Vec<Vec<Record>>>>,
    calls: Arc<AtomicU64>,
    /// The number of the call that fails; 0: none.
    fails: Arc<AtomicU64>,
}

#[async_trait]
impl Store for Faulty {
    async fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("no space left on device".into()));
        }
        self.batches.lock().unwrap().push(batch.to_vec());
        Ok(())
    }
}

impl Faulty {
    fn fail_next(&self) {
        self.fails.store(self.calls.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
    }

    fn last(&self) -> Vec<(Change, String)> {
        let batches = self.batches.lock().unwrap();
        batches.last().unwrap().iter().map(|r| (r.change, r.name.clone())).collect()
    }
}

/// Commits when it gets a permit.
struct Slow(Arc<Semaphore>);

/// A store that answers when it has a permit, and counts the changes of each batch.
#[derive(Clone)]
struct Held {
    permits: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<usize>>>,
    fails: Arc<AtomicU64>,
}

#[async_trait]
impl Store for Held {
    async fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.batches.lock().unwrap().push(batch.len());
        self.permits.acquire().await.map_err(|e| StoreError::Failed(e.into()))?.forget();
        match self.fails.swap(0, Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err(StoreError::Failed("no space left on device".into())),
        }
    }
}

impl Held {
    fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), batches: Arc::default(), fails: Arc::default() }
    }

    fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().clone()
    }
}

/// Until every task that can go on has.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Store for Slow {
    async fn commit(&mut self, _: &[Record]) -> Result<(), StoreError> {
        self.0.acquire().await.map_err(|e| StoreError::Failed(e.into()))?.forget();
        Ok(())
    }
}

/// Panics in the first commit, after its caller has begun to wait.
struct Panics;

#[async_trait]
impl Store for Panics {
    async fn commit(&mut self, _: &[Record]) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        panic!("the disk is on fire")
    }
}

fn server(store: impl Store) -> (Subject, LocalApi) {
    let (clock, ids) = (Arc::new(SystemClock::new()), Ids::seeded(1));
    let api = LocalApi::with_store(Options { crds: crds(), clock, ids, history: History::Full }, store).unwrap();
    let namespace = "test-local".to_owned();
    (Subject { client: api.client(&namespace), namespace, local: Some(api.clone()) }, api)
}

/// What the record says of each write, except what differs from run to run.
fn story(api: &LocalApi) -> Vec<(u64, Change, String)> {
    api.history().into_iter().map(|r| (r.resource_version, r.change, r.name)).collect()
}

fn owned(name: &str, owners: &[&DynamicObject]) -> DynamicObject {
    let mut object = gadget(name, json!({"max": 5}));
    let reference = |o: &&DynamicObject| {
        let (name, uid) = (o.metadata.name.as_deref(), o.metadata.uid.as_deref());
        serde_json::from_value(json!({"apiVersion": GROUP_VERSION, "kind": "Gadget", "name": name, "uid": uid}))
            .unwrap()
    };
    object.metadata.owner_references = Some(owners.iter().map(reference).collect());
    object
}

const GROUP_VERSION: &str = "test.poolkeeper.dev/v1";

#[tokio::test]
async fn a_failed_commit_leaves_no_trace() {
    let store = Faulty::default();
    let (env, api) = server(store.clone());
    env.create("a", json!({"max": 5})).await;
    let mut watch = env.gadgets().watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
    let (before, revision) = (story(&api), api.revision());

    let message = "Internal error occurred: the store did not commit: no space left on device";
    store.fail_next();
    expect_status(env.try_create("b", json!({"max": 5})).await, 500, "InternalError", message);
    assert!(env.gadgets().get_opt("b").await.unwrap().is_none());
    store.fail_next();
    expect_status(env.merge("a", json!({"spec": {"max": 6}})).await, 500, "InternalError", message);
    assert_eq!(env.get("a").await["spec"]["max"], 5);
    store.fail_next();
    expect_status(env.gadgets().delete("a", &DeleteParams::default()).await, 500, "InternalError", message);
    assert_eq!(env.gadgets().list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert_eq!((story(&api), api.revision()), (before, revision));
    assert!(watch.next().now_or_never().is_none(), "a watch saw what was not committed");

    // The next request works and takes the version that was not used.
    let c = env.create("c", json!({"max": 5})).await;
    assert_eq!(c["metadata"]["resourceVersion"], (revision + 1).to_string());
    let Some(Ok(WatchEvent::Added(seen))) = watch.next().await else { panic!("expected an object") };
    assert_eq!(seen.metadata.name.as_deref(), Some("c"));
}

#[tokio::test]
async fn a_delete_and_its_garbage_collection_are_one_commit() {
    let store = Faulty::default();
    let (env, api) = server(store.clone());
    let gadgets = env.gadgets();
    let (a, b) =
        (env.try_create("a", json!({"max": 5})).await.unwrap(), env.try_create("b", json!({"max": 5})).await.unwrap());
    let mine = gadgets.create(&Default::default(), &owned("mine", &[&a])).await.unwrap();
    gadgets.create(&Default::default(), &owned("shared", &[&a, &b])).await.unwrap();
    gadgets.create(&Default::default(), &owned("below", &[&mine])).await.unwrap();
    let mut held = owned("held", &[&a]);
    held.metadata.finalizers = Some(vec!["test.poolkeeper.dev/f".into()]);
    gadgets.create(&Default::default(), &held).await.unwrap();
    let (before, batches) = (story(&api), store.batches.lock().unwrap().len());

    store.fail_next();
    assert_eq!(refused(gadgets.delete("a", &DeleteParams::default()).await).code, 500);
    assert_eq!(story(&api), before);
    for name in ["a", "mine", "below", "shared"] {
        assert!(gadgets.get_opt(name).await.unwrap().is_some(), "{name} is gone with a delete that failed");
    }
    assert!(gadgets.get("held").await.unwrap().metadata.deletion_timestamp.is_none());

    gadgets.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(store.batches.lock().unwrap().len(), batches + 1);
    let expected = [
        (Change::Deleted, "a"),
        (Change::Modified, "held"),
        (Change::Deleted, "mine"),
        (Change::Deleted, "below"),
        (Change::Modified, "shared"),
    ];
    assert_eq!(store.last(), expected.map(|(change, name)| (change, name.to_owned())));
    // Each object has a version of its own.
    let versions: Vec<u64> = story(&api)[before.len()..].iter().map(|(version, ..)| *version).collect();
    let first = before[before.len() - 1].0 + 1;
    assert_eq!(versions, (first..first + 5).collect::<Vec<_>>());
    assert_eq!(gadgets.get("shared").await.unwrap().metadata.owner_references.map(|o| o.len()), Some(1));
}

/// What a client does that retries what failed.
async fn script(env: &Subject) {
    async fn retried<T>(mut request: impl AsyncFnMut() -> kube::Result<T>) -> T {
        match request().await {
            Err(kube::Error::Api(status)) if status.code == 500 => request().await.unwrap(),
            answer => answer.unwrap(),
        }
    }
    let gadgets = env.gadgets();
    let a = retried(async || env.try_create("a", json!({"max": 5})).await).await;
    retried(async || gadgets.create(&Default::default(), &owned("mine", &[&a])).await).await;
    retried(async || env.merge_status("a", json!({"status": {"phase": "Done"}})).await).await;
    let finalizers = json!({"metadata": {"finalizers": ["test.poolkeeper.dev/f"]}});
    retried(async || gadgets.patch("a", &PatchParams::default(), &Patch::Merge(&finalizers)).await).await;
    retried(async || gadgets.delete("a", &DeleteParams::default()).await).await;
    retried(async || env.merge("a", json!({"metadata": {"finalizers": null}})).await).await;
    retried(async || env.try_create("a", json!({"max": 7})).await).await;
    retried(async || gadgets.delete_collection(&DeleteParams::default(), &ListParams::default()).await).await;
}

#[tokio::test]
async fn whichever_commit_fails_a_retry_ends_the_same() {
    let store = Faulty::default();
    let (env, api) = server(store.clone());
    script(&env).await;
    let (expected, calls) = (story(&api), store.calls.load(Ordering::SeqCst));
    assert_eq!(calls, 8);
    for nth in 1..=calls {
        let store = Faulty::default();
        store.fails.store(nth, Ordering::SeqCst);
        let (env, api) = server(store.clone());
        script(&env).await;
        assert_eq!(story(&api), expected, "call {nth} failed");
        assert_eq!(store.calls.load(Ordering::SeqCst), calls + 1);
    }
}

/// On one thread and with a paused clock: whatever waited for the store would wait for ever.
#[tokio::test(start_paused = true)]
async fn nobody_but_writers_waits_for_a_slow_commit() {
    let permits = Arc::new(Semaphore::new(1));
    let (env, api) = server(Slow(Arc::clone(&permits)));
    env.create("a", json!({"max": 5})).await;
    let mut watch = env.gadgets().watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
    let second = Duration::from_secs(1);

    let client = env.clone();
    let first = tokio::spawn(async move { client.try_create("b", json!({"max": 5})).await });
    let client = env.clone();
    let next = tokio::spawn(async move { client.try_create("c", json!({"max": 5})).await });
    tokio::time::sleep(second).await;
    // Readers go on, and see the last committed state.
    assert_eq!(env.get("a").await["spec"]["max"], 5);
    assert!(env.gadgets().get_opt("b").await.unwrap().is_none());
    assert_eq!(env.gadgets().list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert!(tokio::time::timeout(second, watch.next()).await.is_err(), "a watch saw what was not committed");
    assert_eq!(story(&api).len(), 1);
    // A client that goes away does not stop a commit that has begun.
    first.abort();
    permits.add_permits(2);
    next.await.unwrap().unwrap();
    assert_eq!(story(&api).into_iter().map(|(_, _, name)| name).collect::<Vec<_>>(), ["a", "b", "c"]);
    for name in ["b", "c"] {
        let Some(Ok(WatchEvent::Added(seen))) = watch.next().await else { panic!("expected {name}") };
        assert_eq!(seen.metadata.name.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn after_an_interrupted_commit_nothing_is_written() {
    let (env, api) = server(Panics);
    for _ in 0..2 {
        let message = "Internal error occurred: a commit was interrupted, so it is not known what the store holds: restart the server";
        expect_status(env.try_create("a", json!({"max": 5})).await, 500, "InternalError", message);
        assert!(env.gadgets().get_opt("a").await.unwrap().is_none());
    }
    assert!(story(&api).is_empty());
}

#[tokio::test]
async fn requests_that_come_while_the_store_works_share_a_commit() {
    let store = Held::new();
    let (env, api) = server(store.clone());
    let create = |name: &'static str, max: i64| {
        let env = env.clone();
        tokio::spawn(async move { env.try_create(name, json!({"max": max})).await })
    };
    let first = create("a", 5);
    settle().await;
    let (b, refused, c, again) = (create("b", 5), create("bad", 500), create("c", 5), create("b", 6));
    settle().await;
    // Each of them waits: the refusals too, because one of them is due to what is not durable yet.
    assert!([&first, &b, &refused, &c, &again].iter().all(|task| !task.is_finished()));
    assert_eq!(store.batches(), [1]);
    store.permits.add_permits(2);
    first.await.unwrap().unwrap();
    b.await.unwrap().unwrap();
    c.await.unwrap().unwrap();
    assert_eq!(self::refused(refused.await.unwrap()).code, 422);
    assert_eq!(self::refused(again.await.unwrap()).code, 409);
    assert_eq!(store.batches(), [1, 2], "one commit of two changes: a refused request takes no other with it");
    assert_eq!(story(&api).into_iter().map(|(_, _, name)| name).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[tokio::test]
async fn what_was_decided_over_a_commit_that_fails_fails_with_it() {
    let store = Held::new();
    let (env, api) = server(store.clone());
    let create = |name: &'static str| {
        let env = env.clone();
        tokio::spawn(async move { env.try_create(name, json!({"max": 5})).await })
    };
    let first = create("a");
    settle().await;
    let (again, other) = (create("a"), create("b"));
    settle().await;
    store.fails.store(1, Ordering::SeqCst);
    store.permits.add_permits(1);
    for task in [first, again, other] {
        assert_eq!(refused(task.await.unwrap()).code, 500);
    }
    assert!(story(&api).is_empty());
    assert_eq!(store.batches(), [1]);
    // The next request is decided over nothing but what is committed.
    store.permits.add_permits(2);
    assert_eq!(env.create("a", json!({"max": 5})).await["metadata"]["resourceVersion"], "2");
    assert_eq!(refused(env.try_create("a", json!({"max": 5})).await).code, 409);
}

#[tokio::test]
async fn a_change_and_a_deletion_in_one_commit_leave_nothing_behind() {
    let store = Held::new();
    let (env, api) = server(store.clone());
    store.permits.add_permits(1);
    let owner = env.try_create("owner", json!({"max": 5})).await.unwrap();
    let hold = tokio::spawn({
        let env = env.clone();
        async move { env.try_create("hold", json!({"max": 5})).await }
    });
    settle().await;
    // All of these are decided while nothing of them is committed.
    let tasks = [
        tokio::spawn({
            let (gadgets, dependent) = (env.gadgets(), owned("dependent", &[&owner]));
            async move { gadgets.create(&Default::default(), &dependent).await.map(|_| ()) }
        }),
        tokio::spawn({
            let env = env.clone();
            async move { env.merge("owner", json!({"spec": {"max": 7}})).await.map(|_| ()) }
        }),
        tokio::spawn({
            let gadgets = env.gadgets();
            async move { gadgets.delete("owner", &DeleteParams::default()).await.map(|_| ()) }
        }),
    ];
    settle().await;
    store.permits.add_permits(2);
    hold.await.unwrap().unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    // The dependent was pending when its owner was deleted, and was removed too.
    assert_eq!(store.batches(), [1, 1, 4]);
    let left = env.gadgets().list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.iter().map(|o| o.metadata.name.clone().unwrap()).collect::<Vec<_>>(), ["hold"]);
    let versions: Vec<u64> = story(&api).into_iter().map(|(version, ..)| version).collect();
    assert!(versions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{versions:?}");
}
