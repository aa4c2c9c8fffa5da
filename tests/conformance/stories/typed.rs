//! Leases and Events, which a real server keeps in Go types.
use serde_json::{Value, json};

use crate::exchange::{JSON, JSON_PATCH, MERGE, STRATEGIC, ask, tell};
use crate::subject::*;

on_both! { leases, events }

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
