//! From the JSON of a request to an object that can be compared and stored.
use serde_json::Value;

use crate::local::request::options::{Source, UnknownFields, WriteOptions};
use crate::local::response::status::ApiError;
use crate::local::schema::field_error::FieldError;
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;

/// Checks the type of an object, removes unknown fields, and fills in defaults. Returns the warnings for the client.
pub(crate) fn decode(
    kind: &Kind,
    object: &mut Value,
    source: Source,
    options: WriteOptions,
) -> Result<Vec<String>, ApiError> {
    check_type(kind, object, source)?;
    whole_numbers(object);
    let bad = |object: &Value, why: String| match source {
        Source::Body => {
            let Kind { kind, version, .. } = kind;
            ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
        }
        Source::Patch => {
            // The object may hold what must not be shown.
            let text = if kind.traits.content.is_some_and(|content| content.hidden) {
                "<redacted>".to_owned()
            } else {
                object.to_string()
            };
            ApiError::invalid_as("", "", "", &[FieldError::invalid("patch", &Value::String(text), why)])
        }
    };
    let mut unknown = kind.schema.prune(object);
    kind.schema.prune_nulls(object);
    unknown.append(&mut meta::normalize(object).map_err(|why| bad(object, why))?);
    unknown.sort();
    let unknown: Vec<String> = unknown.into_iter().map(|f| format!("unknown field {f:?}")).collect();
    if !unknown.is_empty() && options.unknown_fields == UnknownFields::Refuse {
        return Err(bad(object, format!("strict decoding error: {}", unknown.join(", "))));
    }
    if let Some(content) = kind.traits.content {
        (content.settle)(object).map_err(|why| bad(object, why))?;
        if let Some(which) = (content.unsupported)(object) {
            return Err(ApiError::not_implemented(&format!("a {} of the type {which}", kind.kind)));
        }
    }
    kind.schema.apply_defaults(object);
    let mut warnings = if options.unknown_fields == UnknownFields::Warn { unknown } else { Vec::new() };
    warnings.extend(meta::list(object, "finalizers").into_iter().filter(|f| !f.contains('/') && !meta::STANDARD_FINALIZERS.contains(f)).map(|f| {
        format!("metadata.finalizers: {f:?}: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers")
    }));
    Ok(warnings)
}

fn check_type(kind: &Kind, object: &mut Value, source: Source) -> Result<(), ApiError> {
    if kind.traits.typed && object.is_object() {
        for (key, value) in [("kind", kind.kind.clone()), ("apiVersion", kind.api_version())] {
            if object[key].is_null() {
                object[key] = value.into();
            }
        }
    }
    let Some(found_kind) = object["kind"].as_str() else {
        if source == Source::Patch {
            let why = format!("Object 'Kind' is missing in '{object}'");
            let shown = Value::String(object.to_string());
            return Err(ApiError::invalid_as("", "", "", &[FieldError::invalid("patch", &shown, why)]));
        }
        return Err(ApiError::bad_request(format!("Object 'Kind' is missing in '{object}'")));
    };
    let (found, expected) = (&object["apiVersion"], kind.api_version());
    if *found != *expected && source == Source::Body {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({expected})",
            found.as_str().unwrap_or_default()
        )));
    }
    let mut errors = Vec::new();
    if found_kind != kind.kind {
        errors.push(FieldError::invalid("kind", &found_kind.into(), format!("must be {}", kind.kind)));
    }
    if *found != *expected {
        errors.push(FieldError::invalid("apiVersion", found, format!("must be {expected}")));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let group = found.as_str().unwrap_or_default().split_once('/').map_or("", |(group, _)| group);
    Err(ApiError::invalid_as(found_kind, group, meta::text(object, "name"), &errors))
}

/// Turns whole numbers into integers, however they were written, as the store of a real server does.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(n) if n.is_f64() => {
            let whole = n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15);
            if let Some(f) = whole {
                *value = (f as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
