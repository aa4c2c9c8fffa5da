//! What clients ask for before anything else: the version, the groups, the kinds of each, and their schemas.
//!
//! - Here: which paths there are, and the groups. `resources`: the kinds of a group. `openapi`: their schemas. `reviews`: what
//!   a client may do. `release`: the version of Kubernetes.
mod openapi;
mod release;
mod resources;
pub(crate) mod reviews;

use serde_json::{Value, json};

use self::release::{MAJOR, MINOR};
use crate::local::schema::kind::Kinds;

/// The document at a path. None: the path is not one of discovery.
pub(crate) fn answer(kinds: &Kinds, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match *parts.as_slice() {
        ["version"] => Some(version()),
        ["api"] => Some(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
        })),
        ["apis"] => {
            let named = groups(kinds).into_iter().filter(|(name, _)| !name.is_empty());
            let groups: Vec<Value> = named.chain([reviews::GROUP]).map(group).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => {
            let mut group = group(groups(kinds).into_iter().chain([reviews::GROUP]).find(|(found, _)| *found == name)?);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            Some(group)
        }
        ["api", version] => resources::list(kinds, "", version),
        ["apis", group, version] => resources::list(kinds, group, version),
        ["openapi", "v3"] => Some(openapi::index(&groups(kinds))),
        ["openapi", "v3", "api", version] => openapi::document(kinds, "", version),
        ["openapi", "v3", "apis", group, version] => openapi::document(kinds, group, version),
        _ => None,
    }
}

fn version() -> Value {
    json!({
        "major": MAJOR, "minor": MINOR, "gitVersion": format!("v{MAJOR}.{MINOR}.0+poolkeeper"), "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// The name and the one version of each group, in the order of the kinds.
fn groups(kinds: &Kinds) -> Vec<(&str, &str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for kind in &kinds.0 {
        if !groups.iter().any(|(name, _)| *name == kind.group) {
            groups.push((&kind.group, &kind.version));
        }
    }
    groups
}

fn group((name, version): (&str, &str)) -> Value {
    let version = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}
