//! The forms of response that a client accepts.
use crate::local::request::options::Form;
use crate::local::request::query::Query;
use crate::local::response::status::ApiError;

/// The first form in the client's list that there is: JSON, and Tables where `tables` says so.
///
/// # Errors
/// 406 if it accepts only other forms, such as protobuf.
pub(crate) fn negotiate(accept: Option<&str>, tables: bool, query: &Query) -> Result<Form, ApiError> {
    let Some(accept) = accept else { return Ok(Form::Json) };
    for item in accept.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !["application/json", "application/*", "*/*"].contains(&media) {
            continue;
        }
        let parameters: Vec<&str> =
            parts.filter(|p| ["as=", "g=", "v="].iter().any(|key| p.starts_with(key))).collect();
        match parameters.iter().find(|p| p.starts_with("as=")) {
            None => return Ok(Form::Json),
            Some(&"as=Table") if tables && parameters.contains(&"g=meta.k8s.io") && parameters.contains(&"v=v1") => {
                return Ok(Form::Table(query.include()?));
            }
            Some(_) => {}
        }
    }
    Err(ApiError::not_acceptable())
}
