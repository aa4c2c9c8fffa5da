//! From a path to the kind and the object that it names.
use std::sync::Arc;

use crate::local::response::status::ApiError;
use crate::local::schema::kind::{Kind, Kinds};

/// The kind and the object that a path names.
pub(crate) struct Target {
    pub kind: Arc<Kind>,
    /// `None`: all namespaces, in a list. Empty for kinds without namespaces.
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

/// Finds the kind and the names in a path such as `/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME/SUBRESOURCE`.
pub(crate) fn target(kinds: &Kinds, path: &str) -> Result<Target, ApiError> {
    // Valid names need no percent encoding.
    let parts: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Err(ApiError::no_route()),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest[0] != "status" => (Some(*namespace), rest),
        _ => (None, rest),
    };
    let [plural, rest @ ..] = rest else { return Err(ApiError::no_route()) };
    let kind = kinds.of_path(group, version, plural);
    let kind = kind.ok_or_else(ApiError::no_route)?;
    if kind.namespaced != namespace.is_some() && !(kind.namespaced && rest.is_empty()) {
        return Err(ApiError::no_route());
    }
    let namespace = if kind.namespaced { namespace } else { Some("") };
    let text = |s: &&str| (*s).to_owned();
    match rest {
        [] => Ok(Target { kind, namespace: namespace.map(str::to_owned), name: None, subresource: None }),
        [name] | [name, _] => Ok(Target {
            kind,
            namespace: namespace.map(str::to_owned),
            name: Some(text(name)),
            subresource: rest.get(1).map(text),
        }),
        _ => Err(ApiError::no_route()),
    }
}
