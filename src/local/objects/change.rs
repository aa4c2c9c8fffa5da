//! The limits of an update: the identity of the object, and the part that may change.
use serde_json::Value;

use crate::local::request::options::{Part, Source};
use crate::local::response::status::ApiError;
use crate::local::schema::field_error::FieldError;
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;
use crate::local::store::object::ObjectKey;

/// The message for an object whose namespace is not that of the path.
pub(crate) const NAMESPACE_DIFFERS: &str =
    "the namespace of the provided object does not match the namespace sent on the request";

/// Checks that the new version has the name and namespace of the path.
pub(crate) fn check_name(object: &Value, namespace: &str, name: &str) -> Result<(), ApiError> {
    let why = match (meta::text(object, "name"), meta::text(object, "namespace")) {
        ("", _) => format!("the name of the object ({name} based on URL) was undeterminable: name must be provided"),
        (n, _) if n != name => format!("the name of the object ({n}) does not match the name on the URL ({name})"),
        (_, ns) if !ns.is_empty() && ns != namespace => NAMESPACE_DIFFERS.into(),
        _ => return Ok(()),
    };
    Err(ApiError::bad_request(why))
}

/// Compares the uid and the resourceVersion of the new version with those of the old one.
pub(crate) fn check_identity(
    kind: &Kind,
    key: &ObjectKey,
    new: &Value,
    old: &Value,
    source: Source,
) -> Result<(), ApiError> {
    let (uid, old_uid) = (meta::text(new, "uid"), meta::text(old, "uid"));
    if source == Source::Body && !uid.is_empty() && uid != old_uid {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}",
            kind.group, kind.plural, key.namespace, key.name
        );
        return Err(ApiError::conflict(kind, &key.name, &why));
    }
    match meta::text(new, "resourceVersion") {
        "" | "0" if kind.traits.unconditional_update => Ok(()),
        "" | "0" => {
            let error = FieldError::invalid_raw("metadata.resourceVersion", "0x0", "must be specified for an update");
            Err(ApiError::invalid_as(&kind.plural, &kind.group, &key.name, &[error]))
        }
        version if version.parse::<u64>().is_err() => Err(ApiError::no_version(version)),
        version if version != meta::text(old, "resourceVersion") => Err(ApiError::modified(kind, &key.name)),
        _ => Ok(()),
    }
}

/// Restores the fields that a client may not change through this part of the object.
pub(crate) fn prepare(kind: &Kind, new: &mut Value, old: &Value, part: Part) {
    if part == Part::Status {
        let status = new.get("status").cloned();
        *new = old.clone();
        set_status(new, status);
        return;
    }
    if kind.status {
        set_status(new, old.get("status").cloned());
    }
    let metadata = meta::of(new);
    for key in ["creationTimestamp", "generation", "resourceVersion"] {
        match old["metadata"].get(key) {
            Some(value) => _ = metadata.insert(key.into(), value.clone()),
            None => _ = metadata.remove(key),
        }
    }
    // A client may leave these out. A changed value is an error, reported later.
    for key in ["uid", "namespace", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if let Some(value) = old["metadata"].get(key) {
            let restored = key == "deletionTimestamp" || !metadata.contains_key(key);
            if restored {
                metadata.insert(key.into(), value.clone());
            }
        }
    }
    if kind.traits.generation && differs_outside_metadata(new, old) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
        meta::of(new).insert("generation".into(), generation.into());
    }
}

fn set_status(object: &mut Value, status: Option<Value>) {
    let Some(map) = object.as_object_mut() else { return };
    match status {
        Some(status) => _ = map.insert("status".into(), status),
        None => _ = map.remove("status"),
    }
}

fn differs_outside_metadata(a: &Value, b: &Value) -> bool {
    let fields = |v: &Value| v.as_object().map_or(0, |m| m.keys().filter(|k| *k != "metadata").count());
    let same = |(key, value): (&String, &Value)| key == "metadata" || b.get(key) == Some(value);
    fields(a) != fields(b) || !a.as_object().into_iter().flatten().all(same)
}
