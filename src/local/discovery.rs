//! What is served: the version, and the lists of groups and resources that clients look kinds up in.
use serde_json::{Value, json};

use super::kinds::Kind;
use super::objects::Api;

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The answer to a discovery path; `None` if the path is none.
pub(super) fn answer(api: &Api, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Some(json!({
            "major": "1", "minor": "33", "gitVersion": "v1.33.0+poolkeeper",
        })),
        ["api"] => Some(json!({"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]})),
        ["apis"] => {
            let mut groups: Vec<&Kind> = Vec::new();
            for kind in api.kinds.iter().filter(|k| !k.group.is_empty()) {
                if !groups.iter().any(|g| g.group == kind.group) {
                    groups.push(kind);
                }
            }
            let groups: Vec<Value> = groups.into_iter().map(group).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => api.kinds.iter().find(|k| k.group == *name).map(|k| {
            let mut group = group(k);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            group
        }),
        ["api", version] => resources(api, "", version),
        ["apis", group, version] => resources(api, group, version),
        _ => None,
    }
}

fn group(kind: &Kind) -> Value {
    let version = json!({"groupVersion": kind.api_version(), "version": kind.version});
    json!({"name": kind.group, "versions": [version], "preferredVersion": version})
}

fn resources(api: &Api, group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<_> = api.kinds.iter().filter(|k| k.group == group && k.version == version).collect();
    let first = kinds.first()?;
    let mut resources = Vec::new();
    for kind in &kinds {
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": VERBS,
        });
        for (key, list) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
            if !list.is_empty() {
                resource[key] = json!(list);
            }
        }
        resources.push(resource);
        let mut sub = |name: &str, shown: &str| {
            resources.push(json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": shown, "verbs": ["get", "patch", "update"],
            }));
        };
        if kind.status {
            sub("status", &kind.kind);
        }
        if kind.scale.is_some() {
            sub("scale", "Scale");
        }
    }
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": first.api_version(), "resources": resources,
    }))
}
