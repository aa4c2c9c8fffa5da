//! Writes: compare-and-swap, patches at their edges, deletions.
use serde_json::{Value, json};

use super::gadget_with;
use crate::exchange::{JSON, JSON_PATCH, MERGE, ask, tell};
use crate::subject::*;

on_both! { swaps, deletions, patches }

/// Compare-and-swap by version and by uid, writes that change nothing, generations.
async fn swaps(subject: Subject) {
    let a = |spec: Value, metadata: Value| gadget_with("a", spec, json!({"metadata": metadata}));
    let current = json!({"resourceVersion": "$version.a"});
    let stale = json!({"resourceVersion": "$first.a"});
    let status = |phase: &str, metadata: Value| {
        gadget_with("a", json!({"max": 77}), json!({"metadata": metadata, "status": {"phase": phase, "attempt": 1}}))
    };
    let with = |key: &str, metadata: Value, patch: Value| json!({"metadata": metadata, key: patch});
    let story = [
        ask("POST", "", JSON, a(json!({"max": 5}), json!({}))),
        ask("PUT", "/a", JSON, a(json!({"max": 6}), current.clone())),
        ask("PUT", "/a", JSON, a(json!({"max": 7}), stale.clone())),
        ask("PUT", "/a", JSON, a(json!({"max": 7}), json!({}))),
        ask("PUT", "/a", JSON, a(json!({"max": 7}), json!({"resourceVersion": "0"}))),
        ask("PUT", "/a", JSON, a(json!({"max": 7}), json!({"resourceVersion": "99999999"}))),
        ask("PUT", "/a", JSON, a(json!({"max": 6}), current.clone())),
        ask("PUT", "/a", JSON, a(json!({"max": 6, "min": 1}), current.clone())),
        ask("PUT", "/a", JSON, a(json!({"max": 8}), json!({"resourceVersion": "$version.a", "uid": "$uid.a"}))),
        ask("PUT", "/a", JSON, a(json!({"max": 9}), json!({"resourceVersion": "$version.a", "uid": "other"})))
            .loosely(),
        ask("PUT", "/nobody", JSON, gadget_with("nobody", json!({"max": 1}), json!({"metadata": current}))),
        ask("PATCH", "/a", MERGE, with("spec", current.clone(), json!({"max": 10}))),
        ask("PATCH", "/a", MERGE, with("spec", stale.clone(), json!({"max": 11}))),
        ask("PATCH", "/a", MERGE, with("spec", json!({"uid": "$uid.a"}), json!({"max": 12}))),
        ask("PATCH", "/a", MERGE, with("spec", json!({"uid": "other"}), json!({"max": 13}))),
        ask("PATCH", "/a", MERGE, json!({"spec": {"max": 12}})),
        ask("PATCH", "/a", MERGE, json!({})),
        ask("PATCH", "/a", MERGE, with("spec", stale.clone(), json!({"max": 12}))),
        ask(
            "PATCH",
            "/a",
            JSON_PATCH,
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "$version.a"},
                {"op": "replace", "path": "/spec/max", "value": 14},
            ]),
        ),
        ask(
            "PATCH",
            "/a",
            JSON_PATCH,
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "$first.a"},
                {"op": "replace", "path": "/spec/max", "value": 15},
            ]),
        ),
        ask(
            "PATCH",
            "/a",
            JSON_PATCH,
            json!([
                {"op": "test", "path": "/metadata/uid", "value": "$uid.a"},
                {"op": "replace", "path": "/spec/max", "value": 14},
            ]),
        ),
        ask("PATCH", "/a", JSON_PATCH, json!([])),
        ask("PATCH", "/a/status", MERGE, with("status", current.clone(), json!({"phase": "One"}))),
        ask("PATCH", "/a/status", MERGE, with("status", stale.clone(), json!({"phase": "Two"}))),
        ask("PATCH", "/a/status", MERGE, with("status", json!({"uid": "$uid.a"}), json!({"phase": "Two"}))),
        ask("PATCH", "/a/status", MERGE, with("status", json!({"uid": "other"}), json!({"phase": "Three"}))),
        ask("PATCH", "/a/status", MERGE, json!({"status": {"phase": "Two"}})),
        ask("PATCH", "/a/status", MERGE, json!({"spec": {"max": 99}})),
        ask("PUT", "/a/status", JSON, status("Four", current.clone())),
        ask("PUT", "/a/status", JSON, status("Four", current.clone())),
        ask("PUT", "/a/status", JSON, status("Five", stale.clone())),
        ask("PUT", "/a/status", JSON, status("Five", json!({}))),
        ask("PUT", "/a/status", JSON, status("Five", json!({"resourceVersion": "$version.a", "uid": "other"})))
            .loosely(),
        ask("PUT", "/nobody/status", JSON, gadget_with("nobody", json!({"max": 1}), json!({"metadata": current}))),
        ask("PATCH", "/nobody/status", MERGE, json!({"status": {"phase": "X"}})),
        ask("PATCH", "/a", MERGE, json!({"metadata": {"labels": {"x": "y"}}})),
        ask("PATCH", "/a", MERGE, json!({"metadata": {"labels": {"x": "y"}, "generation": 99}})),
        ask("PATCH", "/a", MERGE, json!({"metadata": {"annotations": {"x": "y"}}, "spec": {"word": "abc"}})),
        ask("PATCH", "/a?dryRun=All", MERGE, json!({"spec": {"word": "def"}})),
        ask("PATCH", "/a?dryRun=All", MERGE, json!({"spec": {"word": "abc"}})),
        ask("POST", "?dryRun=All", JSON, gadget_with("dry", json!({"max": 1}), json!({}))).loosely(),
        ask("GET", "/dry", "", Value::Null),
        ask("DELETE", "/a", JSON, json!({"preconditions": {"resourceVersion": "$first.a"}})),
        ask("DELETE", "/a", JSON, json!({"preconditions": {"uid": "$uid.a", "resourceVersion": "$first.a"}})),
        ask("DELETE", "/a", JSON, json!({"preconditions": {"uid": "other", "resourceVersion": "$version.a"}})),
        ask("DELETE", "/a", JSON, json!({"preconditions": {"uid": "$uid.a", "resourceVersion": "$version.a"}})),
        ask("DELETE", "/a", JSON, json!({"preconditions": {"uid": "$uid.a"}})),
        // What a new object of the same name is not.
        ask("POST", "", JSON, a(json!({"max": 5}), json!({}))),
        ask("PATCH", "/a", MERGE, json!({"metadata": {"uid": "$uid.a"}, "spec": {"max": 6}})),
        ask("WATCH", "?resourceVersion=$first.a", "", json!(15)),
    ];
    tell(&subject, "swaps", &story).await;
}

/// Deletion with and without finalizers, of one and of many, and what a watch shows of it.
async fn deletions(subject: Subject) {
    let held = |name: &str| gadget_with(name, json!({"max": 5}), json!({"metadata": {"finalizers": ["test.dev/f"]}}));
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    let labelled = |name: &str| gadget_with(name, json!({"max": 5}), json!({"metadata": {"labels": {"k": "v"}}}));
    let story = [
        ask("POST", "", JSON, held("a")),
        ask("DELETE", "/a?dryRun=All", "", Value::Null),
        ask("DELETE", "/a", JSON, json!({"dryRun": ["All"]})),
        ask("DELETE", "/a", JSON, json!({"preconditions": {"resourceVersion": "$version.a"}})),
        ask("DELETE", "/a", JSON, json!({"preconditions": {"resourceVersion": "$first.a"}})),
        ask("DELETE", "/a", JSON, json!({"propagationPolicy": "Background"})),
        ask("POST", "", JSON, held("a")),
        ask(
            "PUT",
            "/a",
            JSON,
            gadget_with(
                "a",
                json!({"max": 6}),
                json!({
                    "metadata": {"finalizers": ["test.dev/f"], "resourceVersion": "$version.a"},
                }),
            ),
        ),
        ask("PATCH", "/a", MERGE, finalizers(json!(["test.dev/f", "test.dev/g"]))),
        ask("PATCH", "/a", MERGE, finalizers(json!(["test.dev/g"]))),
        ask("PATCH", "/a", MERGE, json!({"metadata": {"deletionGracePeriodSeconds": 30}})),
        ask("PATCH", "/a/status", MERGE, json!({"status": {"phase": "Held"}})),
        ask("PATCH", "/a?dryRun=All", MERGE, finalizers(json!([]))),
        ask("GET", "/a", "", Value::Null),
        ask("PATCH", "/a", JSON_PATCH, json!([{"op": "remove", "path": "/metadata/finalizers"}])),
        ask("GET", "/a", "", Value::Null),
        // A finalizer that goes with a stale version, and a replace that takes it away.
        ask("POST", "", JSON, held("b")),
        ask("DELETE", "/b", "", Value::Null),
        ask(
            "PUT",
            "/b",
            JSON,
            gadget_with("b", json!({"max": 9}), json!({"metadata": {"resourceVersion": "$first.b"}})),
        ),
        ask(
            "PUT",
            "/b",
            JSON,
            gadget_with("b", json!({"max": 9}), json!({"metadata": {"resourceVersion": "$version.b"}})),
        ),
        ask("GET", "/b", "", Value::Null),
        // Finalizers that are added and taken away before a deletion.
        ask("POST", "", JSON, gadget_with("c", json!({"max": 5}), json!({}))),
        ask("PATCH", "/c", MERGE, finalizers(json!(["test.dev/f", "test.dev/g", "test.dev/f"]))),
        ask("PATCH", "/c", MERGE, finalizers(json!(["test.dev/g"]))),
        ask("PATCH", "/c", MERGE, finalizers(json!([]))),
        ask("DELETE", "/c", "", Value::Null),
        ask("DELETE", "/c", "", Value::Null),
        // Many.
        ask("POST", "", JSON, labelled("d")),
        ask("POST", "", JSON, labelled("e")),
        ask("POST", "", JSON, held("f")),
        ask("DELETE", "?labelSelector=k%3Dv&dryRun=All", "", Value::Null),
        ask("DELETE", "?labelSelector=k%3Dv", "", Value::Null),
        ask("DELETE", "?fieldSelector=spec.odd%3Dv", "", Value::Null).loosely(),
        ask("DELETE", "?labelSelector=k%3Dv", "", Value::Null),
        ask("DELETE", "", "", Value::Null),
        ask("PATCH", "/f", MERGE, finalizers(Value::Null)),
        ask("GET", "", "", Value::Null),
        ask("WATCH", "?resourceVersion=$first.a", "", json!(17)),
        ask("WATCH", "?resourceVersion=$first.a&labelSelector=k%3Dv", "", json!(4)),
        ask("WATCH", "?resourceVersion=$first.a&fieldSelector=metadata.name%3Db", "", json!(3)),
    ];
    tell(&subject, "deletions", &story).await;
}

/// JSON patches and merge patches at their edges; unknown fields.
async fn patches(subject: Subject) {
    let mut story = vec![ask(
        "POST",
        "",
        JSON,
        gadget_with(
            "a",
            json!({
                "max": 5, "words": ["a", "b"], "labels": {"x~y": "1", "p/q": "2"}, "free": {"list": [1, 2, {"k": null}], "nil": null},
                "parts": [{"name": "p"}, {"name": "q", "size": 9}],
            }),
            json!({}),
        ),
    )];
    for operations in [
        json!([{"op": "add", "path": "/spec/words/-", "value": "c"}]),
        json!([{"op": "add", "path": "/spec/words/0", "value": "z"}]),
        json!([{"op": "add", "path": "/spec/words/9", "value": "z"}]),
        json!([{"op": "add", "path": "/spec/words/x", "value": "z"}]),
        json!([{"op": "remove", "path": "/spec/words/-"}]),
        json!([{"op": "remove", "path": "/spec/words/9"}]),
        json!([{"op": "replace", "path": "/spec/words/0", "value": "y"}]),
        json!([{"op": "replace", "path": "/spec/words/9", "value": "y"}]),
        json!([{"op": "test", "path": "/spec/labels/x~0y", "value": "1"}]),
        json!([{"op": "test", "path": "/spec/labels/p~1q", "value": "2"}, {"op": "remove", "path": "/spec/labels/p~1q"}]),
        json!([{"op": "test", "path": "/spec/max", "value": 5.0}]),
        json!([{"op": "test", "path": "/spec/max", "value": "5"}]),
        json!([{"op": "test", "path": "/spec", "value": {}}]),
        json!([{"op": "test", "path": "/spec/free/nil", "value": null}]),
        json!([{"op": "test", "path": "/spec/none/below", "value": null}]),
        json!([{"op": "test", "path": "/spec/words/7", "value": null}]),
        json!([{"op": "replace", "path": "/spec/none/below", "value": 1}]),
        json!([{"op": "move", "from": "/spec/none", "path": "/spec/mode"}]),
        json!([{"op": "copy", "from": "/spec/parts/0", "path": "/spec/parts/-"}]),
        json!([{"op": "move", "from": "/spec/words/0", "path": "/spec/words/1"}]),
        json!([{"op": "remove", "path": "/spec"}]),
        json!([{"op": "remove", "path": ""}]),
        json!([{"op": "replace", "path": "/metadata/name", "value": "b"}]),
        json!([{"op": "remove", "path": "/metadata/uid"}]),
        json!([{"op": "remove", "path": "/metadata/resourceVersion"}]),
        json!([{"op": "remove", "path": "/metadata/name"}]),
        json!([{"op": "remove", "path": "/metadata"}]),
        json!([{"op": "replace", "path": "/kind", "value": "Widget"}]),
        json!([{"op": "add", "path": "/metadata/annotations", "value": {}}, {"op": "add", "path": "/metadata/annotations/k", "value": "v"}]),
        json!([{"op": "test", "path": "/metadata/annotations/k", "value": "w"}, {"op": "remove", "path": "/metadata/annotations/k"}]),
        json!([{"op": "test", "path": "/metadata/annotations/k", "value": "v"}, {"op": "remove", "path": "/metadata/annotations/k"}]),
        json!([{"op": "add", "path": "/metadata/annotations/k", "value": "v"}]),
        json!([{"op": "add", "value": 7}]),
        json!([{"path": "/spec/max", "value": 7}]),
        json!([{"op": "odd", "path": "/spec/max", "value": 7}]),
        json!([{"op": "add", "path": "/spec/max", "value": 500}]),
        json!([{"op": "add", "path": "/spec/odd", "value": 1}]),
    ] {
        story.push(ask("PATCH", "/a", JSON_PATCH, operations));
    }
    for patch in [
        json!({"spec": {"free": {"list": null, "nil": {"deep": null, "kept": 1}}}}),
        json!({"spec": {"words": ["c"]}}),
        json!({"spec": {"words": null}}),
        json!({"spec": {"words": []}}),
        json!({"spec": {"tuning": {"level": null}}}),
        json!({"spec": {"tuning": null}}),
        json!({"spec": {"max": null}}),
        json!({"spec": "text"}),
        json!({"spec": []}),
        json!({"spec": {"odd": 1, "parts": [{"name": "p", "odd": {}}]}, "more": 1, "metadata": {"odd": 1}}),
        json!("text"),
        json!(null),
        json!(7),
    ] {
        story.push(ask("PATCH", "/a", MERGE, patch));
    }
    for validation in ["Strict", "Warn", "Ignore"] {
        let query = format!("?dryRun=All&fieldValidation={validation}");
        let odd = json!({"spec": {"odd": 1, "free": {"ok": 1}, "parts": [{"name": "p", "odd": {}}], "tuning": {"x": 1}}, "more": 1});
        let mut object = gadget_with("b", json!({"max": 1}), odd.clone());
        story.push(ask("POST", &format!("?dryRun=All&fieldValidation={validation}"), JSON, object.clone()));
        object["metadata"]["odd"] = 1.into();
        story.push(ask("POST", &query, JSON, object.clone()));
        object["metadata"] = json!({"name": "a", "resourceVersion": "$version.a"});
        story.push(ask("PUT", &format!("/a{query}"), JSON, object));
        story.push(ask("PATCH", &format!("/a{query}"), MERGE, odd.clone()));
        story.push(ask("PATCH", &format!("/a/status{query}"), MERGE, json!({"status": {"odd": 1}})));
        story.push(ask(
            "PATCH",
            &format!("/a{query}"),
            JSON_PATCH,
            json!([{"op": "add", "path": "/spec/odd", "value": 1}]),
        ));
    }
    tell(&subject, "patches", &story).await;
}
