//! `spec.podTemplate`: what a pool's author lays over the generated Pod.
//!
//! As with a strategic merge: objects are merged, lists whose entries have a name are merged by it, other lists and
//! values replace what was generated, and `null` takes it away.

use serde_json::{Map, Value};

use crate::api::names;

/// The field by which the entries of a list are told apart, by the list's name. Source: the `patchMergeKey`s of the core v1
/// types, but for `env`, `ports` and the like only where the generated Pod has such lists.
const KEYS: [(&str, &str); 7] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("volumeMounts", "mountPath"),
    ("ports", "containerPort"),
];

/// Lays a template over a generated Pod.
///
/// # Errors
/// A field that this runtime cannot honour, with what would be right.
pub(super) fn lay_over(pod: &mut Value, template: &Map<String, Value>) -> Result<(), String> {
    check(template)?;
    for (key, value) in template {
        merge(&mut pod[key], value, key);
    }
    Ok(())
}

fn check(template: &Map<String, Value>) -> Result<(), String> {
    let refused = |path: &str, right: &str| Err(format!("podTemplate.{path}: {right}"));
    if let Some(other) = template.keys().find(|k| !matches!(k.as_str(), "metadata" | "spec")) {
        return refused(other, "not a field of a Pod's template; there are metadata and spec");
    }
    for part in ["metadata", "spec"] {
        if template.get(part).is_some_and(|v| !v.is_object()) {
            return refused(part, "must be an object");
        }
    }
    let meta = template.get("metadata").and_then(Value::as_object);
    if let Some(other) = meta.and_then(|m| m.keys().find(|k| !matches!(k.as_str(), "labels" | "annotations"))) {
        return refused(&format!("metadata.{other}"), "is Poolkeeper's; labels and annotations can be set");
    }
    let labels = meta.and_then(|m| m.get("labels")).and_then(Value::as_object);
    if let Some(own) = labels.and_then(|l| l.keys().find(|k| k.starts_with(names::PREFIX))) {
        return refused(&format!("metadata.labels[{own}]"), "is Poolkeeper's; leave it out");
    }
    let policy = template.get("spec").and_then(|s| s.get("restartPolicy"));
    if policy.is_some_and(|p| p != "Never") {
        return refused(
            "spec.restartPolicy",
            "must be Never: a worker that ends is replaced, never restarted; leave it out",
        );
    }
    Ok(())
}

fn merge(into: &mut Value, from: &Value, field: &str) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value, key);
                }
            }
        }
        (Value::Array(into), Value::Array(from)) if let Some(key) = key_of(field) => {
            for entry in from {
                match into.iter_mut().find(|i| i.get(key).is_some() && i.get(key) == entry.get(key)) {
                    Some(found) => merge(found, entry, ""),
                    None => into.push(without_nulls(entry)),
                }
            }
        }
        (into, from) => *into = without_nulls(from),
    }
}

fn key_of(field: &str) -> Option<&'static str> {
    KEYS.iter().find(|(list, _)| *list == field).map(|(_, key)| *key)
}

/// A `null` in what is new takes nothing away; the API server would not read it in every field.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn laid(mut pod: Value, template: Value) -> Result<Value, String> {
        lay_over(&mut pod, template.as_object().unwrap()).map(|()| pod)
    }

    #[test]
    fn named_entries_are_merged_and_others_replaced() {
        let pod = json!({"spec": {
            "containers": [{"name": "worker", "image": "a", "env": [{"name": "A", "value": "1"}], "args": ["x", "y"]}],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        }});
        let template = json!({"spec": {
            "containers": [
                {"name": "worker", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}], "args": ["z"]},
                {"name": "sidecar", "image": "b", "workingDir": null},
            ],
            "securityContext": {"seccompProfile": null, "runAsNonRoot": true},
            "tolerations": [{"key": "gpu"}],
        }});
        let expected = json!({"spec": {
            "containers": [
                {"name": "worker", "image": "a", "args": ["z"],
                    "env": [{"name": "A", "value": "3"}, {"name": "B", "value": "2"}]},
                {"name": "sidecar", "image": "b"},
            ],
            "securityContext": {"runAsNonRoot": true},
            "tolerations": [{"key": "gpu"}],
        }});
        assert_eq!(laid(pod, template), Ok(expected));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_its_path() {
        for (template, path) in [
            (json!({"kind": "Pod"}), "podTemplate.kind"),
            (json!({"spec": []}), "podTemplate.spec"),
            (json!({"spec": {"restartPolicy": "Always"}}), "podTemplate.spec.restartPolicy"),
            (json!({"metadata": {"name": "mine"}}), "podTemplate.metadata.name"),
            (
                json!({"metadata": {"labels": {"poolkeeper.dev/pool": "x"}}}),
                "podTemplate.metadata.labels[poolkeeper.dev/pool]",
            ),
        ] {
            let error = laid(json!({}), template).unwrap_err();
            assert!(error.starts_with(&format!("{path}: ")), "{error}");
        }
    }
}
