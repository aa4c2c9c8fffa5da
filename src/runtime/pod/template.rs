//! `spec.podTemplate`: what a pool's author merges into the generated Pod.
//!
//! As with a strategic merge: objects are merged, lists whose entries have a name are merged by it, other lists and
//! values replace what was generated, and `null` takes it away.

use serde_json::{Map, Value};

use crate::api::names;

/// Name of the container that is the worker.
pub const CONTAINER: &str = "worker";

/// The key field of a list's entries, by the list's name. Source: the `patchMergeKey`s of the core v1
/// types; for `env`, `ports` and the like only where the generated Pod has such lists.
const OF_POD: [(&str, &str); 4] =
    [("containers", "name"), ("initContainers", "name"), ("volumes", "name"), ("imagePullSecrets", "name")];
/// The same for the lists of a container.
const OF_CONTAINER: [(&str, &str); 3] = [("env", "name"), ("volumeMounts", "mountPath"), ("ports", "containerPort")];

/// Merges a template into a generated Pod.
///
/// # Errors
/// A field that this runtime cannot honour, with what would be right.
pub(super) fn merge_into(pod: &mut Value, template: &Map<String, Value>) -> Result<(), String> {
    check(template).map_err(|why| format!("spec.podTemplate.{why}"))?;
    for (key, value) in template {
        merge(&mut pod[key], value, key);
    }
    Ok(())
}

/// What is not known to be wrong here is for the API server to judge; but a Pod must remain whose metadata can be written to
/// and whose worker can be found.
fn check(template: &Map<String, Value>) -> Result<(), String> {
    if let Some(other) = template.keys().find(|k| !matches!(k.as_str(), "metadata" | "spec")) {
        return Err(format!("{other}: not a field of a Pod's template; there are metadata and spec"));
    }
    if let Some(meta) = template.get("metadata") {
        check_metadata(object(meta, "metadata", "with labels and annotations")?)?;
    }
    let Some(spec) = template.get("spec") else { return Ok(()) };
    let spec = object(spec, "spec", "with fields of a Pod's spec")?;
    if spec.get("restartPolicy").is_some_and(|p| p != "Never") {
        return Err(
            "spec.restartPolicy: must be Never: a worker that ends is replaced, never restarted; leave it out".into()
        );
    }
    check_lists(spec, "spec", &OF_POD)
}

fn check_metadata(meta: &Map<String, Value>) -> Result<(), String> {
    if let Some(other) = meta.keys().find(|k| !matches!(k.as_str(), "labels" | "annotations")) {
        return Err(format!("metadata.{other}: is Poolkeeper's; labels and annotations can be set"));
    }
    for (field, texts) in meta.iter().filter(|(_, texts)| !texts.is_null()) {
        let path = format!("metadata.{field}");
        for (key, text) in object(texts, &path, "of names and strings, such as {\"team\": \"a\"}")? {
            if field == "labels" && key.starts_with(names::PREFIX) {
                return Err(format!("{path}[{key}]: is Poolkeeper's; leave it out"));
            }
            if !text.is_string() && !text.is_null() {
                return Err(format!("{path}[{key}]: must be a string; put it in quotes"));
            }
        }
    }
    Ok(())
}

/// Only entries that have the field by which they are merged can be.
fn check_lists(owner: &Map<String, Value>, path: &str, lists: &[(&str, &str)]) -> Result<(), String> {
    for (list, key) in lists {
        let path = format!("{path}.{list}");
        let has_worker = *list == "containers";
        let entries = match owner.get(*list) {
            None => continue,
            Some(Value::Null) if !has_worker => continue,
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(format!("{path}: must be a list of objects, each with its {key}")),
        };
        for (i, entry) in entries.iter().enumerate() {
            let path = format!("{path}[{i}]");
            let entry = object(entry, &path, &format!("with its {key}"))?;
            if entry.get(*key).is_none_or(Value::is_null) {
                let the_workers = if has_worker { format!("; the worker's is {CONTAINER:?}") } else { String::new() };
                return Err(format!("{path}.{key}: must be given{the_workers}"));
            }
            if has_worker || *list == "initContainers" {
                check_lists(entry, &path, &OF_CONTAINER)?;
            }
        }
    }
    Ok(())
}

fn object<'a>(value: &'a Value, path: &str, such: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{path}: must be an object {such}"))
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
    OF_POD.iter().chain(&OF_CONTAINER).find(|(list, _)| *list == field).map(|(_, key)| *key)
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
        merge_into(&mut pod, template.as_object().unwrap()).map(|()| pod)
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
        for (template, field) in [
            (json!({"kind": "Pod"}), "kind: not a field"),
            (json!({"metadata": "x"}), "metadata: must be an object"),
            (json!({"metadata": null}), "metadata: must be an object"),
            (json!({"metadata": {"name": "mine"}}), "metadata.name: is Poolkeeper's"),
            (json!({"metadata": {"labels": {"poolkeeper.dev/pool": "x"}}}), "metadata.labels[poolkeeper.dev/pool]: is"),
            (json!({"metadata": {"labels": "x"}}), "metadata.labels: must be an object"),
            (json!({"metadata": {"labels": ["x"]}}), "metadata.labels: must be an object"),
            (json!({"metadata": {"labels": 1}}), "metadata.labels: must be an object"),
            (json!({"metadata": {"labels": {"gpu": true}}}), "metadata.labels[gpu]: must be a string"),
            (json!({"metadata": {"labels": {"team": {}}}}), "metadata.labels[team]: must be a string"),
            (json!({"metadata": {"annotations": [1]}}), "metadata.annotations: must be an object"),
            (json!({"metadata": {"annotations": {"port": 80}}}), "metadata.annotations[port]: must be a string"),
            (json!({"spec": []}), "spec: must be an object"),
            (json!({"spec": {"restartPolicy": "Always"}}), "spec.restartPolicy: must be Never"),
            (json!({"spec": {"containers": null}}), "spec.containers: must be a list"),
            (json!({"spec": {"containers": {"name": "worker"}}}), "spec.containers: must be a list"),
            (json!({"spec": {"containers": ["worker"]}}), "spec.containers[0]: must be an object"),
            (json!({"spec": {"containers": [{"name": "a"}, {"image": "b"}]}}), "spec.containers[1].name: must be"),
            (json!({"spec": {"initContainers": "x"}}), "spec.initContainers: must be a list"),
            (json!({"spec": {"volumes": [[]]}}), "spec.volumes[0]: must be an object"),
            (
                json!({"spec": {"containers": [{"name": "worker", "env": {"A": "1"}}]}}),
                "spec.containers[0].env: must be a list",
            ),
            (
                json!({"spec": {"containers": [{"name": "worker", "volumeMounts": [{"name": "x"}]}]}}),
                "spec.containers[0].volumeMounts[0].mountPath: must be",
            ),
        ] {
            let error = laid(json!({}), template).unwrap_err();
            assert!(error.starts_with(&format!("spec.podTemplate.{field}")), "{error}");
        }
    }

    #[test]
    fn a_null_takes_away_whatever_is_named() {
        let pod = json!({"metadata": {}, "spec": {"volumes": [{"name": "a"}], "containers": [{"name": "worker", "env": []}]}});
        let template = json!({"metadata": {"labels": null, "annotations": {"a": null}}, "spec": {
            "volumes": null, "initContainers": null, "containers": [{"name": "worker", "env": null}],
        }});
        let expected = json!({"metadata": {"annotations": {}}, "spec": {"containers": [{"name": "worker"}]}});
        assert_eq!(laid(pod, template), Ok(expected));
    }
}
