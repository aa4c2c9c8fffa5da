//! Deletion: preconditions, finalizers, collections, dependents.
use std::sync::Arc;
use std::time::Duration;

use either::Either;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use serde_json::{Value, json};

use crate::subject::*;

on_both! {
    the_finalizer_helper_works,
    a_deleted_object_is_gone,
    preconditions_hold_a_deletion_back,
    finalizers_hold_an_object,
    a_namesake_outlives_those_who_let_go_of_the_one_before,
    a_collection_is_deleted_by_selector,
    dependents_go_with_their_last_owner,
}

async fn a_deleted_object_is_gone(env: Subject) {
    let made = env.create("a", json!({"max": 5})).await;
    let Either::Right(status) = env.gadgets().delete("a", &DeleteParams::background()).await.unwrap() else {
        panic!("expected a Status");
    };
    let details = status.details.unwrap();
    assert_eq!((details.name.as_str(), details.kind.as_str()), ("a", "gadgets"));
    assert_eq!(Some(details.uid.as_str()), made["metadata"]["uid"].as_str());
    assert!(env.gadgets().get_opt("a").await.unwrap().is_none());
    let again = env.create("a", json!({"max": 5})).await;
    assert_ne!(again["metadata"]["uid"], made["metadata"]["uid"]);
}

async fn preconditions_hold_a_deletion_back(env: Subject) {
    let made = env.create("a", json!({"max": 5})).await;
    let (uid, version) =
        (made["metadata"]["uid"].as_str().unwrap(), made["metadata"]["resourceVersion"].as_str().unwrap());
    let with = |uid: &str, version: &str| {
        let preconditions = Preconditions { uid: Some(uid.into()), resource_version: Some(version.into()) };
        DeleteParams::background().preconditions(preconditions)
    };
    expect_status(
        env.gadgets().delete("a", &with("other", version)).await,
        409,
        "Conflict",
        &format!(
            "Operation cannot be fulfilled on Gadget.test.poolkeeper.dev \"a\": the UID in the precondition (other) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        ),
    );
    env.merge("a", json!({"spec": {"max": 6}})).await.unwrap();
    let now = env.get("a").await["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    expect_status(
        env.gadgets().delete("a", &with(uid, version)).await,
        409,
        "Conflict",
        &format!(
            "Operation cannot be fulfilled on Gadget.test.poolkeeper.dev \"a\": the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({now}). The object might have been modified"
        ),
    );
    env.gadgets().delete("a", &with(uid, &now)).await.unwrap();
    assert!(env.gadgets().get_opt("a").await.unwrap().is_none());
}

async fn finalizers_hold_an_object(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    env.merge("a", json!({"metadata": {"finalizers": ["test.poolkeeper.dev/f"]}})).await.unwrap();
    let Either::Left(going) = env.gadgets().delete("a", &DeleteParams::background()).await.unwrap() else {
        panic!("expected the object");
    };
    assert!(going.metadata.deletion_timestamp.is_some());
    assert_eq!(going.metadata.deletion_grace_period_seconds, Some(0));
    assert_eq!(going.metadata.generation, Some(2));
    // A second deletion changes nothing.
    let Either::Left(again) = env.gadgets().delete("a", &DeleteParams::background()).await.unwrap() else {
        panic!("expected the object");
    };
    assert_eq!(again.metadata.resource_version, going.metadata.resource_version);
    expect_invalid(
        env.merge("a", json!({"metadata": {"finalizers": ["test.poolkeeper.dev/f", "test.poolkeeper.dev/g"]}})).await,
        "a",
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"test.poolkeeper.dev/g\"}",
    );
    env.merge("a", json!({"metadata": {"deletionTimestamp": null}, "spec": {"max": 6}})).await.unwrap();
    env.merge_status("a", json!({"status": {"phase": "Going"}})).await.unwrap();
    let held = env.get("a").await;
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(held["status"]["phase"], "Going");
    let last = env.merge("a", json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert_eq!(last.metadata.finalizers, None);
    assert!(env.gadgets().get_opt("a").await.unwrap().is_none());
}

/// An update that takes off the last finalizer is refused if another object has the name by then. A merge patch is not: it
/// may delete the namesake, in spite of the uid that it carries (docs/decisions/0007-finalizers-by-update.md).
async fn a_namesake_outlives_those_who_let_go_of_the_one_before(env: Subject) {
    let api = env.gadgets();
    let mut new = gadget("a", json!({"max": 5}));
    new.metadata.finalizers = Some(vec!["test.poolkeeper.dev/f".into()]);
    let update = PostParams::default();
    api.create(&update, &new).await.unwrap();
    for round in 0..100 {
        api.delete("a", &DeleteParams::background()).await.unwrap();
        let mut going = api.get("a").await.unwrap();
        going.metadata.finalizers = None;
        let let_go = |_| api.replace("a", &update, &going);
        let again = async {
            loop {
                if let Ok(made) = api.create(&update, &new).await {
                    break made;
                }
            }
        };
        let (_, made) = futures::join!(futures::future::join_all((0..4).map(let_go)), again);
        let now = api.get_opt("a").await.unwrap();
        assert_eq!(now.and_then(|a| a.metadata.uid), made.metadata.uid, "round {round}");
    }
}

async fn the_finalizer_helper_works(env: Subject) {
    const NAME: &str = "test.poolkeeper.dev/helper";
    env.create("a", json!({"max": 5})).await;
    let api = env.typed();
    let step = async |api: &kube::Api<Gadget>| {
        let object = Arc::new(api.get("a").await.unwrap());
        let mut seen = "";
        finalizer(api, NAME, object, |event| {
            seen = match event {
                Event::Apply(_) => "apply",
                Event::Cleanup(_) => "cleanup",
            };
            async { Ok::<_, std::io::Error>(Action::requeue(Duration::from_secs(1))) }
        })
        .await
        .unwrap();
        seen
    };
    assert_eq!(step(&api).await, "");
    assert_eq!(api.get("a").await.unwrap().metadata.finalizers, Some(vec![NAME.into()]));
    assert_eq!(step(&api).await, "apply");
    api.delete("a", &DeleteParams::background()).await.unwrap();
    assert_eq!(step(&api).await, "cleanup");
    assert!(api.get_opt("a").await.unwrap().is_none());
}

async fn a_collection_is_deleted_by_selector(env: Subject) {
    for name in ["a", "b", "c"] {
        env.create(name, json!({"max": 5, "mode": if name == "c" { "Slow" } else { "Fast" }})).await;
    }
    let fast = ListParams::default().fields("spec.mode=Fast");
    env.gadgets().delete_collection(&DeleteParams::default(), &fast).await.unwrap();
    let left = env.gadgets().list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.iter().map(|g| g.metadata.name.as_deref().unwrap()).collect::<Vec<_>>(), ["c"]);
}

async fn dependents_go_with_their_last_owner(env: Subject) {
    if !collects_garbage(&env).await {
        return;
    }
    let reference = |owner: &Value| {
        json!({
            "apiVersion": "test.poolkeeper.dev/v1", "kind": "Gadget",
            "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        })
    };
    // The embedded server collects at once, a cluster when it gets to it.
    let until = async |what: &str, condition: &dyn Fn(&Value) -> bool, name: &str| {
        for _ in 0..600 {
            let found = env.gadgets().get_opt(name).await.unwrap().map_or(Value::Null, value);
            if condition(&found) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("in vain: {what}");
    };
    let (one, two) = (env.create("one", json!({"max": 5})).await, env.create("two", json!({"max": 5})).await);
    for (name, owners) in [
        ("child", json!([reference(&one)])),
        ("both", json!([reference(&one), reference(&two)])),
        ("held", json!([reference(&one)])),
    ] {
        env.create(name, json!({"max": 5})).await;
        env.merge(name, json!({"metadata": {"ownerReferences": owners}})).await.unwrap();
    }
    env.merge("held", json!({"metadata": {"finalizers": ["test.poolkeeper.dev/f"]}})).await.unwrap();
    let child = env.get("child").await;
    env.create("grandchild", json!({"max": 5})).await;
    env.merge("grandchild", json!({"metadata": {"ownerReferences": [reference(&child)]}})).await.unwrap();

    env.gadgets().delete("one", &DeleteParams::background()).await.unwrap();
    until("the child goes", &Value::is_null, "child").await;
    until("the grandchild goes", &Value::is_null, "grandchild").await;
    until("one owner goes", &|g| g["metadata"]["ownerReferences"] == json!([reference(&two)]), "both").await;
    until("the held one is marked", &|g| g["metadata"]["deletionTimestamp"].is_string(), "held").await;
    env.gadgets().delete("two", &DeleteParams::background()).await.unwrap();
    until("the last owner takes it along", &Value::is_null, "both").await;
}
