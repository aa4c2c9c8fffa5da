//! The forms of response that a client accepts.
use crate::local::response::status::ApiError;

/// Checks that the client accepts JSON.
///
/// # Errors
/// 406 if it accepts only other forms, such as protobuf and Tables.
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
