//! The JSON of responses.
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::objects::Api;
use super::status::ApiError;
use super::store::{Stored, to_json};

/// Checks that the client takes JSON.
///
/// # Errors
/// 406 for protobuf, Tables and so on without plain JSON beside them.
pub(super) fn negotiate(accept: Option<&str>) -> Result<(), ApiError> {
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

impl Api {
    /// One object's JSON.
    pub(super) fn render(&self, kind: &Kind, stored: &Stored) -> Bytes {
        if kind.traits.renamed.is_empty() { stored.json() } else { to_json(&kind.view(&stored.object)) }
    }

    /// A list's JSON. `rest` is the token of the next page, and how many items are left for it where
    /// that is told.
    pub(super) fn render_list(
        &self,
        kind: &Kind,
        items: &[Arc<Stored>],
        revision: u64,
        rest: Option<(String, Option<usize>)>,
    ) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "continue": ""});
        if let Some((token, remaining)) = rest {
            metadata["continue"] = token.into();
            if let Some(remaining) = remaining {
                metadata["remainingItemCount"] = remaining.into();
            }
        }
        let head = json!({"kind": kind.list_kind, "apiVersion": kind.api_version(), "metadata": metadata});
        // The items are printed already: they go in before the last brace.
        let mut out = to_json(&head).to_vec();
        out.pop();
        out.extend_from_slice(b",\"items\":[");
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.render(kind, item));
        }
        out.extend_from_slice(b"]}");
        out.into()
    }
}

/// Adds one line of a watch.
pub(super) fn event_line(out: &mut Vec<u8>, event_type: &str, object: &[u8]) {
    for part in [b"{\"type\":\"", event_type.as_bytes(), b"\",\"object\":", object, b"}\n"] {
        out.extend_from_slice(part);
    }
}

/// The line of a bookmark.
pub(super) fn bookmark_line(kind: &Kind, revision: u64) -> Vec<u8> {
    let object = json!({
        "kind": kind.kind, "apiVersion": kind.api_version(),
        "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
    });
    line("BOOKMARK", &object)
}

/// The line of an error.
pub(super) fn error_line(error: &ApiError) -> Vec<u8> {
    line("ERROR", &error.to_json())
}

fn line(event_type: &str, object: &Value) -> Vec<u8> {
    let mut line = Vec::new();
    event_line(&mut line, event_type, &to_json(object));
    line
}
