//! Tables: objects as rows of the columns that their kind declares, which is what `kubectl get` prints.
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::local::request::options::Include;
use crate::local::response::json::{self, Rest, to_json};
use crate::local::schema::column::Column;
use crate::local::schema::kind::Kind;
use crate::local::store::object::Stored;

/// A list as a Table.
pub(crate) fn list(
    kind: &Kind,
    items: &[Arc<Stored>],
    revision: u64,
    rest: Option<Rest>,
    include: Include,
    now: Timestamp,
) -> Bytes {
    let rows = items.iter().map(|item| row(kind, &item.object, include, now)).collect();
    to_json(&table(json::list_metadata(revision, rest), columns(kind), rows))
}

/// One object as a Table. The events of a watch but the first leave the columns out.
pub(crate) fn one(kind: &Kind, stored: &Stored, headed: bool, include: Include, now: Timestamp) -> Bytes {
    let columns = if headed { columns(kind) } else { Value::Null };
    let metadata = json!({"resourceVersion": stored.object["metadata"]["resourceVersion"]});
    to_json(&table(metadata, columns, vec![row(kind, &stored.object, include, now)]))
}

fn table(metadata: Value, columns: Value, rows: Vec<Value>) -> Value {
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": columns, "rows": rows,
    })
}

fn columns(kind: &Kind) -> Value {
    let name = json!({
        "name": "Name", "type": "string", "format": "name", "description": "Name of the object", "priority": 0,
    });
    let name = (!kind.columns.iter().any(Column::is_name)).then_some(name);
    name.into_iter().chain(kind.columns.iter().map(Column::definition)).collect()
}

fn row(kind: &Kind, object: &Value, include: Include, now: Timestamp) -> Value {
    let name = (!kind.columns.iter().any(Column::is_name)).then(|| object["metadata"]["name"].clone());
    let cells: Vec<Value> =
        name.into_iter().chain(kind.columns.iter().map(|column| column.cell(object, now))).collect();
    match include {
        Include::None => json!({"cells": cells, "object": null}),
        Include::Object => json!({"cells": cells, "object": *kind.print(object)}),
        Include::Metadata => json!({"cells": cells, "object": {
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
        }}),
    }
}
