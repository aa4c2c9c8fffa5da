//! Objects as responses show them: whole, or their metadata only.
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::objects::Api;
use super::status::ApiError;
use super::store::{Stored, to_json};

/// What the `Accept` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    /// `as=PartialObjectMetadata`.
    Metadata,
}

impl Form {
    /// Chooses the first media type that can be given.
    ///
    /// # Errors
    /// 406 if there is none (protobuf, Tables and so on without plain JSON beside them).
    pub fn negotiate(accept: Option<&str>) -> Result<Self, ApiError> {
        let Some(accept) = accept else { return Ok(Self::Whole) };
        let form = accept.split(',').find_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let shown_as = parts.find_map(|p| p.strip_prefix("as="));
            match (media, shown_as) {
                ("application/json" | "application/*" | "*/*", None) => Some(Self::Whole),
                ("application/json", Some("PartialObjectMetadata" | "PartialObjectMetadataList")) => {
                    Some(Self::Metadata)
                }
                _ => None,
            }
        });
        form.ok_or_else(ApiError::not_acceptable)
    }
}

impl Api {
    /// One object's JSON.
    pub(super) fn render(&self, kind: &Kind, form: Form, stored: &Stored) -> Bytes {
        match form {
            Form::Whole if kind.traits.renamed.is_empty() => stored.json(),
            Form::Whole => to_json(&self.view(kind, &stored.object)),
            Form::Metadata => to_json(&json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": stored.object["metadata"],
            })),
        }
    }

    /// A list's JSON. `rest` is the token of the next page.
    pub(super) fn render_list(
        &self,
        kind: &Kind,
        form: Form,
        items: &[Arc<Stored>],
        revision: u64,
        rest: Option<(String, usize)>,
    ) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if let Some((token, remaining)) = rest {
            metadata["continue"] = token.into();
            metadata["remainingItemCount"] = remaining.into();
        }
        let (list_kind, version) = match form {
            Form::Whole => (kind.list_kind.clone(), kind.api_version()),
            Form::Metadata => ("PartialObjectMetadataList".into(), "meta.k8s.io/v1".into()),
        };
        let mut out = Vec::with_capacity(128 + items.len() * 1024);
        out.extend_from_slice(b"{\"kind\":");
        out.extend_from_slice(&to_json(&list_kind.into()));
        out.extend_from_slice(b",\"apiVersion\":");
        out.extend_from_slice(&to_json(&version.into()));
        out.extend_from_slice(b",\"metadata\":");
        out.extend_from_slice(&to_json(&metadata));
        out.extend_from_slice(b",\"items\":[");
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.render(kind, form, item));
        }
        out.extend_from_slice(b"]}");
        out.into()
    }

    /// One line of a watch.
    pub(super) fn render_event(&self, out: &mut Vec<u8>, event_type: &str, object: &[u8]) {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(event_type.as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        out.extend_from_slice(object);
        out.extend_from_slice(b"}\n");
    }

    /// The object of a bookmark.
    pub(super) fn bookmark(&self, kind: &Kind, form: Form, revision: u64, initial_end: bool) -> Value {
        let (name, version) = match form {
            Form::Whole => (kind.kind.clone(), kind.api_version()),
            Form::Metadata => ("PartialObjectMetadata".into(), "meta.k8s.io/v1".into()),
        };
        let mut object = json!({
            "kind": name, "apiVersion": version,
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
        });
        if initial_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        object
    }
}
