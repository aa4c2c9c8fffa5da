//! A test kind, a place to keep it, and short ways to write to it.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, Status};
use kube::{Client, CustomResource};
use poolkeeper::clock::{Ids, SystemClock};
use poolkeeper::local::{History, LocalApi, Options};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub const GROUP: &str = "test.poolkeeper.dev";

/// The typed view of a Gadget. Its CRD is written by hand, below.
#[derive(CustomResource, Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq)]
#[kube(group = "test.poolkeeper.dev", version = "v1", kind = "Gadget", namespaced, status = "GadgetStatus")]
#[serde(rename_all = "camelCase")]
pub struct GadgetSpec {
    pub max: i64,
    #[serde(default)]
    pub mode: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, PartialEq)]
pub struct GadgetStatus {
    pub phase: Option<String>,
}

/// A kind with something of everything.
pub fn gadget_crd() -> CustomResourceDefinition {
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("gadgets.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget", "shortNames": ["gg"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.mode"}, {"jsonPath": ".status.phase"}],
                "schema": {"openAPIV3Schema": gadget_schema()},
            }],
        },
    });
    serde_json::from_value(crd).unwrap()
}

fn gadget_schema() -> Value {
    json!({
        "type": "object", "required": ["spec"],
        "x-kubernetes-validations": [
            {"rule": "size(self.metadata.name) <= 50", "message": "the name must have at most 50 characters"},
            {
                "rule": "!has(self.spec.result) || (has(self.status) && has(self.status.attempt) && self.spec.result <= self.status.attempt)",
                "message": "result is ahead of attempt",
            },
            {
                "rule": "!has(oldSelf.spec.result) || (has(self.spec.result) && self.spec.result >= oldSelf.spec.result)",
                "message": "result never goes back",
            },
        ],
        "properties": {
            "spec": {
                "type": "object", "required": ["max"],
                "x-kubernetes-validations": [
                    {"rule": "self.min <= self.max", "message": "min must be <= max (raise spec.max first)"},
                    {"rule": "has(self.fixed) == has(oldSelf.fixed) && (!has(self.fixed) || self.fixed == oldSelf.fixed)",
                     "messageExpression": "'fixed is ' + (has(oldSelf.fixed) ? oldSelf.fixed : 'unset') + ' for good'",
                     "reason": "FieldValueForbidden", "fieldPath": ".fixed"},
                ],
                "properties": {
                    "min": {"type": "integer", "minimum": 0, "default": 1},
                    "max": {"type": "integer", "minimum": 1, "maximum": 100},
                    "mode": {"type": "string", "enum": ["Fast", "Slow"]},
                    "result": {"type": "integer"},
                    "fixed": {"type": "string", "maxLength": 20},
                    "note": {"type": "string", "nullable": true},
                    "word": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
                    "ratio": {"type": "number", "exclusiveMinimum": true, "minimum": 0},
                    "at": {"type": "string", "format": "date-time"},
                    "interval": {
                        "type": "string", "maxLength": 20,
                        "x-kubernetes-validations": [{
                            "rule": "self.matches('^([0-9]+(h|m|s|ms))+$') && duration(self) > duration('0s')",
                            "message": "must be a duration above 0, such as 1m30s",
                        }],
                    },
                    "share": {"x-kubernetes-int-or-string": true},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "labels": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string"}},
                    "words": {
                        "type": "array", "maxItems": 3, "x-kubernetes-list-type": "set", "items": {"type": "string"},
                    },
                    "parts": {
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object", "required": ["name"],
                            "properties": {
                                "name": {"type": "string"}, "size": {"type": "integer", "default": 3},
                            },
                        },
                    },
                    "tuning": {
                        "type": "object", "default": {},
                        "properties": {"level": {"type": "integer", "default": 7}, "on": {"type": "boolean"}},
                    },
                },
            },
            "status": {
                "type": "object", "default": {"phase": "Pending"},
                "properties": {
                    "phase": {"type": "string"}, "attempt": {"type": "integer", "minimum": 0},
                    "replicas": {"type": "integer"}, "selector": {"type": "string"},
                },
            },
        },
    })
}

/// A server, and a namespace of it that no other test uses.
#[derive(Clone)]
pub struct Subject {
    pub client: Client,
    pub namespace: String,
    /// `None`: a real server.
    pub local: Option<LocalApi>,
}

/// An embedded server of gadgets and of what Poolkeeper has, and its namespace.
pub fn subject(history: History) -> (Subject, LocalApi) {
    let api = local(history);
    let namespace = "test-local".to_owned();
    (Subject { client: api.client(&namespace), namespace, local: Some(api.clone()) }, api)
}

/// An embedded server of gadgets and of what Poolkeeper has.
pub fn local(history: History) -> LocalApi {
    let options = Options { crds: crds(), clock: Arc::new(SystemClock::new()), ids: Ids::seeded(1), history };
    LocalApi::new(options).unwrap()
}

/// All that a server under test serves besides the built-in kinds.
pub fn crds() -> Vec<CustomResourceDefinition> {
    std::iter::once(gadget_crd()).chain(poolkeeper::api::crd::all()).collect()
}

impl Subject {
    pub fn gadgets(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &gadget_resource())
    }

    pub fn typed(&self) -> Api<Gadget> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a gadget with that spec.
    pub async fn create(&self, name: &str, spec: Value) -> Value {
        value(self.try_create(name, spec).await.unwrap())
    }

    pub async fn try_create(&self, name: &str, spec: Value) -> kube::Result<DynamicObject> {
        self.gadgets().create(&PostParams::default(), &gadget(name, spec)).await
    }

    pub async fn get(&self, name: &str) -> Value {
        value(self.gadgets().get(name).await.unwrap())
    }

    pub async fn merge(&self, name: &str, patch: Value) -> kube::Result<DynamicObject> {
        self.gadgets().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    pub async fn merge_status(&self, name: &str, patch: Value) -> kube::Result<DynamicObject> {
        self.gadgets().patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    pub async fn json(&self, name: &str, patch: Value) -> kube::Result<DynamicObject> {
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        self.gadgets().patch(name, &PatchParams::default(), &Patch::Json::<()>(patch)).await
    }

    /// Sends a request as it is; returns the code and the body.
    pub async fn raw(&self, method: &str, path: &str, content_type: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
        let (code, _, bytes) = self.send(method, path, content_type, body).await;
        (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into()))
    }

    /// Sends a request as it is; returns the code, the warnings and the body.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> (u16, Vec<String>, bytes::Bytes) {
        // A token of a list may contain these letters by chance: only whole words are the namespace.
        let path = ["namespaces/", "metadata.namespace%3D"].iter().fold(path.to_owned(), |path, before| {
            path.replace(&format!("{before}NS"), &format!("{before}{}", self.namespace))
        });
        let mut request = http::Request::builder().method(method).uri(&path);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let request = request.body(body.into()).unwrap();
        let response = soon(self.client.send(request)).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let warnings = response.headers().get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
        let code = response.status().as_u16();
        (code, warnings, soon(response.into_body().collect_bytes()).await.unwrap())
    }
}

/// What happens within the time that an answer may take.
async fn soon<T>(answer: impl Future<Output = T>) -> T {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
    tokio::time::timeout(PATIENCE, answer).await.expect("no answer")
}

pub const GADGETS: &str = "/apis/test.poolkeeper.dev/v1/namespaces/NS/gadgets";

pub fn gadget_resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", "Gadget"), "gadgets")
}

pub fn gadget(name: &str, spec: Value) -> DynamicObject {
    let mut object = DynamicObject::new(name, &gadget_resource());
    object.data = json!({"spec": spec});
    object
}

pub fn value(object: impl Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

/// The Status of a refusal.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> Box<Status> {
    match result {
        Err(kube::Error::Api(status)) => status,
        other => panic!("expected an API error, got {other:?}"),
    }
}

/// Checks code, reason and message of a refusal.
#[track_caller]
pub fn expect_status<T: std::fmt::Debug>(result: kube::Result<T>, code: u16, reason: &str, message: &str) {
    let status = refused(result);
    assert_eq!((status.code, status.reason.as_str(), status.message.as_str()), (code, reason, message));
}

/// Checks that a write is refused as invalid with that message after the object's name.
#[track_caller]
pub fn expect_invalid<T: std::fmt::Debug>(result: kube::Result<T>, name: &str, errors: &str) {
    expect_status(result, 422, "Invalid", &format!("Gadget.{GROUP} {name:?} is invalid: {errors}"));
}

/// Checks code and reason of a refusal, and that its message contains `part`.
#[track_caller]
pub fn expect_message<T: std::fmt::Debug>(result: kube::Result<T>, code: u16, reason: &str, part: &str) {
    let status = refused(result);
    assert_eq!((status.code, status.reason.as_str()), (code, reason));
    assert!(status.message.contains(part), "{}", status.message);
}
