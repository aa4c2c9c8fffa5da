//! A server that is opened again on its store: every object is as it was, and the past is too old.
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use poolkeeper::clock::{Clock, Ids, SystemClock};
use poolkeeper::local::{DiskCopier, DiskError, DiskStore, History, LocalApi, Options};
use poolkeeper_testkit::gadget::*;
use proptest::prelude::*;
use serde_json::{Value, json};

struct Server {
    env: Subject,
    api: LocalApi,
    copier: DiskCopier,
}

async fn open(path: &Path, seed: u64) -> Server {
    let clock = Arc::new(SystemClock::new());
    let (store, contents) = loop {
        match DiskStore::open(path, clock.now()) {
            // The task of a client that was dropped holds the last server for a moment.
            Err(DiskError::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    let copier = store.copier();
    let options = Options { crds: crds(), clock, ids: Ids::seeded(seed), history: History::Window(1024) };
    let api = LocalApi::restored(options, store, contents).unwrap();
    let namespace = "default".to_owned();
    Server { env: Subject { client: api.client(&namespace), namespace, local: Some(api.clone()) }, api, copier }
}

/// Every object of a server, as clients see it.
async fn all(env: &Subject) -> Vec<Value> {
    let list = env.gadgets().list(&ListParams::default()).await.unwrap();
    list.items.iter().map(|o| serde_json::to_value(o).unwrap()).collect()
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Create(u8, Option<u8>),
    Spec(u8, i64),
    Status(u8, u8),
    Hold(u8, bool),
    Delete(u8),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..6_u8;
    let step = prop_oneof![
        4 => (name.clone(), proptest::option::of(0..6_u8)).prop_map(|(a, b)| Step::Create(a, b)),
        3 => (name.clone(), 1..120_i64).prop_map(|(a, max)| Step::Spec(a, max)),
        2 => (name.clone(), any::<u8>()).prop_map(|(a, n)| Step::Status(a, n)),
        2 => (name.clone(), any::<bool>()).prop_map(|(a, held)| Step::Hold(a, held)),
        3 => name.prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

/// Makes one request. Refusals are part of it.
async fn take(env: &Subject, step: &Step) {
    let gadgets = env.gadgets();
    let name = |n: &u8| format!("gadget-{n}");
    match step {
        Step::Create(n, owner) => {
            let mut object = gadget(&name(n), json!({"max": 5}));
            if let Some(owner) = owner
                && let Ok(Some(owner)) = gadgets.get_opt(&name(owner)).await
            {
                object.metadata.owner_references = Some(vec![reference(&owner)]);
            }
            let _ = gadgets.create(&Default::default(), &object).await;
        }
        Step::Spec(n, max) => _ = env.merge(&name(n), json!({"spec": {"max": max}})).await,
        Step::Status(n, phase) => _ = env.merge_status(&name(n), json!({"status": {"phase": phase.to_string()}})).await,
        Step::Hold(n, held) => {
            let finalizers = if *held { json!(["test.poolkeeper.dev/f"]) } else { Value::Null };
            let patch = json!({"metadata": {"finalizers": finalizers}});
            let _ = gadgets.patch(&name(n), &PatchParams::default(), &Patch::Merge(&patch)).await;
        }
        Step::Delete(n) => _ = gadgets.delete(&name(n), &DeleteParams::default()).await,
        Step::Reopen => {}
    }
}

fn reference(owner: &DynamicObject) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
    let (name, uid) = (owner.metadata.name.as_deref(), owner.metadata.uid.as_deref());
    serde_json::from_value(json!({"apiVersion": "test.poolkeeper.dev/v1", "kind": "Gadget", "name": name, "uid": uid}))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// A server that is opened again in between answers every request as one that goes on.
    #[test]
    fn a_server_that_is_opened_again_is_the_same(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("store.redb");
            let mut server = open(&path, 1).await;
            for (nth, step) in steps.iter().enumerate() {
                take(&server.env, step).await;
                if matches!(step, Step::Reopen) || nth + 1 == steps.len() {
                    let (before, revision) = (all(&server.env).await, server.api.revision());
                    drop(server);
                    server = open(&path, nth as u64 + 2).await;
                    assert_eq!(all(&server.env).await, before);
                    assert!(server.api.revision() > revision);
                }
            }
        });
    }
}

#[tokio::test]
async fn the_past_is_too_old_and_the_future_has_new_versions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let server = open(&path, 1).await;
    let old = version(&server.env.create("a", json!({"max": 5})).await);
    drop(server);
    let server = open(&path, 2).await;
    let mut watch = server.env.gadgets().watch(&WatchParams::default(), &old.to_string()).await.unwrap().boxed();
    let Some(Ok(WatchEvent::Error(error))) = watch.next().await else { panic!("expected an error") };
    assert_eq!(error.code, 410);
    // A watch of now works, and sees a version that is new.
    let now = server.api.revision();
    let mut watch = server.env.gadgets().watch(&WatchParams::default(), &now.to_string()).await.unwrap().boxed();
    let new = version(&server.env.create("b", json!({"max": 5})).await);
    assert!(new > now && now > old);
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
    // What was written before can be written on.
    assert_eq!(server.env.get("a").await["metadata"]["resourceVersion"], old.to_string());
    server.env.merge("a", json!({"spec": {"max": 6}})).await.unwrap();
}

#[tokio::test]
async fn a_copy_of_a_store_in_use_is_one_moment_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(&dir.path().join("store.redb"), 1).await;
    for n in 0..20 {
        server.env.create(&format!("gadget-{n}"), json!({"max": 5})).await;
    }
    let expected = all(&server.env).await;
    let copy = dir.path().join("copy.redb");
    server.copier.copy_to(&copy).unwrap();
    server.env.create("later", json!({"max": 5})).await;
    assert_eq!(all(&open(&copy, 2).await.env).await, expected);
}

#[tokio::test]
async fn an_object_whose_status_was_filled_in_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let server = open(&path, 1).await;
    // Its status is a default, which the next write stores: that is an event, although nothing else changes.
    let created = version(&server.env.create("a", json!({"max": 5})).await);
    drop(server);
    let server = open(&path, 2).await;
    let written = server.env.merge("a", json!({"metadata": {"labels": null}})).await.unwrap();
    let written: u64 = written.metadata.resource_version.unwrap().parse().unwrap();
    assert!(written > created);
}

#[test]
fn a_clock_of_long_ago_works() {
    let dir = tempfile::tempdir().unwrap();
    let (_, contents) = DiskStore::open(&dir.path().join("store.redb"), Timestamp::MIN).unwrap();
    assert_eq!(contents.revision, 2);
}
