//! A backup in the place of the store: nothing of it runs again before its user says so.
use std::fs;

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch};
use poolkeeper_testkit::local_server::Rig;
use serde_json::json;

use crate::PROGRAM;
use crate::life::{assigned, dispatch, phase, pool};

#[tokio::test]
async fn a_restored_copy_begins_with_paused_pools() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &pool("agents", json!({"max": 1}))).await.unwrap();
    dispatches.create(&PostParams::default(), &dispatch("job", json!({"pool": "agents"}))).await.unwrap();
    let job = assigned(&dispatches, "job").await;
    let backup = rig.file("backup.redb");
    rig.local(&["backup", backup.to_str().unwrap()]).exits(0);
    let result = json!({"metadata": {"uid": job.uid()}, "spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
    dispatches.patch("job", &PatchParams::default(), &Patch::Merge(&result)).await.unwrap();
    phase(&dispatches, "job", DispatchPhase::Succeeded).await;

    // Neither a restart nor a crash makes a copy of a store.
    rig.kill();
    assert!(!rig.local(&["up"]).exits(0).stderr.contains("copy"));
    rig.local(&["down"]).exits(0);
    assert!(!rig.local(&["up"]).exits(0).stderr.contains("copy"));
    assert!(!pools.get("agents").await.unwrap().spec.paused);
    rig.local(&["down"]).exits(0);

    fs::copy(&backup, rig.home().join("store.redb")).unwrap();
    let said = rig.local(&["up"]).exits(0).stderr;
    let words = "the store is a restored copy, so its pool is paused. 1 dispatch is queued or open in it and would run again, even if \
                 it has ended since: job. Delete those that must not run again; then go on with `poolkeeper resume --all`";
    assert!(said.contains(words), "{said}");
    assert!(rig.local(&["logs"]).stdout.contains(words));
    assert!(pools.get("agents").await.unwrap().spec.paused);
    // It is said once, and the pools stay paused until they are resumed.
    assert!(!rig.local(&["up", "--restart"]).exits(0).stderr.contains("copy"));
    let resume = Patch::Merge(json!({"spec": {"paused": false}}));
    assert!(!pools.patch("agents", &PatchParams::default(), &resume).await.unwrap().spec.paused);
    rig.local(&["up", "--restart"]).exits(0);
    assert!(!pools.get("agents").await.unwrap().spec.paused);
}

#[tokio::test]
async fn a_file_that_was_copied_earlier_is_a_copy_too() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &pool("agents", json!({"max": 1}))).await.unwrap();
    rig.local(&["down"]).exits(0);
    let (store, copy) = (rig.home().join("store.redb"), rig.file("copy.redb"));
    fs::copy(&store, &copy).unwrap();
    rig.up().local(&["down"]).exits(0);
    fs::copy(&copy, &store).unwrap();
    // `down` on a server that does not run leaves it a copy.
    rig.local(&["down"]).exits(0);
    let said = rig.local(&["up"]).exits(0).stderr;
    assert!(said.contains("its pool is paused. No dispatch in it would run again."), "{said}");
    assert!(pools.get("agents").await.unwrap().spec.paused);
}
