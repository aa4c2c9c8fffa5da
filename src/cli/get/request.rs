//! The objects that `get` shows, as the server gives them.

use serde_json::Value;

use super::filter::Filter;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::print::kinds::Kind;
use crate::cli::print::table::{self, Layout, Table};
use crate::cli::print::{self, Format};
use crate::cli::server::Server;

/// What a command shows, and how.
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) names: Vec<String>,
    pub(super) filter: Filter,
    pub(super) all_namespaces: bool,
    pub(super) output: Format,
}

impl Request {
    pub(super) fn path(&self, server: &Server) -> String {
        self.kind.path((!self.all_namespaces).then_some(&*server.namespace))
    }

    /// The objects as they are now, and the version of the list.
    pub(super) async fn list(&self, server: &Server) -> Result<(Table, String), Failure> {
        let path = self.path(server);
        let addresses: Vec<(String, &str)> = if self.names.is_empty() {
            vec![(path, &*self.filter.query)]
        } else {
            self.names.iter().map(|name| (format!("{path}/{name}"), "")).collect()
        };
        let (mut all, mut version) = (Table::default(), String::new());
        for (path, query) in addresses {
            let request = table::request(&path, query).map_err(|e| Failure::usage(format!("{path}: {e}")))?;
            let answer: Value = server.client.request(request).await.map_err(|e| server.failed(&e))?;
            version = answer["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
            let table = as_table(answer, server)?;
            all.rows.extend(table.rows.into_iter().filter(|row| self.filter.shows(&row.object)));
            if all.column_definitions.is_empty() {
                all.column_definitions = table.column_definitions;
            }
        }
        Ok((all, version))
    }

    pub(super) fn show(&self, table: &Table, server: &Server, layout: &mut Layout) -> Result<(), Failure> {
        if !self.output.is_table() {
            let objects: Vec<Value> = table.rows.iter().map(|row| row.object.clone()).collect();
            return print::data(&print::objects(self.kind, &objects, self.names.len() == 1, self.output)?);
        }
        if table.rows.is_empty() {
            let place = if self.all_namespaces { String::new() } else { format!(" in namespace {}", server.namespace) };
            output::say(&format!("found no {}{place} of {}", self.kind.plural(), server.title));
            return Ok(());
        }
        print::data(&layout.render(table))
    }
}

/// Reads the answer of a server that was asked for a Table.
pub(in crate::cli) fn as_table(answer: Value, server: &Server) -> Result<Table, Failure> {
    if answer["kind"] != "Table" {
        return Err(Failure::new(Exit::Failed, format!("{} makes no tables: use -o json", server.title)));
    }
    serde_json::from_value(answer).map_err(|e| Failure::poolkeeper("a table of the server", e))
}
