//! Tables: the server chooses the columns, so `kubectl get` and `poolkeeper get` show the same.

use http::Request;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::output;

/// Asks for a Table; a server that has none answers with the objects.
const ACCEPT: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// The answer of a server.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Table {
    /// The columns. A watch leaves them out after its first event.
    #[serde(deserialize_with = "none_is_empty")]
    pub column_definitions: Vec<Column>,
    /// The objects.
    pub rows: Vec<Row>,
}

fn none_is_empty<'de, D: serde::Deserializer<'de>>(columns: D) -> Result<Vec<Column>, D::Error> {
    Option::deserialize(columns).map(Option::unwrap_or_default)
}

/// A column.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// 0: it is always shown; above: with `-o wide`.
    pub priority: i32,
}

/// A row.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct Row {
    /// A value for each column.
    pub cells: Vec<Value>,
    /// The object, or what the request asked of it.
    pub object: Value,
}

/// A request for a Table whose rows have their objects. `query` is a part of the address, without `?`.
///
/// # Errors
/// The path is none.
pub fn request(path: &str, query: &str) -> http::Result<Request<Vec<u8>>> {
    let more = if query.is_empty() { String::new() } else { format!("&{query}") };
    Request::get(format!("{path}?includeObject=Object{more}")).header(http::header::ACCEPT, ACCEPT).body(Vec::new())
}

/// How tables are laid out. Tables that are printed one after the other have their columns below each other.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// True: all columns.
    pub wide: bool,
    /// True: with the namespace of each object.
    pub with_namespace: bool,
    /// True: without headings.
    pub no_headers: bool,
    widths: Vec<usize>,
}

impl Layout {
    /// A layout for tables of objects.
    pub fn new(wide: bool, with_namespace: bool, no_headers: bool) -> Self {
        Self { wide, with_namespace, no_headers, widths: Vec::new() }
    }

    /// The table as lines of text.
    pub fn render(&mut self, table: &Table) -> String {
        let columns = &table.column_definitions;
        let shown: Vec<usize> = (0..columns.len()).filter(|i| self.wide || columns[*i].priority == 0).collect();
        let mut lines: Vec<Vec<String>> = Vec::with_capacity(table.rows.len() + 1);
        if !self.no_headers {
            let heading = shown.iter().map(|i| columns[*i].name.to_uppercase());
            lines.push(self.with_namespace.then(|| "NAMESPACE".to_owned()).into_iter().chain(heading).collect());
        }
        for row in &table.rows {
            let namespace = row.object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
            let cells = shown.iter().map(|i| cell(row.cells.get(*i).unwrap_or(&Value::Null)));
            lines.push(self.with_namespace.then_some(namespace).into_iter().chain(cells).collect());
        }
        align(&lines, &mut self.widths)
    }
}

/// A value as kubectl shows it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => output::escape(text).into_owned(),
        other => output::escape(&other.to_string()).into_owned(),
    }
}

/// Lines whose columns begin below each other, and below those of earlier lines with these widths. The last column is not
/// filled up.
pub fn align(lines: &[Vec<String>], widths: &mut Vec<usize>) -> String {
    for line in lines {
        for (i, text) in line.iter().enumerate() {
            let width = text.chars().count();
            match widths.get_mut(i) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for line in lines {
        let filled: String = line.iter().zip(&*widths).map(|(cell, width)| format!("{cell:<width$}   ")).collect();
        text.push_str(filled.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_looks_as_kubectl_prints_it() {
        let table: Table = serde_json::from_value(json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Rests-Until", "priority": 0}, {"name": "Message", "priority": 1}],
            "rows": [
                {"cells": ["agents-0", null, "a\u{1b}[2J"], "object": {"metadata": {"namespace": "prod"}}},
                {"cells": ["agents-10", "2026-11-29T12:00:00Z", ""], "object": null},
            ],
        }))
        .unwrap();
        let expected = "NAME        RESTS-UNTIL\nagents-0    <none>\nagents-10   2026-11-29T12:00:00Z\n";
        let mut layout = Layout::default();
        assert_eq!(layout.render(&table), expected);
        layout.no_headers = true;
        let one = Table { rows: table.rows[..1].to_vec(), ..table.clone() };
        assert_eq!(layout.render(&one), "agents-0    <none>\n", "below the rows before");
        let wide = Layout::new(true, true, false).render(&table);
        assert!(
            wide.starts_with("NAMESPACE   NAME        RESTS-UNTIL            MESSAGE\nprod        agents-0"),
            "{wide}"
        );
        assert!(wide.contains("a\\u{1b}[2J"), "{wide}");
    }
}
