//! The server as a part of a program: what only its owner sees.
use std::sync::Arc;

use http::Request;
use kube::Client;
use kube::client::Body;
use poolkeeper::clock::{Ids, SystemClock};
use poolkeeper::local::{Change, History, LocalApi, LocalError, Options};
use serde_json::json;
use tower::{BoxError, ServiceExt, service_fn};

use poolkeeper_testkit::gadget::*;

/// The text of the refusal of a CRD whose schema was changed like that.
fn refusal(patch: serde_json::Value) -> String {
    let mut crd = value(gadget_crd());
    json_patch::merge(&mut crd["spec"]["versions"][0], &patch);
    let crds = vec![serde_json::from_value(crd).unwrap()];
    let options = Options { crds, clock: Arc::new(SystemClock::new()), ids: Ids::seeded(1), history: History::Full };
    let Err(LocalError::Crd { name, message }) = LocalApi::new(options) else { panic!("expected a refusal") };
    assert_eq!(name, "gadgets.test.poolkeeper.dev");
    message
}

#[test]
fn a_crd_that_cannot_be_served_is_refused() {
    let spec = |property: serde_json::Value| json!({"schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": {"odd": property}}}}}});
    let path = "openAPIV3Schema.spec.odd: ";
    for (property, message) in [
        (json!({"type": "string", "pattern": "("}), "pattern \"(\": "),
        (json!({"type": "string", "format": "uri"}), "format \"uri\" is not supported"),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self >"}]}),
            "failed to compile CEL rule \"self >\"",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "true", "optionalOldSelf": true}]}),
            "optionalOldSelf is not supported",
        ),
        (json!({"type": "object", "patternProperties": {}}), "patternProperties is not supported"),
    ] {
        let found = refusal(spec(property));
        assert!(found.starts_with(&format!("{path}{message}")), "{found}");
    }
    assert_eq!(refusal(json!({"served": false})), "0 versions are served; only one is supported");
}

#[tokio::test]
async fn a_layer_may_stand_between_client_and_server() {
    let api = local(History::Full);
    let service = api.service();
    // An answer is lost: the write was done, the client does not know.
    let lossy = service_fn(move |request: Request<Body>| {
        let service = service.clone();
        async move {
            let lost = request.method() == http::Method::PATCH;
            let answer = service.oneshot(request).await?;
            if lost { Err(BoxError::from("connection reset")) } else { Ok(answer) }
        }
    });
    let env = Subject { client: Client::new(lossy, "x"), namespace: "x".into(), local: Some(api.clone()) };
    env.create("a", json!({"max": 5})).await;
    assert!(matches!(env.merge("a", json!({"spec": {"max": 6}})).await, Err(kube::Error::Service(_))));
    assert_eq!(env.get("a").await["spec"]["max"], 6);
}

#[tokio::test]
async fn the_record_has_every_version() {
    let (env, api) = subject(History::Full);
    let made = env.create("a", json!({"max": 5})).await;
    env.merge_status("a", json!({"status": {"phase": "Done"}})).await.unwrap();
    env.gadgets().delete("a", &Default::default()).await.unwrap();
    let records = api.history();
    assert_eq!(
        records.iter().map(|r| r.change).collect::<Vec<_>>(),
        [Change::Added, Change::Modified, Change::Deleted]
    );
    assert!(records.is_sorted_by(|a, b| a.resource_version < b.resource_version));
    for record in &records {
        assert_eq!(record.object["metadata"]["resourceVersion"], record.resource_version.to_string());
        assert_eq!(Some(record.uid.as_str()), made["metadata"]["uid"].as_str());
        assert_eq!((record.namespace.as_deref(), record.resource.plural.as_str()), (Some("test-local"), "gadgets"));
    }
    assert_eq!(records[2].object["status"]["phase"], "Done");
}

#[tokio::test]
async fn what_is_left_out_is_named() {
    let (env, _) = subject(History::Full);
    env.create("a", json!({"max": 5})).await;
    let one = format!("{GADGETS}/a");
    let apply = env.raw("PATCH", &one, "application/apply-patch+yaml", json!({})).await;
    let protobuf = env.raw("POST", GADGETS, "application/vnd.kubernetes.protobuf", json!({})).await;
    let approval = env.raw("GET", &format!("{one}/approval"), "", json!(null)).await;
    for ((code, body), expected, words) in [
        (apply, 415, "this server does not support server-side apply: use `kubectl apply` without --server-side"),
        (protobuf, 415, "this server reads this kind from application/json only"),
        (approval, 501, "the embedded API server does not support the subresource \"approval\""),
    ] {
        assert_eq!(code, expected);
        assert!(body["message"].as_str().unwrap().starts_with(words), "{body}");
    }
    let request = Request::get(one.replace("NS", "n"))
        .header("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
    let response = env.client.send(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 406);
}
