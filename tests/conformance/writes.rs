//! Create, read, replace, patch: names, versions, metadata, what goes wrong.
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, ValidationDirective};
use serde_json::{Value, json};

use crate::subject::*;

on_both! {
    a_new_object_gets_its_metadata,
    a_name_is_generated,
    names_must_be_there_valid_and_free,
    what_is_not_there_is_not_found,
    a_replace_needs_the_current_version,
    a_replace_must_be_about_the_named_object,
    identity_cannot_be_patched,
    a_write_that_changes_nothing_is_no_write,
    the_generation_counts_changes_of_the_spec,
    merge_patches_remove_what_is_null,
    json_patches_test_before_they_write,
    metadata_is_checked,
    bodies_must_be_what_they_say,
    strategic_merge_is_for_built_in_kinds,
    a_dry_run_says_what_would_be,
    unknown_fields_are_dropped_or_refused,
    unknown_fields_are_warned_of,
    lists_are_selected_and_sorted,
    a_list_may_come_in_pages,
}

async fn a_new_object_gets_its_metadata(env: Subject) {
    let made = env.create("a", json!({"max": 5})).await;
    let meta = &made["metadata"];
    assert_eq!(meta["generation"], 1);
    assert_eq!(meta["namespace"], *env.namespace);
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert!(meta["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert!(meta["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(env.get("a").await["metadata"]["uid"], meta["uid"]);
}

async fn a_name_is_generated(env: Subject) {
    let mut object = gadget("", json!({"max": 5}));
    object.metadata.name = None;
    object.metadata.generate_name = Some("made-".into());
    let one = env.gadgets().create(&PostParams::default(), &object).await.unwrap().metadata.name.unwrap();
    let two = env.gadgets().create(&PostParams::default(), &object).await.unwrap().metadata.name.unwrap();
    assert!(one.starts_with("made-") && one.len() == 10, "{one}");
    assert_ne!(one, two);
}

async fn names_must_be_there_valid_and_free(env: Subject) {
    let mut object = gadget("", json!({"max": 5}));
    object.metadata.name = None;
    let none = env.gadgets().create(&PostParams::default(), &object).await;
    expect_message(none, 422, "Invalid", "metadata.name: Required value: name or generateName is required");
    let bad = refused(env.try_create("A_b", json!({"max": 5})).await);
    assert!(bad.message.starts_with("Gadget.test.poolkeeper.dev \"A_b\" is invalid: metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must"), "{}", bad.message);
    env.create("a", json!({"max": 5})).await;
    let taken = env.try_create("a", json!({"max": 5})).await;
    expect_status(taken, 409, "AlreadyExists", "gadgets.test.poolkeeper.dev \"a\" already exists");
}

async fn what_is_not_there_is_not_found(env: Subject) {
    let status = refused(env.gadgets().get("missing").await);
    assert_eq!(status.message, "gadgets.test.poolkeeper.dev \"missing\" not found");
    let details = status.details.unwrap();
    assert_eq!((details.name.as_str(), details.group.as_str(), details.kind.as_str()), ("missing", GROUP, "gadgets"));
    expect_status(
        env.merge("missing", json!({})).await,
        404,
        "NotFound",
        "gadgets.test.poolkeeper.dev \"missing\" not found",
    );
    let deleted = env.gadgets().delete("missing", &DeleteParams::default()).await;
    expect_status(deleted, 404, "NotFound", "gadgets.test.poolkeeper.dev \"missing\" not found");
    let (code, body) = env.raw("GET", "/apis/test.poolkeeper.dev/v1/namespaces/NS/widgets", "", Value::Null).await;
    assert_eq!((code, body), (404, "404 page not found\n".into()));
}

async fn a_replace_needs_the_current_version(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let first = env.gadgets().get("a").await.unwrap();
    let mut object = first.clone();
    object.data["spec"]["max"] = 6.into();
    let second = env.gadgets().replace("a", &PostParams::default(), &object).await.unwrap();
    assert_ne!(second.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(second.metadata.generation, Some(2));
    let stale = env.gadgets().replace("a", &PostParams::default(), &object).await;
    let modified = "Operation cannot be fulfilled on gadgets.test.poolkeeper.dev \"a\": the object has been modified; please apply your changes to the latest version and try again";
    expect_status(stale, 409, "Conflict", modified);
    object.metadata.resource_version = None;
    let unversioned = env.gadgets().replace("a", &PostParams::default(), &object).await;
    expect_status(
        unversioned,
        422,
        "Invalid",
        "gadgets.test.poolkeeper.dev \"a\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
    );
    let merged = env
        .merge("a", json!({"metadata": {"resourceVersion": first.metadata.resource_version}, "spec": {"max": 7}}))
        .await;
    expect_status(merged, 409, "Conflict", modified);
    let now = second.metadata.resource_version;
    env.merge("a", json!({"metadata": {"resourceVersion": now}, "spec": {"max": 7}})).await.unwrap();
}

async fn a_replace_must_be_about_the_named_object(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let mut object = env.gadgets().get("a").await.unwrap();
    object.metadata.name = Some("b".into());
    let other = env.gadgets().replace("a", &PostParams::default(), &object).await;
    expect_status(other, 400, "BadRequest", "the name of the object (b) does not match the name on the URL (a)");
    object.metadata.name = Some("a".into());
    object.metadata.uid = Some("11111111-2222-4333-8444-555555555555".into());
    let status = refused(env.gadgets().replace("a", &PostParams::default(), &object).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(
        status.message.contains(
            "Precondition failed: UID in precondition: 11111111-2222-4333-8444-555555555555, UID in object meta: "
        ),
        "{}",
        status.message
    );
}

async fn identity_cannot_be_patched(env: Subject) {
    let made = env.create("a", json!({"max": 5})).await;
    let uid = "11111111-2222-4333-8444-555555555555";
    expect_invalid(
        env.merge("a", json!({"metadata": {"uid": uid}, "spec": {"max": 6}})).await,
        "a",
        &format!("metadata.uid: Invalid value: {uid:?}: field is immutable"),
    );
    env.merge("a", json!({"metadata": {"uid": made["metadata"]["uid"]}, "spec": {"max": 6}})).await.unwrap();
    assert_eq!(env.get("a").await["spec"]["max"], 6);
}

async fn a_write_that_changes_nothing_is_no_write(env: Subject) {
    let made = env.create("a", json!({"max": 5})).await;
    // The default of the status was shown but not stored: the first write stores it.
    let settled = value(env.merge("a", json!({"spec": {"max": 5}})).await.unwrap());
    assert_ne!(settled["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    assert_eq!((&settled["spec"], &settled["status"]), (&made["spec"], &made["status"]));
    let same = value(env.merge("a", json!({"spec": {"max": 5}, "status": {"phase": "Ignored"}})).await.unwrap());
    assert_eq!(same, settled);
    let status = value(env.merge_status("a", json!({"status": {"phase": "Pending"}})).await.unwrap());
    assert_eq!(status, settled);
}

async fn the_generation_counts_changes_of_the_spec(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let labelled = env.merge("a", json!({"metadata": {"labels": {"x": "y"}}})).await.unwrap();
    assert_eq!(labelled.metadata.generation, Some(1));
    let status = env.merge_status("a", json!({"status": {"phase": "Done"}})).await.unwrap();
    assert_eq!(status.metadata.generation, Some(1));
    let spec = env.merge("a", json!({"spec": {"max": 6}, "metadata": {"generation": 40}})).await.unwrap();
    assert_eq!(spec.metadata.generation, Some(2));
}

async fn merge_patches_remove_what_is_null(env: Subject) {
    env.create("a", json!({"max": 5, "mode": "Fast", "labels": {"k": "v"}})).await;
    env.merge("a", json!({"metadata": {"annotations": {"x": "1", "y": "2"}}})).await.unwrap();
    let patched = value(
        env.merge("a", json!({"metadata": {"annotations": {"x": null}}, "spec": {"mode": null, "labels": null}}))
            .await
            .unwrap(),
    );
    assert_eq!(patched["metadata"]["annotations"], json!({"y": "2"}));
    assert_eq!(patched["spec"], json!({"max": 5, "min": 1, "tuning": {"level": 7}}));
    let emptied = value(env.merge("a", json!({"metadata": {"annotations": {"y": null}}})).await.unwrap());
    assert_eq!(emptied["metadata"].get("annotations"), None);
}

async fn json_patches_test_before_they_write(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let add = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["test.poolkeeper.dev/f"]},
    ]);
    let added = env.json("a", add.clone()).await.unwrap();
    assert_eq!(added.metadata.finalizers, Some(vec!["test.poolkeeper.dev/f".into()]));
    let rejected = "the server rejected our request due to an error in our request";
    expect_status(env.json("a", add).await, 422, "Invalid", rejected);
    let wrong =
        json!([{"op": "test", "path": "/spec/max", "value": 6}, {"op": "replace", "path": "/spec/max", "value": 7}]);
    expect_status(env.json("a", wrong).await, 422, "Invalid", rejected);
    expect_status(env.json("a", json!([{"op": "remove", "path": "/spec/nothing"}])).await, 422, "Invalid", rejected);
    let removed = env.json("a", json!([{"op": "remove", "path": "/metadata/finalizers/0"}])).await.unwrap();
    assert_eq!(removed.metadata.finalizers, None);
    assert_eq!(env.get("a").await["spec"]["max"], 5);
}

async fn metadata_is_checked(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let key = refused(env.merge("a", json!({"metadata": {"annotations": {"-x": "1"}}})).await);
    assert!(
        key.message
            .contains("metadata.annotations: Invalid value: \"-x\": name part must consist of alphanumeric characters"),
        "{}",
        key.message
    );
    let label = refused(env.merge("a", json!({"metadata": {"labels": {"x": "a b"}}})).await);
    assert!(
        label.message.contains("metadata.labels: Invalid value: \"a b\": a valid label must be an empty string"),
        "{}",
        label.message
    );
    let long = "x".repeat(262_144);
    expect_message(
        env.merge("a", json!({"metadata": {"annotations": {"x": long}}})).await,
        422,
        "Invalid",
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    );
}

async fn bodies_must_be_what_they_say(env: Subject) {
    let (code, body) = env.raw("POST", GADGETS, "application/json", json!({"metadata": {"name": "a"}})).await;
    assert_eq!((code, body["reason"].as_str().unwrap()), (400, "BadRequest"));
    let other = json!({"apiVersion": "other.dev/v1", "kind": "Gadget", "metadata": {"name": "a"}, "spec": {"max": 1}});
    let (code, body) = env.raw("POST", GADGETS, "application/json", other).await;
    assert_eq!(code, 400);
    assert_eq!(
        body["message"],
        "the API version in the data (other.dev/v1) does not match the expected API version (test.poolkeeper.dev/v1)"
    );
    let object = value(gadget("a", json!({"max": 1})));
    let (code, body) = env.raw("POST", GADGETS, "application/x-unknown", object).await;
    assert_eq!((code, body["reason"].as_str().unwrap()), (415, "UnsupportedMediaType"));
    let mut versioned = gadget("a", json!({"max": 1}));
    versioned.metadata.resource_version = Some("1".into());
    let status = refused(env.gadgets().create(&PostParams::default(), &versioned).await);
    assert_eq!(
        (status.code, status.message.as_str()),
        (500, "resourceVersion should not be set on objects to be created")
    );
}

async fn strategic_merge_is_for_built_in_kinds(env: Subject) {
    env.create("a", json!({"max": 5})).await;
    let status = refused(
        env.gadgets().patch("a", &PatchParams::default(), &Patch::Strategic(json!({"spec": {"max": 6}}))).await,
    );
    assert_eq!((status.code, status.reason.as_str()), (415, "UnsupportedMediaType"));
    assert_eq!(
        status.message,
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
}

async fn a_dry_run_says_what_would_be(env: Subject) {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let made = env.gadgets().create(&dry, &gadget("a", json!({"max": 5}))).await.unwrap();
    assert!(made.metadata.uid.is_some());
    assert!(env.gadgets().get_opt("a").await.unwrap().is_none());
    let real = env.create("a", json!({"max": 5})).await;
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let patched = env.gadgets().patch("a", &params, &Patch::Merge(json!({"spec": {"max": 9}}))).await.unwrap();
    assert_eq!(patched.data["spec"]["max"], 9);
    expect_invalid(
        env.gadgets().patch("a", &params, &Patch::Merge(json!({"spec": {"max": 101}}))).await,
        "a",
        "spec.max: Invalid value: 101: spec.max in body should be less than or equal to 100",
    );
    assert_eq!(env.get("a").await, real);
    env.gadgets().delete("a", &DeleteParams { dry_run: true, ..DeleteParams::default() }).await.unwrap();
    assert_eq!(env.get("a").await, real);
}

async fn unknown_fields_are_dropped_or_refused(env: Subject) {
    let made = env
        .create("a", json!({"max": 5, "unknown": 1, "tuning": {"odd": true}, "parts": [{"name": "p", "odd": 1}]}))
        .await;
    assert_eq!(made["spec"]["tuning"], json!({"level": 7}));
    assert_eq!(made["spec"]["parts"], json!([{"name": "p", "size": 3}]));
    assert_eq!(made["spec"].get("unknown"), None);
    let object = value(gadget("b", json!({"max": 5, "foo": 1, "parts": [{"name": "p", "odd": 1}]})));
    let (code, body) = env.raw("POST", &format!("{GADGETS}?fieldValidation=Strict"), "application/json", object).await;
    assert_eq!((code, body["reason"].as_str().unwrap()), (400, "BadRequest"));
    assert_eq!(
        body["message"],
        "Gadget in version \"v1\" cannot be handled as a Gadget: strict decoding error: unknown field \"spec.foo\", unknown field \"spec.parts[0].odd\"",
    );
    let strict = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::default() };
    let status = refused(env.gadgets().patch("a", &strict, &Patch::Merge(json!({"spec": {"foo": 1}}))).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert!(
        status.message.contains("strict decoding error: unknown field \\\"spec.foo\\\"")
            || status.message.contains("strict decoding error: unknown field \"spec.foo\""),
        "{}",
        status.message
    );
}

async fn unknown_fields_are_warned_of(env: Subject) {
    let body = serde_json::to_vec(&gadget("a", json!({"max": 5, "foo": 1}))).unwrap();
    let path = GADGETS.replace("NS", &env.namespace);
    let request = http::Request::post(path).header("content-type", "application/json").body(body.into()).unwrap();
    let response = env.client.send(request).await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["warning"], "299 - \"unknown field \\\"spec.foo\\\"\"");
}

async fn lists_are_selected_and_sorted(env: Subject) {
    for (name, mode, color) in [("c", "Fast", "red"), ("a", "Slow", "red"), ("b", "Fast", "blue")] {
        env.create(name, json!({"max": 5, "mode": mode})).await;
        env.merge(name, json!({"metadata": {"labels": {"color": color}}})).await.unwrap();
    }
    let names = |params: ListParams| {
        let gadgets = env.gadgets();
        async move {
            let list = gadgets.list(&params).await.unwrap();
            list.items.into_iter().map(|g| g.metadata.name.unwrap()).collect::<String>()
        }
    };
    assert_eq!(names(ListParams::default()).await, "abc");
    assert_eq!(names(ListParams::default().labels("color=red")).await, "ac");
    assert_eq!(names(ListParams::default().labels("color!=red")).await, "b");
    assert_eq!(names(ListParams::default().labels("color in (red, blue),!size")).await, "abc");
    assert_eq!(names(ListParams::default().labels("color notin (red)")).await, "b");
    assert_eq!(names(ListParams::default().labels("size")).await, "");
    assert_eq!(names(ListParams::default().fields("metadata.name=b")).await, "b");
    assert_eq!(names(ListParams::default().fields("spec.mode=Fast")).await, "bc");
    assert_eq!(names(ListParams::default().fields("spec.mode!=Fast,status.phase=Pending")).await, "a");
    let status = refused(env.gadgets().list(&ListParams::default().fields("spec.max=5")).await);
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
    assert!(status.message.contains("field label not supported: spec.max"), "{}", status.message);
}

async fn a_list_may_come_in_pages(env: Subject) {
    for i in 0..5 {
        env.create(&format!("g{i}"), json!({"max": 5})).await;
    }
    let first = env.gadgets().list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.items.len(), 2);
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    // A page shows the state in which the list began.
    env.gadgets().delete("g4", &DeleteParams::default()).await.unwrap();
    let token = first.metadata.continue_.unwrap();
    let second = env.gadgets().list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
    let token = second.metadata.continue_.unwrap();
    let third = env.gadgets().list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    assert_eq!(third.items[0].metadata.name.as_deref(), Some("g4"));
    assert_eq!(third.metadata.continue_.unwrap_or_default(), "");
}
