//! The patch formats.
use json_patch::{AddOperation, PatchOperation};
use serde_json::Value;

use crate::local::response::status::ApiError;
use crate::local::schema::kind::Kind;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// More operations than this in one JSON patch are refused.
const MAX_OPERATIONS: usize = 10_000;

/// A patch of an object.
pub(crate) enum Patch {
    Json(json_patch::Patch),
    Merge(Value),
}

impl Patch {
    /// Reads a patch of the given media type.
    ///
    /// # Errors
    /// 415 for an unknown format and for server-side apply, 501 for what a format here lacks, 400 for a body that cannot be
    /// read.
    pub fn parse(kind: &Kind, media_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let read = |e: serde_json::Error| ApiError::bad_request(format!("error decoding patch: {e}"));
        match media_type.split(';').next().unwrap_or_default().trim() {
            JSON => {
                let operations: Vec<Value> = serde_json::from_slice(body).map_err(read)?;
                let operations: Result<_, _> = operations.into_iter().map(serde_json::from_value).collect();
                let patch = json_patch::Patch(operations.map_err(|_| ApiError::patch_rejected())?);
                if patch.0.len() > MAX_OPERATIONS {
                    return Err(ApiError::too_large(format!(
                        "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                        patch.0.len()
                    )));
                }
                Ok(Self::Json(patch))
            }
            MERGE => Ok(Self::Merge(object(serde_json::from_slice(body).map_err(read)?)?)),
            STRATEGIC if kind.traits.strategic => {
                let patch = object(serde_json::from_slice(body).map_err(read)?)?;
                if merges_differently(&patch) {
                    return Err(ApiError::not_implemented("strategic merge patches of lists or with directives"));
                }
                Ok(Self::Merge(patch))
            }
            APPLY => Err(ApiError::no_apply()),
            _ if kind.traits.strategic => Err(ApiError::unsupported_media_type(&[JSON, MERGE, STRATEGIC, APPLY])),
            _ => Err(ApiError::unsupported_media_type(&[JSON, MERGE, APPLY])),
        }
    }

    /// The patched object.
    ///
    /// # Errors
    /// 422 if a JSON patch does not apply.
    pub fn apply(&self, object: &Value) -> Result<Value, ApiError> {
        let mut object = object.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut object, patch),
            Self::Json(patch) => {
                for operation in &patch.0 {
                    let instead = match lenient(operation, &object) {
                        Lenient::Skip => continue,
                        Lenient::Add(add) => Some(PatchOperation::Add(add)),
                        Lenient::AsIs => None,
                    };
                    json_patch::patch(&mut object, std::slice::from_ref(instead.as_ref().unwrap_or(operation)))
                        .map_err(|_| ApiError::patch_rejected())?;
                }
            }
        }
        Ok(object)
    }
}

fn object(patch: Value) -> Result<Value, ApiError> {
    if patch.is_object() { Ok(patch) } else { Err(ApiError::bad_request("error decoding patch: not a JSON object")) }
}

/// What to do for an operation of a JSON patch.
enum Lenient {
    AsIs,
    Skip,
    Add(AddOperation),
}

/// Where the real server is laxer than RFC 6902, as long as the object that should hold the member is there: `test`
/// takes a missing one for null, `replace` adds it.
fn lenient(operation: &PatchOperation, object: &Value) -> Lenient {
    let missing = |path: &str| {
        let parent = path.rsplit_once('/').and_then(|(parent, _)| object.pointer(parent));
        parent.is_some_and(Value::is_object) && object.pointer(path).is_none()
    };
    match operation {
        PatchOperation::Test(op) if op.value.is_null() && missing(op.path.as_str()) => Lenient::Skip,
        PatchOperation::Replace(op) if missing(op.path.as_str()) => {
            Lenient::Add(AddOperation { path: op.path.clone(), value: op.value.clone() })
        }
        _ => Lenient::AsIs,
    }
}

/// Whether a strategic merge could differ from a merge: it merges some lists, and knows directives.
fn merges_differently(patch: &Value) -> bool {
    match patch {
        Value::Array(_) => true,
        Value::Object(map) => map.iter().any(|(k, v)| k.starts_with('$') || merges_differently(v)),
        _ => false,
    }
}
