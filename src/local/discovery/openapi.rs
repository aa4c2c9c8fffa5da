//! The OpenAPI v3 documents: what `kubectl explain` prints, and from which `kubectl apply` learns that the server checks fields.
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::{core, events};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::release::{MAJOR, MINOR};
use crate::local::schema::kind::{Kind, Kinds};

/// The list of the documents.
pub(super) fn index(groups: &[(&str, &str)]) -> Value {
    let entry = |(group, version): &(&str, &str)| {
        let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
        let url = format!("/openapi/v3/{path}");
        (path, json!({"serverRelativeURL": url}))
    };
    json!({"paths": groups.iter().map(entry).collect::<Map<_, _>>()})
}

/// The document of a group in a version. None: there is none.
pub(super) fn document(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let of_group: Vec<&Kind> =
        kinds.0.iter().filter(|k| k.group == group && k.version == version).map(|k| &**k).collect();
    if of_group.is_empty() {
        return None;
    }
    let paths: Map<_, _> = of_group.iter().flat_map(|kind| paths(kind)).collect();
    let mut models = models();
    for kind in of_group {
        let schema = schema(kind, &models);
        models.insert(schema_name(kind), schema);
    }
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": format!("v{MAJOR}.{MINOR}.0")},
        "paths": paths, "components": {"schemas": models},
    }))
}

/// The built-in kinds and their parts.
fn models() -> Map<String, Value> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    generator.subschema_for::<Secret>();
    generator.subschema_for::<Namespace>();
    generator.subschema_for::<Lease>();
    generator.subschema_for::<core::v1::Event>();
    generator.subschema_for::<events::v1::Event>();
    let mut models = generator.take_definitions(true);
    for model in models.values_mut() {
        // Go's types require no metadata.
        if let Some(required) = model["required"].as_array_mut() {
            required.retain(|name| name != "metadata");
        }
    }
    models
}

/// `dev.poolkeeper.v1alpha1.Worker` of the group `poolkeeper.dev`.
fn schema_name(kind: &Kind) -> String {
    let mut words: Vec<&str> = kind.group.split('.').rev().filter(|word| !word.is_empty()).collect();
    if kind.traits.typed {
        words =
            vec!["io", "k8s", "api", kind.group.split('.').next().filter(|word| !word.is_empty()).unwrap_or("core")];
    }
    words.extend([&*kind.version, &*kind.kind]);
    words.join(".")
}

fn group_version_kind(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn schema(kind: &Kind, models: &Map<String, Value>) -> Value {
    let mut schema = models.get(&schema_name(kind)).unwrap_or(&kind.declared).clone();
    schema["x-kubernetes-group-version-kind"] = json!([group_version_kind(kind)]);
    // What all kinds have in common.
    let common = &models["io.k8s.api.core.v1.Secret"]["properties"];
    for key in ["apiVersion", "kind", "metadata"] {
        schema["properties"][key] = common[key].clone();
    }
    schema
}

/// The operations of a kind, with the parameters that clients look for.
fn paths(kind: &Kind) -> [(String, Value); 2] {
    let root = if kind.group.is_empty() { "/api" } else { "/apis" };
    let place = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let all = format!("{root}/{}{place}/{}", kind.api_version(), kind.plural);
    let one = format!("{all}/{{name}}");
    let body = json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{}", schema_name(kind))}}});
    let query = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let operation = |action: &str, parameters: &[&str]| {
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": group_version_kind(kind),
            "parameters": parameters.iter().map(|name| query(name)).collect::<Vec<_>>(),
            "responses": {"200": {"description": "OK", "content": body}},
        })
    };
    let writes = ["dryRun", "fieldManager", "fieldValidation"];
    let of_all = json!({
        "get": operation("list", &["labelSelector", "fieldSelector", "limit", "continue", "watch"]),
        "post": operation("post", &writes), "delete": operation("deletecollection", &["dryRun"]),
    });
    let of_one = json!({
        "get": operation("get", &[]), "put": operation("put", &writes), "patch": operation("patch", &writes),
        "delete": operation("delete", &["dryRun"]),
    });
    [(all, of_all), (one, of_one)]
}
