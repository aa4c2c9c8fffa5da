//! The status, and the built-in kinds.
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::subject::*;

on_both! {
    leases_can_be_taken_and_renewed,
    events_are_seen_through_both_groups,
    the_status_has_its_own_door,
    the_status_can_be_replaced_and_json_patched,
    the_status_is_checked,
}

async fn the_status_has_its_own_door(env: Subject) {
    let mut object = gadget("a", json!({"max": 5}));
    object.data["status"] = json!({"phase": "Mine"});
    let made = value(env.gadgets().create(&PostParams::default(), &object).await.unwrap());
    assert_eq!(made["status"], json!({"phase": "Pending"}));
    let ignored = value(env.merge("a", json!({"spec": {"max": 6}, "status": {"phase": "Mine"}})).await.unwrap());
    assert_eq!((&ignored["status"]["phase"], &ignored["spec"]["max"]), (&json!("Pending"), &json!(6)));
    let patch = json!({"spec": {"max": 7}, "metadata": {"labels": {"x": "y"}}, "status": {"phase": "Done"}});
    let status = value(env.merge_status("a", patch).await.unwrap());
    assert_eq!(status["status"]["phase"], "Done");
    assert_eq!(status["spec"]["max"], 6);
    assert_eq!(status["metadata"].get("labels"), None);
}

async fn the_status_can_be_replaced_and_json_patched(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let mut object = env.gadgets().get("a").await.unwrap();
    object.data["status"] = json!({"phase": "One", "attempt": 1});
    let one = env.gadgets().replace_status("a", &PostParams::default(), &object).await.unwrap();
    assert_eq!(one.data["status"], json!({"phase": "One", "attempt": 1}));
    let stale = env.gadgets().replace_status("a", &PostParams::default(), &object).await;
    expect_message(stale, 409, "Conflict", "the object has been modified");
    let patch: json_patch::Patch = serde_json::from_value(json!([
        {"op": "test", "path": "/status/attempt", "value": 1},
        {"op": "replace", "path": "/status/attempt", "value": 2},
        {"op": "remove", "path": "/status/phase"},
    ]))
    .unwrap();
    let two = env.gadgets().patch_status("a", &PatchParams::default(), &Patch::Json::<()>(patch)).await.unwrap();
    assert_eq!(two.data["status"], json!({"attempt": 2}));
    let version = json!({"metadata": {"resourceVersion": one.metadata.resource_version}, "status": {"phase": "Old"}});
    expect_message(env.merge_status("a", version).await, 409, "Conflict", "the object has been modified");
}

async fn the_status_is_checked(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let status = refused(env.merge_status("a", json!({"status": {"attempt": -1}})).await);
    assert!(
        status
            .message
            .contains("status.attempt: Invalid value: -1: attempt in body should be greater than or equal to 0"),
        "{}",
        status.message
    );
    let status = refused(env.merge_status("a", json!({"status": {"phase": 1}})).await);
    assert!(
        status
            .message
            .contains("status.phase: Invalid value: \"integer\": phase in body must be of type string: \"integer\""),
        "{}",
        status.message
    );
}

async fn leases_can_be_taken_and_renewed(env: Subject) {
    use k8s_openapi::api::coordination::v1::Lease;
    let leases: Api<Lease> = Api::namespaced(env.client.clone(), &env.namespace);
    let lease = json!({
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.678901Z"},
    });
    let made = leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
    let patch = json!({"spec": {"leaseTransitions": 1, "renewTime": "2026-01-02T03:04:06.000000Z"}});
    let renewed = leases.patch("l", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    let spec = renewed.spec.clone().unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("me"), Some(1)));
    assert_eq!(value(spec.renew_time), "2026-01-02T03:04:06.000000Z");
    assert_eq!(renewed.metadata.generation, None);
    let stale = leases.replace("l", &PostParams::default(), &made).await;
    expect_message(stale, 409, "Conflict", "leases.coordination.k8s.io \"l\": the object has been modified");
    let mut other = made.clone();
    other.metadata = kube::core::ObjectMeta { name: Some("m".into()), ..Default::default() };
    leases.replace("m", &PostParams::default(), &other).await.unwrap();
    assert_eq!(leases.list(&Default::default()).await.unwrap().items.len(), 2);
}

async fn events_are_seen_through_both_groups(env: Subject) {
    use k8s_openapi::api::core::v1::Event as CoreEvent;
    use kube::runtime::events::{Event, EventType, Recorder};
    let made = env.create("a", json!({"max": 5})).await;
    let recorder = Recorder::new(env.client.clone(), "tester".into());
    let reference = serde_json::from_value(json!({
        "apiVersion": "test.poolkeeper.dev/v1", "kind": "Gadget", "name": "a", "namespace": env.namespace,
        "uid": made["metadata"]["uid"],
    }))
    .unwrap();
    let event = Event {
        type_: EventType::Warning,
        reason: "Because".into(),
        note: Some("it is so".into()),
        action: "Testing".into(),
        secondary: None,
    };
    recorder.publish(&event, &reference).await.unwrap();
    // The second time it is a series of the first, by a patch.
    recorder.publish(&event, &reference).await.unwrap();
    let events: Api<CoreEvent> = Api::namespaced(env.client.clone(), &env.namespace);
    let mine = kube::api::ListParams::default().fields("involvedObject.name=a,type=Warning,reason=Because");
    let list = events.list(&mine).await.unwrap();
    let [event] = list.items.as_slice() else { panic!("{list:?}") };
    assert_eq!(event.message.as_deref(), Some("it is so"));
    assert_eq!(event.involved_object.uid.as_deref(), made["metadata"]["uid"].as_str());
    assert_eq!(event.reporting_component.as_deref(), Some("tester"));
    assert_eq!(event.series.as_ref().unwrap().count, Some(2));
    let path = "/apis/events.k8s.io/v1/namespaces/NS/events?fieldSelector=reason%3DBecause";
    let (code, list) = env.raw("GET", path, "", Value::Null).await;
    assert_eq!((code, &list["items"][0]["note"]), (200, &json!("it is so")));
    assert_eq!(list["items"][0]["regarding"]["name"], "a");
}
