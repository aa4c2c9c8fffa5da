//! Stories of requests whose whole answers are compared with those of a real server.
use serde_json::{Value, json};

use crate::exchange::{Ask, JSON, JSON_PATCH, MERGE, STRATEGIC, ask, tell};
use crate::subject::*;

on_both! { a_gadgets_life, swaps, deletions, lists, watches, metadata, leases, events, routes, patches }

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

fn gadget_with(name: &str, spec: Value, patch: Value) -> Value {
    let mut object = value(gadget(name, spec));
    json_patch::merge(&mut object, &patch);
    object
}

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

/// Selectors, pages, versions of lists.
async fn lists(subject: Subject) {
    let make = |name: &str, mode: &str, color: &str| {
        gadget_with(name, json!({"max": 5, "mode": mode}), json!({"metadata": {"labels": {"color": color}}}))
    };
    let mut story = vec![
        ask("GET", "", "", Value::Null),
        ask("POST", "", JSON, make("c", "Fast", "red")),
        ask("POST", "", JSON, make("a", "Slow", "blue")),
        ask("POST", "", JSON, make("b", "Fast", "")),
        ask("POST", "", JSON, gadget_with("d", json!({"max": 5}), json!({}))),
    ];
    for selector in [
        "color=red",
        "color==red",
        "color!=red",
        "color in (red,blue)",
        "color in (red, )",
        "color notin (red)",
        "color",
        "!color",
        "color,color!=red",
        "color=",
        "color in ()",
        "-x=y",
        "color=-",
        "a/b/c=x",
        "color=red,",
        "COLOR=red",
        "color notin (red),color",
        "in",
        "notin in (notin)",
        "color in (red,red)",
        "x.dev/color=red",
    ] {
        story.push(ask("GET", &format!("?labelSelector={}", encode(selector)), "", Value::Null));
    }
    for selector in [
        "spec.mode=Fast",
        "spec.mode==Fast",
        "spec.mode!=Fast",
        "spec.mode=",
        "spec.mode!=",
        "metadata.name=a",
        "metadata.name!=a",
        "metadata.namespace=NS",
        "metadata.namespace=other",
        "status.phase=Pending",
        "spec.mode=Fast,metadata.name=b",
        "spec.mode in (Fast)",
        "spec.mode",
        "metadata.labels.color=red",
        "spec.max=5",
        "kind=Gadget",
        "metadata.uid=x",
        ",",
        "spec.mode=Fast,",
        ".spec.mode=Fast",
        "spec.mode =Fast",
        "spec.mode= Fast",
    ] {
        story.push(ask("GET", &format!("?fieldSelector={}", encode(selector)), "", Value::Null));
    }
    for query in [
        "limit=2",
        "limit=2&continue=$continue",
        "limit=x",
        "limit=-1",
        "limit=0",
        "limit=4",
        "limit=100",
        "limit=2&labelSelector=color",
        "limit=3",
        "limit=2&resourceVersion=0",
        "resourceVersion=0",
        "resourceVersion=$list",
        "resourceVersion=$version.a",
        "resourceVersion=x",
        "resourceVersion=-1",
        "resourceVersion=0&resourceVersionMatch=NotOlderThan",
        "resourceVersion=$list&resourceVersionMatch=Exact",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=NotOlderThan",
        "resourceVersion=0&resourceVersionMatch=Odd",
        "resourceVersion=99999999999",
        "timeoutSeconds=x",
        "sendInitialEvents=true",
        "pretty=true",
    ] {
        story.push(ask("GET", &format!("?{query}"), "", Value::Null));
    }
    for path in [
        "/a?resourceVersion=0",
        "/a?resourceVersion=$version.a",
        "/a?resourceVersion=x",
        "/a?resourceVersion=99999999999",
        "/a?pretty=true",
        "/apis/test.poolkeeper.dev/v1/gadgets?fieldSelector=metadata.namespace%3DNS",
        "/apis/test.poolkeeper.dev/v1/gadgets?fieldSelector=metadata.namespace%3DNS,metadata.name%3Da&limit=1",
    ] {
        story.push(ask("GET", path, "", Value::Null));
    }
    // Each parser says in its own way what it cannot read.
    for query in [
        "labelSelector=color%20in%20(red",
        "labelSelector=!color%3Dred",
        "labelSelector=color%20exists",
        "labelSelector=color%3Dred%20blue",
        "labelSelector=color%3Dred%3Dblue",
        "labelSelector=,",
        "labelSelector=%3Dx",
        "labelSelector=color%20in%20red",
        "labelSelector=a%20b",
        "fieldSelector=spec.mode%3Da%3Db",
        "continue=odd",
    ] {
        story.push(ask("GET", &format!("?{query}"), "", Value::Null).loosely());
    }
    tell(&subject, "lists", &story).await;
}

/// A query's value in percent encoding.
fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Where watches start, what they show and in which order.
async fn watches(subject: Subject) {
    let make = |name: &str, mode: &str| gadget_with(name, json!({"max": 5, "mode": mode}), json!({}));
    let label = |v: Value| json!({"metadata": {"labels": {"k": v}}});
    let story = [
        ask("POST", "", JSON, make("first", "Fast")),
        ask("POST", "", JSON, make("b", "Fast")),
        ask("POST", "", JSON, make("a", "Slow")),
        ask("PATCH", "/a", MERGE, json!({"spec": {"mode": "Fast"}})),
        ask("PATCH", "/a", MERGE, json!({"spec": {"mode": "Fast"}})),
        ask("PATCH", "/b", MERGE, label("x".into())),
        ask("PATCH", "/a/status", MERGE, json!({"status": {"phase": "Done"}})),
        ask("PATCH", "/b", MERGE, label("y".into())),
        ask("PATCH", "/a", MERGE, json!({"spec": {"mode": "Slow"}})),
        ask("PATCH", "/b", MERGE, label(Value::Null)),
        ask("PATCH", "/b", MERGE, json!({"spec": {"mode": null}})),
        ask("DELETE", "/b", "", Value::Null),
        ask("POST", "", JSON, make("b", "Slow")),
        ask("DELETE", "/a", "", Value::Null),
        ask("WATCH", "?resourceVersion=$first.first", "", json!(11)),
        ask("WATCH", "?resourceVersion=$first.a", "", json!(9)),
        ask("WATCH", "?resourceVersion=$first.first&fieldSelector=spec.mode%3DFast", "", json!(7)),
        ask("WATCH", "?resourceVersion=$first.first&fieldSelector=status.phase%3DPending", "", json!(8)),
        ask("WATCH", "?resourceVersion=$first.first&labelSelector=k", "", json!(3)),
        ask("WATCH", "?resourceVersion=$first.first&labelSelector=k%3Dy", "", json!(2)),
        ask("WATCH", "?resourceVersion=$first.first&labelSelector=k!%3Dy,k", "", json!(2)),
        ask("WATCH", "?resourceVersion=$first.first&fieldSelector=metadata.name%3Da", "", json!(5)),
        ask("WATCH", "?resourceVersion=0&fieldSelector=metadata.name%3Db", "", json!(1)),
        ask("WATCH", "?resourceVersion=0&fieldSelector=spec.mode%3DFast", "", json!(1)),
        ask("WATCH", "?", "", json!(2)),
        ask("WATCH", "?resourceVersion=0&timeoutSeconds=1", "", json!(3)),
        ask("GET", "/b?watch=true&timeoutSeconds=1", "", Value::Null),
        ask("GET", "?watch=1&timeoutSeconds=1&resourceVersion=$version.b&limit=5", "", Value::Null),
        ask("GET", "?watch=true&resourceVersion=x", "", Value::Null),
        ask("GET", "?watch=true&timeoutSeconds=x", "", Value::Null),
        ask("GET", "?watch=true&fieldSelector=spec.max%3D5", "", Value::Null),
        ask("GET", "?watch=true&labelSelector=a%20b", "", Value::Null).loosely(),
        ask("GET", "?watch=true&resourceVersion=0&resourceVersionMatch=NotOlderThan", "", Value::Null),
        ask("GET", "?watch=true&continue=abc&timeoutSeconds=1", "", Value::Null).loosely(),
        ask("GET", "?watch=false", "", Value::Null),
        ask("GET", "?watch=odd&resourceVersion=0&timeoutSeconds=1", "", Value::Null).loosely(),
        ask("GET", "?watch=&resourceVersion=0&timeoutSeconds=1", "", Value::Null).loosely(),
        ask("GET", "?watch=FALSE", "", Value::Null),
    ];
    tell(&subject, "watches", &story).await;
}

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

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/NS/leases";

/// Leases as election clients use them.
async fn leases(subject: Subject) {
    let lease = |name: &str, spec: Value, metadata: Value| {
        let mut object = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec,
        });
        json_patch::merge(&mut object["metadata"], &metadata);
        object
    };
    let (all, one) = (LEASES.to_owned(), format!("{LEASES}/l"));
    let taken = json!({
        "holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 0,
        "acquireTime": "2026-01-02T03:04:05.678901Z", "renewTime": "2026-01-02T03:04:05.678901Z",
    });
    let renew = |time: &str| json!({"spec": {"renewTime": time}});
    let version = |v: &str| json!({"resourceVersion": v});
    let mut story = vec![
        ask("POST", &all, JSON, lease("l", taken.clone(), json!({}))),
        ask("POST", &all, JSON, lease("l", taken.clone(), json!({}))),
        ask("GET", &one, "", Value::Null),
        ask("PUT", &one, JSON, lease("l", taken.clone(), version("$version.l"))),
        ask("PATCH", &one, MERGE, renew("2026-01-02T03:04:06.000000Z")),
        ask("PUT", &one, JSON, lease("l", taken.clone(), version("$first.l"))),
        ask("PUT", &one, JSON, lease("l", taken.clone(), version("$version.l"))),
        ask("PUT", &one, JSON, lease("l", taken.clone(), json!({}))),
        ask("PATCH", &one, STRATEGIC, renew("2026-01-02T03:04:07.000000Z")),
        ask("PATCH", &one, STRATEGIC, renew("2026-01-02T03:04:07.000000Z")),
        ask("PATCH", &one, MERGE, json!({"metadata": version("$first.l"), "spec": {"holderIdentity": "you"}})),
        ask("PATCH", &one, MERGE, json!({"metadata": version("$version.l"), "spec": {"holderIdentity": "you"}})),
        ask(
            "PATCH",
            &one,
            JSON_PATCH,
            json!([
                {"op": "test", "path": "/spec/holderIdentity", "value": "me"},
                {"op": "replace", "path": "/spec/holderIdentity", "value": "they"},
            ]),
        ),
        ask(
            "PATCH",
            &one,
            JSON_PATCH,
            json!([
                {"op": "test", "path": "/spec/holderIdentity", "value": "you"},
                {"op": "replace", "path": "/spec/holderIdentity", "value": "they"},
            ]),
        ),
        ask("PATCH", &one, MERGE, json!({"metadata": {"annotations": {"a.b/c": "d"}, "finalizers": ["a.b/c"]}})),
        ask("PATCH", &one, MERGE, json!({"metadata": {"finalizers": null}})),
        ask("PUT", &format!("{LEASES}/m"), JSON, lease("m", taken.clone(), json!({}))),
        ask("POST", &all, JSON, json!({"metadata": {"name": "n"}})),
        ask("POST", &all, JSON, json!({"metadata": {"name": "o"}, "spec": null})),
        ask("POST", &format!("{all}?dryRun=All"), JSON, lease("A_b", json!({}), json!({}))),
    ];
    for spec in [
        json!({"leaseDurationSeconds": 0}),
        json!({"leaseDurationSeconds": -1, "leaseTransitions": -1}),
        json!({"leaseTransitions": -1}),
        json!({"holderIdentity": ""}),
        json!({"holderIdentity": null}),
        json!({"renewTime": null}),
    ] {
        story.push(ask("POST", &format!("{all}?dryRun=All"), JSON, lease("p", spec.clone(), json!({}))));
        story.push(ask("PATCH", &format!("{one}?dryRun=All"), MERGE, json!({"spec": spec})));
    }
    for spec in [
        json!({"renewTime": "noon"}),
        json!({"renewTime": 5}),
        json!({"leaseDurationSeconds": "x"}),
        json!({"holderIdentity": 7}),
    ] {
        story.push(ask("POST", &format!("{all}?dryRun=All"), JSON, lease("p", spec.clone(), json!({}))).loosely());
        story.push(ask("PATCH", &format!("{one}?dryRun=All"), MERGE, json!({"spec": spec})).loosely());
    }
    story.extend([
        ask("POST", &format!("{all}?dryRun=All"), JSON, lease("p", json!({"odd": 1}), json!({}))),
        ask(
            "POST",
            &format!("{all}?dryRun=All&fieldValidation=Strict"),
            JSON,
            lease("p", json!({"odd": 1}), json!({})),
        ),
        ask("PATCH", &format!("{one}?dryRun=All&fieldValidation=Strict"), MERGE, json!({"spec": {"odd": 1}})).loosely(),
        ask("GET", &format!("{all}?fieldSelector=metadata.name%3Dl"), "", Value::Null),
        ask("GET", &format!("{all}?fieldSelector=spec.holderIdentity%3Dl"), "", Value::Null).loosely(),
        ask("DELETE", &one, JSON, json!({"preconditions": {"resourceVersion": "$first.l"}})),
        ask("DELETE", &one, JSON, json!({"preconditions": {"resourceVersion": "$version.l"}})),
        ask("GET", &one, "", Value::Null),
        ask("WATCH", &format!("{all}?resourceVersion=$first.l&fieldSelector=metadata.name%3Dl"), "", json!(8)),
    ]);
    tell(&subject, "leases", &story).await;
}

/// Events, through both groups.
async fn events(subject: Subject) {
    const NEW: &str = "/apis/events.k8s.io/v1/namespaces/NS/events";
    const OLD: &str = "/api/v1/namespaces/NS/events";
    let reference = json!({"apiVersion": "test.poolkeeper.dev/v1", "kind": "Gadget", "name": "a", "namespace": "NS"});
    let event = |name: &str, patch: Value| {
        let mut object = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name},
            "eventTime": "2026-01-02T03:04:05.678901Z", "reportingController": "test.dev/tester",
            "reportingInstance": "me", "action": "Testing", "reason": "Because", "type": "Warning",
            "regarding": reference, "note": "it is so",
        });
        json_patch::merge(&mut object, &patch);
        object
    };
    let old = |name: &str, patch: Value| {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": reference,
            "reason": "Old", "message": "it was so", "type": "Normal", "count": 1,
            "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:05Z",
            "source": {"component": "tester"},
        });
        json_patch::merge(&mut object, &patch);
        object
    };
    let story = [
        ask("POST", NEW, JSON, event("a", json!({}))),
        ask("GET", &format!("{NEW}/a"), "", Value::Null),
        ask("GET", &format!("{OLD}/a"), "", Value::Null),
        ask(
            "PATCH",
            &format!("{NEW}/a"),
            MERGE,
            json!({
                "series": {"count": 2, "lastObservedTime": "2026-01-02T03:05:05.678901Z"},
            }),
        ),
        ask("POST", NEW, JSON, event("a", json!({}))),
        ask("POST", OLD, JSON, old("b", json!({}))),
        ask("PATCH", &format!("{OLD}/b"), STRATEGIC, json!({"count": 2, "lastTimestamp": "2026-01-02T03:06:05Z"})),
        ask("GET", &format!("{NEW}/b"), "", Value::Null),
        ask("GET", OLD, "", Value::Null),
        ask("GET", &format!("{OLD}?fieldSelector=involvedObject.name%3Da,type%3DWarning"), "", Value::Null),
        ask("GET", &format!("{OLD}?fieldSelector=involvedObject.kind%3DGadget,reason%3DOld"), "", Value::Null),
        ask("GET", &format!("{NEW}?fieldSelector=regarding.name%3Da,reason!%3DOld"), "", Value::Null),
        ask("GET", &format!("{NEW}?fieldSelector=note%3Da"), "", Value::Null).loosely(),
        ask("PUT", &format!("{OLD}/b"), JSON, old("b", json!({"count": 3}))),
        ask("DELETE", &format!("{NEW}/a"), "", Value::Null),
        ask("DELETE", &format!("{OLD}/b"), "", Value::Null),
        ask("GET", NEW, "", Value::Null),
    ];
    tell(&subject, "events", &story).await;
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
