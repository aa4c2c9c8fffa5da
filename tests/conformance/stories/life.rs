//! One object from its first mistake to its end: bodies, patches, subresources, deletion.
use serde_json::{Value, json};

use crate::exchange::{Ask, JSON, JSON_PATCH, MERGE, ask, tell};
use crate::subject::*;

on_both! { a_gadgets_life }

async fn a_gadgets_life(subject: Subject) {
    tell(&subject, "gadget", &one_gadget()).await;
}

fn one_gadget() -> Vec<Ask> {
    let body = |name: &str, spec: Value| value(gadget(name, spec));
    let with = |name: &str, spec: Value, patch: Value| {
        let mut object = body(name, spec);
        json_patch::merge(&mut object, &patch);
        object
    };
    let meta = |patch: Value| json!({"metadata": patch});
    let spec = |patch: Value| json!({"spec": patch});
    let owner = |patch: Value| {
        let mut owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"});
        json_patch::merge(&mut owner, &patch);
        json!({"metadata": {"ownerReferences": [owner]}})
    };
    let mut all: Vec<(&'static str, &'static str, &'static str, Value)> = vec![
        ("POST", "", JSON, body("a", json!({"max": 5}))),
        ("POST", "", JSON, body("a", json!({"max": 5}))),
        ("GET", "/a", "", Value::Null),
        ("GET", "/b", "", Value::Null),
        ("GET", "?fieldSelector=spec.mode%3DFast", "", Value::Null),
        ("GET", "?fieldSelector=spec.max%3D5", "", Value::Null),
        ("GET", "?resourceVersion=x", "", Value::Null),
        ("PUT", "", JSON, json!({})),
        ("PATCH", "", MERGE, json!({})),
        ("POST", "", JSON, json!([])),
        ("POST", "", JSON, json!({"kind": "Gadget"})),
        (
            "POST",
            "",
            JSON,
            json!({"apiVersion": "test.poolkeeper.dev/v2", "kind": "Gadget", "metadata": {"name": "w"}}),
        ),
        ("POST", "", JSON, with("w", json!({"max": 5}), meta(json!({"namespace": "other"})))),
        ("POST", "", JSON, with("w", json!({"max": 5}), meta(json!({"labels": {"a": 1}})))),
        ("POST", "", JSON, with("w", json!({"max": 5}), meta(json!({"name": 1})))),
        ("POST", "", JSON, with("w", json!({"max": 5}), meta(json!({"finalizers": "x"})))),
        ("POST", "?dryRun=Some", JSON, body("w", json!({"max": 5}))),
        ("POST", "?fieldValidation=Odd", JSON, body("w", json!({"max": 5}))),
        (
            "POST",
            "?fieldValidation=Strict",
            JSON,
            with("w", json!({"max": 5, "odd": 1}), json!({"x": 1, "metadata": {"odd": 1}})),
        ),
        ("POST", "", JSON, body("w", json!("text"))),
        ("POST", "", JSON, body("w", json!(null))),
        (
            "POST",
            "",
            JSON,
            json!({"apiVersion": "test.poolkeeper.dev/v1", "kind": "Gadget", "metadata": {"name": "w"}}),
        ),
        ("POST", "", JSON, with("w", json!({"max": 5}), json!({"status": "text"}))),
        ("PUT", "/a", JSON, body("a", json!({"max": 6}))),
        ("PUT", "/a", JSON, with("a", json!({"max": 6}), meta(json!({"resourceVersion": "1"})))),
        ("PUT", "/a", JSON, with("a", json!({"max": 6}), meta(json!({"resourceVersion": "x"})))),
        ("PUT", "/a", JSON, with("b", json!({"max": 6}), meta(json!({"resourceVersion": "1"})))),
        ("PUT", "/a", JSON, with("a", json!({"max": 6}), meta(json!({"name": null})))),
        ("PUT", "/a", JSON, with("a", json!({"max": 6}), meta(json!({"namespace": "other"})))),
        ("PUT", "/c", JSON, body("c", json!({"max": 6}))),
        ("PATCH", "/a", "text/plain", json!({})),
        ("PATCH", "/a", MERGE, json!([])),
        ("PATCH", "/a", JSON_PATCH, json!({})),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "test", "path": "/spec/mode", "value": null}])),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "test", "path": "/odd/mode", "value": null}])),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "test", "path": "/spec/max", "value": null}])),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "add", "path": "/odd/mode", "value": 1}])),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "replace", "path": "/spec/mode", "value": "Fast"}])),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "copy", "from": "/spec/max", "path": "/spec/min"}])),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "move", "from": "/spec/min", "path": "/spec/result"}])),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "odd", "path": "/spec/min"}])),
        (
            "PATCH",
            "/a",
            JSON_PATCH,
            json!([{"op": "add", "path": "/spec/words", "value": ["a"]}, {"op": "add", "path": "/spec/words/-", "value": "b"}]),
        ),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "add", "path": "/spec/words/5", "value": "b"}])),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "remove", "path": "/spec/words/0"}])),
        ("PATCH", "/a", JSON_PATCH, json!([{"op": "test", "path": "/spec/words", "value": ["b"]}])),
        ("PATCH", "/a?fieldValidation=Strict", MERGE, spec(json!({"odd": 1}))),
        ("PATCH", "/a", MERGE, json!({"kind": "Widget"})),
        ("PATCH", "/a", MERGE, json!({"spec": null})),
        ("PATCH", "/a", MERGE, json!({"status": null})),
        ("PATCH", "/a", MERGE, json!({"metadata": null})),
        ("PATCH", "/a/status", MERGE, json!({"status": null})),
        ("PATCH", "/a/status", MERGE, json!({"status": "text"})),
        ("PATCH", "/a/status", MERGE, json!({"metadata": {"uid": "other"}, "status": {"phase": "U"}})),
        ("PATCH", "/a/status", MERGE, json!({"metadata": {"finalizers": ["a.b/c"], "labels": {"x": "y"}}})),
        ("PUT", "/a/status", JSON, body("a", json!({"max": 5}))),
        ("GET", "/a/status", "", Value::Null),
        ("DELETE", "/a/status", "", Value::Null),
        ("GET", "/a", "", Value::Null),
    ];
    for patch in [
        json!({"name": "b"}),
        json!({"namespace": "b"}),
        json!({"uid": "b"}),
        json!({"uid": null}),
        json!({"creationTimestamp": "2020-01-01T00:00:00Z"}),
        json!({"creationTimestamp": null}),
        json!({"deletionGracePeriodSeconds": 5}),
        json!({"generation": 77}),
        json!({"generateName": "x-"}),
        json!({"selfLink": "/x"}),
        json!({"odd": 1}),
        json!({"resourceVersion": "x"}),
        json!({"resourceVersion": null}),
        json!({"labels": {"a/b/c": "x"}}),
        json!({"labels": {"/b": "x"}}),
        json!({"labels": {"A_/b": "x"}}),
        json!({"labels": {"": "x"}}),
        json!({"labels": {"ok": "-"}}),
        json!({"labels": {"ok": 5}}),
        json!({"labels": []}),
        json!({"labels": {}}),
        json!({"annotations": {"ok.dev/T": "{}"}}),
        json!({"annotations": {"-": ""}}),
        json!({"annotations": {"UP.dev/x": ""}}),
        json!({"annotations": null}),
        json!({"finalizers": ["plain"]}),
        json!({"finalizers": ["a b"]}),
        json!({"finalizers": []}),
        json!({"finalizers": [1]}),
        json!({"ownerReferences": "x"}),
        json!({"ownerReferences": []}),
    ] {
        all.push(("PATCH", "/a", MERGE, meta(patch)));
    }
    for patch in [json!({"name": ""}), json!({"uid": ""}), json!({"kind": ""}), json!({"apiVersion": ""})] {
        all.push(("PATCH", "/a", MERGE, owner(patch)));
    }
    for patch in [
        json!({"max": null}),
        json!({"max": 0}),
        json!({"max": 5.5}),
        json!({"max": "5"}),
        json!({"max": true}),
        json!({"max": {}}),
        json!({"max": []}),
        json!({"min": 9}),
        json!({"ratio": 0.5}),
        json!({"ratio": -1}),
        json!({"ratio": 2}),
        json!({"ratio": "x"}),
        json!({"mode": 1}),
        json!({"mode": "x\"y"}),
        json!({"word": "é"}),
        json!({"word": "ééééé"}),
        json!({"word": "abcdefgh"}),
        json!({"at": "2026-01-02T03:04:05Z"}),
        json!({"at": "2026-01-02"}),
        json!({"at": "2026-01-02T03:04:05+02:00"}),
        json!({"at": "2026-01-02 03:04:05Z"}),
        json!({"interval": "x"}),
        json!({"interval": "999999999h"}),
        json!({"interval": "5m"}),
        json!({"share": 1.5}),
        json!({"share": {}}),
        json!({"share": null}),
        json!({"free": "text"}),
        json!({"free": {"a": null}}),
        json!({"labels": {"a": null}}),
        json!({"labels": "x"}),
        json!({"words": "x"}),
        json!({"words": [null]}),
        json!({"words": [1]}),
        json!({"words": ["a", "a", "a"]}),
        json!({"parts": [null]}),
        json!({"parts": [{"name": null}]}),
        json!({"parts": [{"name": "x", "size": null, "odd": 1}]}),
        json!({"parts": [{"name": "x"}, {"name": "x", "size": 9}]}),
        json!({"tuning": null}),
        json!({"tuning": {"on": "yes"}}),
        json!({"tuning": []}),
        json!({"note": 1}),
        json!({"note": null}),
        json!({"result": 1}),
        json!({"fixed": "late"}),
        json!({"odd": {"x": 1}}),
    ] {
        all.push(("PATCH", "/a", MERGE, spec(patch.clone())));
        let mut new = json!({"max": 5});
        json_patch::merge(&mut new, &patch);
        all.push(("POST", "?dryRun=All", JSON, body("fresh", new)));
    }
    for status in [
        json!({"phase": 1}),
        json!({"attempt": -1}),
        json!({"attempt": 4, "odd": 1}),
        json!({"attempt": null}),
        json!({"replicas": "x"}),
        json!({"phase": null}),
    ] {
        all.push(("PATCH", "/a/status", MERGE, json!({"status": status})));
    }
    all.extend([
        ("PATCH", "/a/status", MERGE, json!({"status": {"attempt": 2}})),
        ("PATCH", "/a", MERGE, spec(json!({"result": 2}))),
        ("PATCH", "/a/status", MERGE, json!({"status": {"attempt": 1}})),
        ("PATCH", "/a", MERGE, spec(json!({"result": 1}))),
        ("PATCH", "/a/status", JSON_PATCH, json!([{"op": "replace", "path": "/status", "value": null}])),
        ("PATCH", "/a/status", JSON_PATCH, json!([{"op": "add", "path": "/spec/max", "value": 50}])),
        ("PATCH", "/a/status", JSON_PATCH, json!([{"op": "remove", "path": "/status/attempt"}])),
        ("PATCH", "/a", MERGE, spec(json!({"result": null}))),
    ]);
    all.extend([
        ("PATCH", "/a", MERGE, meta(json!({"finalizers": ["test.dev/f"]}))),
        ("DELETE", "/a", JSON, json!({"preconditions": {"uid": "x"}})),
        ("DELETE", "/a", JSON, json!({"preconditions": {"resourceVersion": "1"}})),
        ("DELETE", "/a", JSON, json!({"propagationPolicy": "Odd"})),
        ("DELETE", "/a?dryRun=All", "", Value::Null),
        ("DELETE", "/a", "", Value::Null),
        ("DELETE", "/a", "", Value::Null),
        ("GET", "/a", "", Value::Null),
        ("PATCH", "/a", MERGE, meta(json!({"finalizers": ["test.dev/f", "test.dev/g", "test.dev/h"]}))),
        ("PATCH", "/a", MERGE, meta(json!({"deletionTimestamp": null}))),
        ("PATCH", "/a", MERGE, spec(json!({"max": 9}))),
        ("PATCH", "/a/status", MERGE, json!({"metadata": {"finalizers": []}, "status": {"phase": "X"}})),
        ("PATCH", "/a", MERGE, json!({"metadata": {"finalizers": []}, "spec": {"max": 0}})),
        ("PATCH", "/a", MERGE, json!({"metadata": {"finalizers": []}, "spec": {"max": 7}})),
        ("GET", "/a", "", Value::Null),
        ("DELETE", "/a", "", Value::Null),
        ("DELETE", "", "", Value::Null),
        ("POST", "", JSON, body("z", json!({"max": 5}))),
        ("DELETE", "?labelSelector=x", "", Value::Null),
        ("DELETE", "", "", Value::Null),
        ("GET", "", "", Value::Null),
    ]);
    all.into_iter().map(|(method, path, media, body)| ask(method, path, media, body)).collect()
}
