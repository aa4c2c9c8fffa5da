//! `-w`: each change of the objects, as it comes.

use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::Value;

use super::request::{Request, as_table};
use crate::cli::exit::{Exit, Failure};
use crate::cli::print::table::{self, Column, Layout, Table};
use crate::cli::server::Server;

/// Shows changes from a version on, until the server ends or the user does.
pub(super) async fn follow(
    request: &Request,
    server: &Server,
    (found, version): (Table, String),
    layout: Layout,
) -> Result<(), Failure> {
    let mut seen = Seen { headed: !found.rows.is_empty(), columns: found.column_definitions, version, layout };
    loop {
        if seen.watch(request, server).await? == Ended::Old {
            // What happened in between cannot be had any more: the objects as they are now take its place.
            let (now, version) = request.list(server).await?;
            seen.version = version;
            seen.show(request, server, now)?;
        }
    }
}

/// Why a watch ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// It was long enough: it goes on from the last version.
    On,
    /// Its version is too old.
    Old,
}

struct Seen {
    columns: Vec<Column>,
    version: String,
    layout: Layout,
    /// True if the headings were printed.
    headed: bool,
}

impl Seen {
    async fn watch(&mut self, request: &Request, server: &Server) -> Result<Ended, Failure> {
        let mut query = format!("watch=true&allowWatchBookmarks=true&resourceVersion={}", self.version);
        if let [name] = &*request.names {
            query.push_str("&fieldSelector=metadata.name%3D");
            query.extend(form_urlencoded::byte_serialize(name.as_bytes()));
        } else if !request.filter.query.is_empty() {
            query = format!("{query}&{}", request.filter.query);
        }
        let path = request.path(server);
        let watch = table::request(&path, &query).map_err(|e| Failure::usage(format!("{path}: {e}")))?;
        let stream = match server.client.request_stream(watch).await {
            Err(kube::Error::Api(status)) if status.code == 410 => return Ok(Ended::Old),
            stream => stream.map_err(|e| server.failed(&e))?,
        };
        let mut lines = std::pin::pin!(stream.lines());
        let lost = |e| Failure::new(Exit::Unreachable, format!("{}: {e}", server.title));
        while let Some(line) = lines.try_next().await.map_err(lost)? {
            let mut event: Value =
                serde_json::from_str(&line).map_err(|e| Failure::poolkeeper("an event of a watch", e))?;
            if event["type"] == "ERROR" {
                let gone = event["object"]["code"] == 410;
                let message = event["object"]["message"].as_str().unwrap_or_default();
                return if gone { Ok(Ended::Old) } else { Err(Failure::new(Exit::Failed, message)) };
            }
            let version = event["object"]["metadata"]["resourceVersion"].as_str().map(str::to_owned);
            let bookmark = event["type"] == "BOOKMARK";
            let mut change = as_table(event["object"].take(), server)?;
            if let Some(version) = version.or_else(|| version_of(&change)) {
                self.version = version;
            }
            let named = |object: &Value| {
                request.names.is_empty() || request.names.iter().any(|name| object["metadata"]["name"] == **name)
            };
            change.rows.retain(|row| request.filter.shows(&row.object) && named(&row.object));
            if !bookmark && !change.rows.is_empty() {
                self.show(request, server, change)?;
            }
        }
        Ok(Ended::On)
    }

    /// Shows rows below those that were shown before.
    fn show(&mut self, request: &Request, server: &Server, mut change: Table) -> Result<(), Failure> {
        if change.column_definitions.is_empty() {
            change.column_definitions.clone_from(&self.columns);
        }
        self.layout.no_headers |= self.headed;
        self.headed = true;
        request.show(&change, server, &mut self.layout)
    }
}

fn version_of(table: &Table) -> Option<String> {
    let row = table.rows.last()?;
    row.object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}
