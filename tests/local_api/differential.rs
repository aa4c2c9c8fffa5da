//! The same requests to the embedded server and to a cluster, compared answer by answer.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::*;

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";

/// Takes out what cannot be equal: times, managed fields (and thus the versions that only they made), uids, and the
/// mistakes that a cluster tells twice.
fn normalize(value: &mut Value, env: &Env, uids: &mut BTreeMap<String, usize>) {
    match value {
        Value::Object(map) => {
            map.remove("managedFields");
            for (key, v) in map.iter_mut() {
                match key.as_str() {
                    "creationTimestamp" | "deletionTimestamp" if v.is_string() => *v = "TIME".into(),
                    "resourceVersion" if v.is_string() => *v = "VERSION".into(),
                    "uid" if v.is_string() => {
                        let next = uids.len();
                        *v = uids.entry(v.to_string()).or_insert(next).to_string().into();
                    }
                    _ => normalize(v, env, uids),
                }
            }
            if let Some(Value::Array(causes)) = map.get_mut("causes") {
                let mut unique: Vec<Value> = Vec::new();
                for cause in causes.drain(..) {
                    if !unique.contains(&cause) {
                        unique.push(cause);
                    }
                }
                *causes = unique;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| normalize(v, env, uids)),
        Value::String(s) => {
            *s = s.replace(&env.namespace, "NS");
            // Preconditions tell the uid or the version found.
            if let Some((before, _)) = s.split_once(" in record (") {
                *s = before.into();
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn both_servers_answer_alike() {
    if std::env::var_os("POOLKEEPER_TEST_CLUSTER").is_none() {
        eprintln!("skipped: needs POOLKEEPER_TEST_CLUSTER=1 and a kubeconfig");
        return;
    }
    let cluster = env().await;
    let api = local(poolkeeper::local::History::Full);
    let embedded =
        Env { client: api.client(&cluster.namespace), namespace: cluster.namespace.clone(), local: Some(api) };
    let (mut seen_there, mut seen_here) = (BTreeMap::new(), BTreeMap::new());
    let mut different = 0;
    for (method, path, media, body) in requests() {
        let path = format!("{GADGETS}{path}");
        let (code, mut there) = cluster.raw(method, &path, media, body.clone()).await;
        let (own_code, mut here) = embedded.raw(method, &path, media, body.clone()).await;
        normalize(&mut there, &cluster, &mut seen_there);
        normalize(&mut here, &embedded, &mut seen_here);
        // What a body that cannot be read has wrong is told in terms of Go, and options in terms of the verb.
        let request = format!("{path} {body}");
        let told_otherwise = code == 400
            || there["details"]["causes"][0]["field"] == "patch"
            || ["=Some", "=Odd", "=Strict", "Policy"].iter().any(|t| request.contains(t));
        if told_otherwise && code == own_code && there["reason"] == here["reason"] {
            continue;
        }
        if (code, &there) != (own_code, &here) {
            different += 1;
            eprintln!("{method} {path} {body}\n cluster  {code} {there}\n embedded {own_code} {here}\n");
        }
    }
    assert_eq!(different, 0);
}

fn requests() -> Vec<(&'static str, &'static str, &'static str, Value)> {
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
    let mut all = vec![
        ("POST", "", JSON, body("a", json!({"max": 5}))),
        ("POST", "", JSON, body("a", json!({"max": 5}))),
        ("GET", "/a", "", Value::Null),
        ("GET", "/b", "", Value::Null),
        ("GET", "?fieldSelector=spec.mode%3DFast", "", Value::Null),
        ("GET", "?fieldSelector=spec.max%3D5", "", Value::Null),
        ("GET", "?labelSelector=a%20b", "", Value::Null),
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
    for patch in
        [json!({"name": ""}), json!({"uid": ""}), json!({"kind": ""}), json!({"apiVersion": ""}), json!({"odd": 1})]
    {
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
        json!({"labels": {"a": {"b": 1}}}),
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
        json!({"replicas": "x", "selector": []}),
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
    all
}
