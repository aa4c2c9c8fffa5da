//! The kinds of one group in one version, as clients list them.
use serde_json::{Value, json};

use crate::local::schema::kind::{Kind, Kinds};

use super::reviews;

/// The verbs, in the order in which a real server lists those of built-in kinds.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// In the order in which it lists those of custom kinds.
const VERBS_OF_CUSTOM: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// Namespaces are deleted one by one.
const VERBS_OF_NAMESPACES: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];

/// The list of a group's kinds. None: there is no such group, or not in that version.
pub(super) fn list(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let of_group: Vec<&Kind> =
        kinds.0.iter().filter(|k| k.group == group && k.version == version).map(|k| &**k).collect();
    let (group_version, resources) = match of_group.first() {
        Some(first) => (first.api_version(), of_group.into_iter().flat_map(entries).collect()),
        None => (format!("{group}/{version}"), reviews::entries(group, version)?),
    };
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    }))
}

/// A kind, and its subresources.
fn entries(kind: &Kind) -> Vec<Value> {
    let verbs = match kind.traits.typed {
        _ if kind.is_namespace() => VERBS_OF_NAMESPACES.as_slice(),
        true => VERBS.as_slice(),
        false => VERBS_OF_CUSTOM.as_slice(),
    };
    let mut main = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs,
    });
    for (key, names) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !names.is_empty() {
            main[key] = names.as_slice().into();
        }
    }
    let status = kind.status.then(|| {
        json!({
            "name": format!("{}/status", kind.plural), "singularName": "", "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": ["get", "patch", "update"],
        })
    });
    let scale = kind.scale.is_some().then(|| {
        json!({
            "name": format!("{}/scale", kind.plural), "singularName": "", "namespaced": kind.namespaced,
            "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"],
        })
    });
    std::iter::once(main).chain(status).chain(scale).collect()
}
