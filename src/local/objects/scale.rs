//! The subresource `scale`: how many there are of something, and should be, whatever its kind.
use serde_json::{Value, json};

use crate::local::response::status::ApiError;
use crate::local::schema::kind::{Kind, ScalePaths};

/// The Scale of an object.
pub(crate) fn scale(kind: &Kind, paths: &ScalePaths, object: &Value) -> Result<Value, ApiError> {
    let metadata = &object["metadata"];
    let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}, "spec": {}, "status": {}});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata.get(key) {
            scale["metadata"][key] = value.clone();
        }
    }
    let wanted = at(object, &paths.spec).and_then(Value::as_i64).ok_or_else(|| {
        let path = paths.spec.join(".");
        ApiError::bad_request(format!("the spec replicas field \".{path}\" of {} does not exist", kind.plural))
    })?;
    if wanted != 0 {
        scale["spec"]["replicas"] = wanted.into();
    }
    scale["status"]["replicas"] = at(object, &paths.status).and_then(Value::as_i64).unwrap_or_default().into();
    let selector = paths.selector.as_ref().and_then(|path| at(object, path)).and_then(Value::as_str);
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        scale["status"]["selector"] = selector.into();
    }
    Ok(scale)
}

/// The object with what its changed Scale says.
///
/// # Errors
/// It is no Scale.
pub(crate) fn scaled(paths: &ScalePaths, object: &Value, scale: &Value) -> Result<Value, ApiError> {
    let wrong =
        |why: &str| ApiError::bad_request(format!("Scale in version \"v1\" cannot be handled as a Scale: {why}"));
    if scale["kind"].as_str().is_some_and(|kind| kind != "Scale") {
        return Err(wrong("the body is of another kind"));
    }
    let wanted = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        number => number
            .as_i64()
            .and_then(|number| i32::try_from(number).ok())
            .ok_or_else(|| wrong("spec.replicas is not a whole number of 32 bits"))?,
    };
    let mut object = object.clone();
    if let Some(version) = scale["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty()) {
        object["metadata"]["resourceVersion"] = version.into();
    }
    let mut place = &mut object;
    for key in &paths.spec {
        place = &mut place[key.as_str()];
    }
    *place = wanted.into();
    Ok(object)
}

fn at<'o>(object: &'o Value, path: &[String]) -> Option<&'o Value> {
    path.iter().try_fold(object, |value, key| value.get(key))
}
