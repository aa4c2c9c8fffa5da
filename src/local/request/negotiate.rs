//! What form of response a client accepts.
use crate::local::response::status::ApiError;

/// Checks that the client takes JSON.
///
/// # Errors
/// 406 for protobuf, Tables and so on without plain JSON as an alternative.
pub(crate) fn negotiate(accept: Option<&str>) -> Result<(), ApiError> {
    let is_json = |item: &str| {
        let mut parts = item.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        ["application/json", "application/*", "*/*"].contains(&media) && !parts.any(|p| p.starts_with("as="))
    };
    match accept {
        Some(accept) if !accept.split(',').any(is_json) => Err(ApiError::not_acceptable()),
        _ => Ok(()),
    }
}
