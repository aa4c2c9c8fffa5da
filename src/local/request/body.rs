//! From a body to JSON, and to the options of a delete.
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};
use tower::BoxError;

use crate::local::request::options::{DeleteOptions, Propagation};
use crate::local::request::protobuf;
use crate::local::request::query::{Query, bad_dry_run, bad_option};
use crate::local::response::status::ApiError;

/// The size of the largest body that is read, as in kube-apiserver.
const LIMIT: usize = 3 * 1024 * 1024;

/// A body that was read. If it is too large, that is an error only for a request that needs it.
pub(crate) struct Body(Option<Bytes>);

impl Body {
    /// Reads a body, up to the limit.
    ///
    /// # Errors
    /// Those of the body.
    pub async fn read<B>(body: B) -> Result<Self, BoxError>
    where
        B: http_body::Body,
        B::Error: Into<BoxError>,
    {
        match Limited::new(body, LIMIT).collect().await {
            Ok(body) => Ok(Self(Some(body.to_bytes()))),
            Err(e) if e.is::<LengthLimitError>() => Ok(Self(None)),
            Err(e) => Err(e),
        }
    }

    /// # Errors
    /// 413 for too large a body.
    pub fn bytes(&self) -> Result<&[u8], ApiError> {
        let too_large = || ApiError::too_large(format!("Request entity too large: limit is {LIMIT}"));
        self.0.as_deref().ok_or_else(too_large)
    }
}

/// The object in a body of JSON, or of protobuf, in which clients send the built-in kinds.
///
/// # Errors
/// 400 for a body that cannot be read, 415 for another form.
pub(crate) fn read_object(content_type: &str, body: &[u8]) -> Result<Value, ApiError> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if media == protobuf::MEDIA {
        return protobuf::object(body).ok_or_else(ApiError::no_protobuf);
    }
    if !["", "application/json"].contains(&media) {
        return Err(ApiError::unsupported_media_type(&["application/json"]));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {e}")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(ApiError::bad_request("couldn't get version/kind; json parse error: not a JSON object"))
    }
}

pub(crate) fn delete_options(query: &Query, content_type: &str, body: &[u8]) -> Result<DeleteOptions, ApiError> {
    let body = if body.is_empty() { json!({}) } else { read_object(content_type, body)? };
    let orphan = body["orphanDependents"] == Value::Bool(true) || query.flag("orphanDependents");
    let policy = body["propagationPolicy"].as_str().or(query.text("propagationPolicy"));
    let propagation = match policy {
        None if orphan => Propagation::Orphan,
        None | Some("Background") => Propagation::Background,
        Some("Foreground") => Propagation::Foreground,
        Some("Orphan") => Propagation::Orphan,
        Some(other) => {
            return Err(bad_option(
                "DeleteOptions",
                "propagationPolicy",
                other,
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
    };
    let text = |key: &str| body["preconditions"][key].as_str().map(str::to_owned);
    let in_body: Vec<&str> = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if in_body.iter().any(|v| *v != "All") {
        return Err(bad_dry_run("DeleteOptions", &in_body));
    }
    Ok(DeleteOptions {
        propagation,
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        dry_run: !in_body.is_empty() || query.dry_run("DeleteOptions")?,
    })
}
