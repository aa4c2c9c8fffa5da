//! The scale subresource: a view of three fields of an object as an `autoscaling/v1` Scale.
use http::{Method, header};
use serde_json::{Value, json};

use super::kinds::{Kind, Scale};
use super::objects::{Api, Part, Source, WriteOptions};
use super::status::ApiError;
use super::{meta, patch};

/// Answers GET, PUT and PATCH.
///
/// # Errors
/// Those of an update of the object itself.
pub(super) fn answer(
    api: &Api,
    kind: &Kind,
    (namespace, name): (&str, &str),
    parts: &http::request::Parts,
    options: WriteOptions,
    body: &[u8],
) -> Result<Value, ApiError> {
    let Some(paths) = &kind.scale else { return Err(ApiError::no_route()) };
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let asked: Box<dyn Fn(&Value) -> Result<Value, ApiError>> = match parts.method {
        Method::GET => return Ok(show(paths, &api.get(kind, namespace, name)?.object)),
        Method::PUT => {
            let scale: Value = serde_json::from_slice(body).map_err(|e| ApiError::bad_request(e.to_string()))?;
            Box::new(move |_| Ok(scale.clone()))
        }
        Method::PATCH => {
            let change = patch::Change::parse(kind, content_type, body)?;
            Box::new(move |scale| change.apply(scale))
        }
        _ => return Err(ApiError::method_not_allowed()),
    };
    let written = api.update(kind, namespace, name, (Part::Main, Source::Patch), options, |old| {
        let scale = asked(&show(paths, old))?;
        let mut new = old.clone();
        // Without a resourceVersion the newest one is meant.
        for key in ["resourceVersion", "uid"] {
            let value = meta::text(&scale, key);
            if !value.is_empty() {
                meta::of(&mut new).insert(key.into(), value.into());
            }
        }
        set(&mut new, &paths.spec, scale["spec"]["replicas"].as_i64().unwrap_or_default().into());
        Ok(new)
    })?;
    Ok(show(paths, &written.stored.object))
}

fn show(paths: &Scale, object: &Value) -> Value {
    let number = |path: &[String]| get(object, path).and_then(Value::as_i64).unwrap_or_default();
    let mut metadata = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !meta::text(object, key).is_empty() {
            metadata[key] = meta::text(object, key).into();
        }
    }
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": number(&paths.spec)}, "status": {"replicas": number(&paths.status)},
    });
    if let Some(selector) = paths.selector.as_ref().and_then(|p| get(object, p)).and_then(Value::as_str) {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

fn get<'v>(object: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(object, |v, key| v.get(key))
}

fn set(object: &mut Value, path: &[String], value: Value) {
    let mut place = object;
    for key in path {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[key.as_str()];
    }
    *place = value;
}
