//! The pools' `/scale`: what a pool may be holds there too.
use serde_json::{Value, json};

use crate::exchange::{JSON, MERGE};
use crate::subject::*;

on_both! { scaling_sets_the_floor_and_keeps_the_rules }

const POOLS: &str = "/apis/poolkeeper.dev/v1alpha1/namespaces/NS/containerpools";

async fn scaling_sets_the_floor_and_keeps_the_rules(subject: Subject) {
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"},
        "spec": {"image": "a", "min": 1, "max": 8},
    });
    let (code, made) = subject.raw("POST", POOLS, JSON, pool).await;
    assert_eq!(code, 201, "{made}");
    let (one, scale) = (format!("{POOLS}/agents"), format!("{POOLS}/agents/scale"));
    let status = json!({"status": {"workers": 3, "selector": "poolkeeper.dev/pool=agents"}});
    assert_eq!(subject.raw("PATCH", &format!("{one}/status"), MERGE, status).await.0, 200);
    let (code, seen) = subject.raw("GET", &scale, "", Value::Null).await;
    assert_eq!((code, &seen["kind"], &seen["spec"]["replicas"]), (200, &json!("Scale"), &json!(1)));
    assert_eq!(seen["status"], json!({"replicas": 3, "selector": "poolkeeper.dev/pool=agents"}));

    let to = |replicas: i64| json!({"spec": {"replicas": replicas}});
    let (code, scaled) = subject.raw("PATCH", &scale, MERGE, to(8)).await;
    assert_eq!((code, &scaled["spec"]["replicas"]), (200, &json!(8)), "{scaled}");
    let (_, pool) = subject.raw("GET", &one, "", Value::Null).await;
    assert_eq!((&pool["spec"]["min"], &pool["metadata"]["generation"]), (&json!(8), &json!(2)));

    for (replicas, message) in [
        (9, "spec: Invalid value: \"object\": min must be <= max (raise spec.max first)"),
        (100_001, "spec.min in body should be less than or equal to 100000"),
        (-1, "spec.min in body should be greater than or equal to 0"),
    ] {
        let (code, refused) = subject.raw("PATCH", &scale, MERGE, to(replicas)).await;
        assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(message), "{refused}");
        let mut whole = scaled.clone();
        whole["spec"] = json!({"replicas": replicas});
        let (code, refused) = subject.raw("PUT", &scale, JSON, whole).await;
        assert_eq!(code, 422, "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(message), "{refused}");
    }
    let (_, kept) = subject.raw("GET", &one, "", Value::Null).await;
    assert_eq!(kept["metadata"]["resourceVersion"], pool["metadata"]["resourceVersion"]);
}
