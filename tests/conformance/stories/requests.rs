//! What objects may be called, and what leads nowhere.
use serde_json::{Value, json};

use super::gadget_with;
use crate::exchange::{JSON, JSON_PATCH, MERGE, STRATEGIC, ask, tell};
use crate::subject::*;

on_both! { metadata, routes }

/// Names and the rest of the metadata of new objects.
async fn metadata(subject: Subject) {
    let mut story = Vec::new();
    let long = |n: usize| "n".repeat(n);
    for name in ["A_b", "-a", "a-", "a.b", "a..b", "a/b", "a%", "", ".", "..", "é", "1", "a b"].map(str::to_owned) {
        story.push(ask("POST", "?dryRun=All", JSON, gadget_with(&name, json!({"max": 1}), json!({}))));
    }
    for metadata in [
        json!({"name": long(253)}),
        json!({"name": long(254)}),
        json!({"name": null}),
        json!({"name": null, "generateName": "made-"}),
        json!({"generateName": "other-"}),
        json!({"generateName": "A-"}),
        json!({"namespace": "NS"}),
        json!({"namespace": "other"}),
        json!({"namespace": ""}),
        json!({"uid": "mine"}),
        json!({"resourceVersion": ""}),
        json!({"generation": 7}),
        json!({"creationTimestamp": "2020-01-01T00:00:00Z"}),
        json!({"creationTimestamp": null}),
        json!({"deletionTimestamp": "2020-01-01T00:00:00Z"}),
        json!({"deletionGracePeriodSeconds": 10}),
        json!({"selfLink": "/x"}),
        json!({"labels": {"a": "b", "c.d/e": "F_g-1"}}),
        json!({"labels": {"a": long(64)}}),
        json!({"labels": {long(64): "a"}}),
        json!({"labels": {(long(254) + "/a"): "a"}}),
        json!({"labels": {"a": null}}),
        json!({"labels": {"a b": "c d"}}),
        json!({"annotations": {"a": "any text: {}"}}),
        json!({"annotations": {"A.b/c": "", "a b": ""}}),
        json!({"annotations": {"a": null}}),
        json!({"finalizers": ["a.b/c", "a.b/c"]}),
        json!({"finalizers": ["plain"]}),
        json!({"finalizers": ["orphan", "foregroundDeletion"]}),
        json!({"finalizers": ["a.b/c d", ""]}),
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]}),
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true,
            "blockOwnerDeletion": false}]}),
        json!({"ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true},
            {"apiVersion": "v1", "kind": "Node", "name": "m", "uid": "v", "controller": false}]}),
        json!({"ownerReferences": [{}]}),
        json!({"odd": 1}),
    ] {
        story.push(ask(
            "POST",
            "?dryRun=All",
            JSON,
            gadget_with("a", json!({"max": 1}), json!({"metadata": metadata})),
        ));
    }
    story.push(ask("POST", "", JSON, gadget_with("a", json!({"max": 1}), json!({"metadata": {"labels": {"x": "y"}}}))));
    for metadata in [
        json!({"labels": {"a": long(64)}}),
        json!({"labels": {"a b": "c d"}}),
        json!({"labels": {"x": ""}}),
        json!({"labels": {"x": null}}),
        json!({"labels": null}),
        json!({"annotations": {"a b": ""}}),
        json!({"finalizers": ["a.b/c d"]}),
        json!({"finalizers": ["plain"]}),
        json!({"ownerReferences": [{}]}),
        json!({"deletionTimestamp": "2020-01-01T00:00:00Z"}),
        json!({"creationTimestamp": "2020-01-01T00:00:00Z"}),
        json!({"name": "b", "uid": "x"}),
        json!({"resourceVersion": "0"}),
        json!({"resourceVersion": "abc"}),
        json!({"annotations": {"a": "b"}, "labels": {"c": "d"}}),
    ] {
        story.push(ask("PATCH", "/a", MERGE, json!({"metadata": metadata})));
    }
    tell(&subject, "metadata", &story).await;
}

/// Paths and methods that lead nowhere, bodies that are none, media types.
async fn routes(subject: Subject) {
    const V2: &str = "/apis/test.poolkeeper.dev/v2/namespaces/NS/gadgets";
    let a = || gadget_with("a", json!({"max": 5}), json!({}));
    let story = [
        ask("POST", "", JSON, a()),
        ask("GET", V2, "", Value::Null),
        ask("GET", "/apis/other.poolkeeper.dev/v1/namespaces/NS/gadgets", "", Value::Null),
        ask("GET", "/apis/test.poolkeeper.dev/v1/namespaces/NS/widgets", "", Value::Null),
        ask("GET", "/b/status", "", Value::Null),
        ask("GET", "/b", "", Value::Null),
        ask("PUT", "", JSON, a()),
        ask("PATCH", "", MERGE, json!({})),
        ask("POST", "/a/status", JSON, a()),
        ask("DELETE", "/a/status", "", Value::Null),
        ask("OPTIONS", "/a", "", Value::Null),
        ask("DELETE", "/b", "", Value::Null),
        ask("PATCH", "/b", MERGE, json!({})),
        ask("PATCH", "/b", JSON_PATCH, json!([])),
        ask("PATCH", "/b/status", MERGE, json!({})),
        ask("PATCH", "/a", JSON, json!({})),
        ask("PATCH", "/a", "", json!({})),
        ask("PATCH", "/a", "text/plain", json!({})),
        ask("PATCH", "/a", STRATEGIC, json!({})),
        ask("PATCH", "/a", "application/merge-patch+json; charset=utf-8", json!({})),
        ask("POST", "", "text/plain", a()).loosely(),
        ask("POST", "", "application/json; charset=utf-8", a()),
        ask("POST", "", "", gadget_with("untyped", json!({"max": 5}), json!({}))),
        ask("PUT", "/a", MERGE, a()).loosely(),
        ask("POST", "", JSON, Value::Null).loosely(),
        ask("PUT", "/a", JSON, Value::Null).loosely(),
        ask("PATCH", "/a", MERGE, Value::Null).loosely(),
        ask("PATCH", "/a", JSON_PATCH, Value::Null).loosely(),
        ask("POST", "", JSON, json!([])).loosely(),
        ask("POST", "", JSON, json!("x")).loosely(),
        ask("POST", "", JSON, json!({})).loosely(),
        ask("POST", "", JSON, json!({"kind": "Gadget"})),
        ask("POST", "", JSON, json!({"apiVersion": "test.poolkeeper.dev/v1"})).loosely(),
        ask("POST", "", JSON, gadget_with("w", json!({"max": 5}), json!({"kind": "Widget"}))).loosely(),
        ask("POST", "", JSON, gadget_with("w", json!({"max": 5}), json!({"apiVersion": "test.poolkeeper.dev/v2"})))
            .loosely(),
        ask("POST", "", JSON, gadget_with("w", json!({"max": 5}), json!({"apiVersion": "other.dev/v1"}))),
        ask("POST", "", JSON, gadget_with("w", json!({"max": 5}), json!({"apiVersion": "v1", "kind": "Pod"}))),
        ask("PUT", "/a", JSON, gadget_with("a", json!({"max": 5}), json!({"kind": "Widget"}))).loosely(),
        ask("PUT", "/a", JSON, gadget_with("b", json!({"max": 5}), json!({}))),
        ask("PUT", "/a", JSON, gadget_with("a", json!({"max": 5}), json!({"metadata": {"namespace": "other"}}))),
        ask("PUT", "/a", JSON, gadget_with("a", json!({"max": 5}), json!({"metadata": {"name": null}}))),
        ask("PATCH", "/a", MERGE, json!({"kind": "Widget"})),
        ask("PATCH", "/a", MERGE, json!({"apiVersion": "v1"})),
        ask("PATCH", "/a", MERGE, json!({"apiVersion": "v1", "kind": "Pod"})),
        ask("PATCH", "/a", MERGE, json!({"kind": null})).loosely(),
        ask("POST", "?dryRun=Some", JSON, a()),
        ask("POST", "?dryRun=", JSON, gadget_with("dry", json!({"max": 5}), json!({}))),
        ask("POST", "?fieldValidation=Odd", JSON, a()),
        ask("PUT", "/a?dryRun=Some", JSON, a()),
        ask("PUT", "/a?fieldValidation=Odd", JSON, a()),
        ask("PATCH", "/a?dryRun=Some", MERGE, json!({})),
        ask("PATCH", "/a?fieldValidation=Odd", MERGE, json!({})),
        ask("DELETE", "/a?dryRun=Some", "", Value::Null),
        ask("DELETE", "/a", JSON, json!({"propagationPolicy": "Odd"})),
        ask("DELETE", "/a?propagationPolicy=Odd", "", Value::Null),
        ask("DELETE", "/a", JSON, json!({"dryRun": ["Some"]})),
        ask("DELETE", "/a", JSON, json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "x"}})),
        ask("DELETE", "?dryRun=Some", "", Value::Null),
        ask("GET", "/a", "", Value::Null),
    ];
    tell(&subject, "routes", &story).await;
}
