//! The JSON of responses.
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::local::response::status::ApiError;
use crate::local::schema::kind::Kind;
use crate::local::store::object::Stored;
pub(crate) use crate::local::store::object::to_json;

/// One object's JSON.
pub(crate) fn object(kind: &Kind, stored: &Stored) -> Bytes {
    if kind.is_printed_as_stored() { stored.json() } else { to_json(&kind.print(&stored.object)) }
}

/// The token of the next page, and the number of items that are left, if the client may know it.
pub(crate) type Rest = (String, Option<usize>);

/// The metadata of a list.
pub(crate) fn list_metadata(revision: u64, rest: Option<Rest>) -> Value {
    let mut metadata = json!({"resourceVersion": revision.to_string(), "continue": ""});
    if let Some((token, remaining)) = rest {
        metadata["continue"] = token.into();
        if let Some(remaining) = remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    metadata
}

/// A list's JSON.
pub(crate) fn list(kind: &Kind, items: &[Arc<Stored>], revision: u64, rest: Option<Rest>) -> Bytes {
    let metadata = list_metadata(revision, rest);
    let head = json!({"kind": kind.list_kind, "apiVersion": kind.api_version(), "metadata": metadata});
    // The items are JSON already: they go in before the last brace.
    let mut out = to_json(&head).to_vec();
    out.pop();
    out.extend_from_slice(b",\"items\":[");
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&object(kind, item));
    }
    out.extend_from_slice(b"]}");
    out.into()
}

/// Adds one line of a watch.
pub(crate) fn event_line(out: &mut Vec<u8>, event_type: &str, object: &[u8]) {
    for part in [b"{\"type\":\"", event_type.as_bytes(), b"\",\"object\":", object, b"}\n"] {
        out.extend_from_slice(part);
    }
}

/// The line of a bookmark.
pub(crate) fn bookmark_line(kind: &Kind, revision: u64) -> Vec<u8> {
    let object = json!({
        "kind": kind.kind, "apiVersion": kind.api_version(),
        "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
    });
    line("BOOKMARK", &object)
}

/// The line of an error.
pub(crate) fn error_line(error: &ApiError) -> Vec<u8> {
    line("ERROR", &error.to_json())
}

fn line(event_type: &str, object: &Value) -> Vec<u8> {
    let mut line = Vec::new();
    event_line(&mut line, event_type, &to_json(object));
    line
}
