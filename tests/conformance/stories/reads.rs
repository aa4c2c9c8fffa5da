//! Lists and watches.
use serde_json::{Value, json};

use super::gadget_with;
use crate::exchange::{JSON, MERGE, ask, tell};
use crate::subject::*;

on_both! { lists, watches }

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
