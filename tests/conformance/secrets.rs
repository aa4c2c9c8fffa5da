//! Secrets: what is stored of them, and what is refused.
use serde_json::{Value, json};

use crate::exchange::{JSON, JSON_PATCH, MERGE, STRATEGIC};
use crate::subject::*;

on_both! {
    text_is_stored_as_data,
    changes_keep_what_they_do_not_name,
    what_cannot_be_a_value_is_refused,
    an_immutable_secret_can_only_be_deleted,
    types_have_keys_of_their_own,
}

const SECRETS: &str = "/api/v1/namespaces/NS/secrets";

fn secret(fields: Value) -> Value {
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tokens"}});
    secret.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    secret
}

fn one() -> String {
    format!("{SECRETS}/tokens")
}

async fn text_is_stored_as_data(env: Subject) {
    let body = secret(json!({"data": {"a": "QQ==", "b": "Qg=="}, "stringData": {"b": "new", "c": "line\n"}}));
    let (code, made) = env.raw("POST", SECRETS, JSON, body).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["data"], json!({"a": "QQ==", "b": "bmV3", "c": "bGluZQo="}));
    assert_eq!((&made["type"], made.get("stringData")), (&json!("Opaque"), None));
    assert_eq!(made["metadata"].get("generation"), None);
    let (code, list) = env.raw("GET", &format!("{SECRETS}?fieldSelector=type%3DOpaque"), "", Value::Null).await;
    assert_eq!((code, &list["kind"]), (200, &json!("SecretList")));
    assert_eq!(list["items"][0]["data"], made["data"]);
    let (code, list) = env.raw("GET", &format!("{SECRETS}?fieldSelector=type%3Dother"), "", Value::Null).await;
    assert_eq!((code, list["items"].as_array().unwrap().len()), (200, 0));
    let (code, gone) = env.raw("DELETE", &one(), "", Value::Null).await;
    assert_eq!((code, &gone["status"]), (200, &json!("Success")));
    assert_eq!(env.raw("GET", &one(), "", Value::Null).await.0, 404);
}

async fn changes_keep_what_they_do_not_name(env: Subject) {
    env.raw("POST", SECRETS, JSON, secret(json!({"stringData": {"a": "1"}}))).await;
    for (media, patch, data) in [
        (MERGE, json!({"stringData": {"b": "2"}}), json!({"a": "MQ==", "b": "Mg=="})),
        (STRATEGIC, json!({"data": {"a": "Mw=="}}), json!({"a": "Mw==", "b": "Mg=="})),
        (
            JSON_PATCH,
            json!([{"op": "add", "path": "/data/c", "value": "NA=="}]),
            json!({"a": "Mw==", "b": "Mg==", "c": "NA=="}),
        ),
        (MERGE, json!({"data": {"a": null, "b": null}}), json!({"c": "NA=="})),
    ] {
        let (code, patched) = env.raw("PATCH", &one(), media, patch).await;
        assert_eq!((code, &patched["data"]), (200, &data), "{patched}");
    }
    // A replacement names everything. It needs no version.
    let (code, replaced) = env.raw("PUT", &one(), JSON, secret(json!({"stringData": {"d": "5"}}))).await;
    assert_eq!((code, &replaced["data"]), (200, &json!({"d": "NQ=="})), "{replaced}");
    let (code, refused) = env.raw("PUT", &one(), JSON, secret(json!({"type": "other"}))).await;
    assert_eq!(code, 422);
    let words = "Secret \"tokens\" is invalid: type: Invalid value: \"other\": field is immutable";
    assert_eq!(refused["message"], words);
}

async fn what_cannot_be_a_value_is_refused(env: Subject) {
    let (code, refused) = env.raw("POST", SECRETS, JSON, secret(json!({"data": {"a": "sesame!!"}}))).await;
    assert_eq!(code, 400);
    let words = "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 6";
    assert_eq!(refused["message"], words);
    let (code, refused) = env.raw("POST", SECRETS, JSON, secret(json!({"stringData": {"a b": "x"}}))).await;
    assert_eq!(code, 422);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("data[a b]: Invalid value: \"a b\": a valid config key must consist of"), "{message}");
    let (code, refused) =
        env.raw("POST", SECRETS, JSON, secret(json!({"stringData": {"a": "x".repeat(1024 * 1024 + 1)}}))).await;
    assert_eq!(code, 422);
    let words = "Secret \"tokens\" is invalid: data: Too long: may not be more than 1048576 bytes";
    assert_eq!(refused["message"], words);
    let unknown = secret(json!({"strngData": {"a": "x"}}));
    let (code, refused) = env.raw("POST", &format!("{SECRETS}?fieldValidation=Strict"), JSON, unknown).await;
    assert_eq!(code, 400);
    assert!(refused["message"].as_str().unwrap().contains("unknown field \"strngData\""), "{refused}");
    // A bad value in a patch is refused, and nothing has changed.
    env.raw("POST", SECRETS, JSON, secret(json!({"stringData": {"a": "sesame"}}))).await;
    let (code, _) = env.raw("PATCH", &one(), MERGE, json!({"data": {"b": "?"}})).await;
    assert_eq!(code, 422);
    assert_eq!(env.raw("GET", &one(), "", Value::Null).await.1["data"], json!({"a": "c2VzYW1l"}));
}

async fn an_immutable_secret_can_only_be_deleted(env: Subject) {
    env.raw("POST", SECRETS, JSON, secret(json!({"stringData": {"a": "1"}, "immutable": true}))).await;
    for (patch, words) in [
        (json!({"stringData": {"a": "2"}}), "data: Forbidden: field is immutable when `immutable` is set"),
        (json!({"immutable": false}), "immutable: Forbidden: field is immutable when `immutable` is set"),
    ] {
        let (code, refused) = env.raw("PATCH", &one(), MERGE, patch).await;
        assert_eq!((code, &refused["message"]), (422, &json!(format!("Secret \"tokens\" is invalid: {words}"))));
    }
    let (code, labelled) = env.raw("PATCH", &one(), MERGE, json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(code, 200, "{labelled}");
    assert_eq!(env.raw("DELETE", &one(), "", Value::Null).await.0, 200);
}

async fn types_have_keys_of_their_own(env: Subject) {
    for (kind, missing) in [
        ("kubernetes.io/tls", "[data[tls.crt]: Required value, data[tls.key]: Required value]"),
        ("kubernetes.io/basic-auth", "[data[username]: Required value, data[password]: Required value]"),
        ("kubernetes.io/ssh-auth", "data[ssh-privatekey]: Required value"),
    ] {
        let (code, refused) = env.raw("POST", SECRETS, JSON, secret(json!({"type": kind}))).await;
        assert_eq!((code, &refused["message"]), (422, &json!(format!("Secret \"tokens\" is invalid: {missing}"))));
    }
    let (code, made) = env.raw("POST", SECRETS, JSON, secret(json!({"type": "example.com/anything"}))).await;
    assert_eq!(code, 201, "{made}");
}
