//! What `status` reads of a server, and how it looks.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::problems;
use crate::api::dispatch::Outcome;
use crate::api::{ContainerPool, seconds};
use crate::cli::change::check_name;
use crate::cli::exit::{Exit, Failure};
use crate::cli::get::as_table;
use crate::cli::output::escape;
use crate::cli::print::kinds::Kind;
use crate::cli::print::table::{self, Layout, Row, Table, align};
use crate::cli::server::Server;

/// How many waiting and how many finished dispatches are shown.
const SHOWN: usize = 10;

/// Pools, and of one pool its workers and the dispatches that wait for it.
pub(super) struct View {
    pools: Table,
    inside: Option<Inside>,
}

struct Inside {
    workers: Table,
    waiting: Table,
}

impl View {
    /// All pools of the namespace, or one of them with what is in it.
    pub async fn read(server: &Server, pool: Option<&str>) -> Result<Self, Failure> {
        let Some(name) = pool else {
            return Ok(Self { pools: list(server, Kind::Pool, "", "").await?, inside: None });
        };
        check_name(name)?;
        let pools = list(server, Kind::Pool, &format!("/{name}"), "").await?;
        let workers = list(server, Kind::Worker, "", &format!("fieldSelector=spec.pool%3D{name}")).await?;
        let pending = format!("fieldSelector=spec.pool%3D{name}%2Cstatus.phase%3DPending");
        let mut waiting = list(server, Kind::Dispatch, "", &pending).await?;
        waiting.rows.sort_by_cached_key(place_in_queue);
        Ok(Self { pools, inside: Some(Inside { workers, waiting }) })
    }

    /// The versions of all objects: it is another one after each change.
    pub fn version(&self) -> Vec<String> {
        let inside = self.inside.iter().flat_map(|inside| [&inside.workers, &inside.waiting]);
        let rows = inside.chain([&self.pools]).flat_map(|table| &table.rows);
        rows.map(|row| row.object["metadata"]["resourceVersion"].to_string()).collect()
    }

    fn pools(&self) -> Result<Vec<ContainerPool>, Failure> {
        let read = |row: &Row| {
            serde_json::from_value(row.object.clone()).map_err(|e| Failure::poolkeeper("a pool of the server", e))
        };
        self.pools.rows.iter().map(read).collect()
    }

    /// One object for programs.
    pub fn json(&self) -> Result<Value, Failure> {
        let mut pools: Vec<Value> = self.pools()?.iter().map(problems::summary).collect();
        let Some(Inside { workers, waiting }) = &self.inside else { return Ok(json!({"pools": pools})) };
        let objects = |table: &Table| table.rows.iter().map(|row| row.object.clone()).collect::<Vec<_>>();
        let mut pool = pools.pop().unwrap_or_default();
        pool["workers"] = objects(workers).into();
        pool["waiting"] = objects(waiting).into();
        Ok(pool)
    }

    /// Text for people.
    pub fn text(&self) -> Result<String, Failure> {
        if self.pools.rows.is_empty() {
            return Ok(String::new());
        }
        let mut text = Layout::default().render(&self.pools);
        for pool in self.pools()? {
            let lines = problems::lines(&pool);
            if lines.is_empty() {
                continue;
            }
            let name = escape(pool.metadata.name.as_deref().unwrap_or_default()).into_owned();
            let of = if self.inside.is_some() { String::new() } else { format!("{name}:\n") };
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{of}{}", indented(&align(&lines, &mut Vec::new())));
        }
        if let Some(inside) = &self.inside {
            inside.write(&mut text);
            for pool in self.pools()? {
                text.push_str(&hosts(&pool));
                text.push_str(&recent(&pool));
            }
        }
        Ok(text)
    }
}

impl Inside {
    fn write(&self, text: &mut String) {
        if !self.workers.rows.is_empty() {
            let _ = write!(text, "\n{}", Layout::default().render(&self.workers));
        }
        let n = self.waiting.rows.len();
        if n == 0 {
            return;
        }
        let first = Table { rows: self.waiting.rows.iter().take(SHOWN).cloned().collect(), ..self.waiting.clone() };
        let _ = write!(text, "\nwaiting: {n}\n{}", Layout::default().render(&first));
        if n > SHOWN {
            let _ = writeln!(text, "… and {} more", n - SHOWN);
        }
    }
}

/// The Docker hosts that the pool names, with what is on them.
fn hosts(pool: &ContainerPool) -> String {
    let hosts = pool.status.as_ref().map(|status| &status.hosts[..]).unwrap_or_default();
    if hosts.is_empty() {
        return String::new();
    }
    let heading = ["HOST", "WORKERS", "REACHABLE"].map(str::to_owned).to_vec();
    let rows = hosts.iter().map(|host| {
        let reachable = if host.unreachable.is_none() { "yes" } else { "no" };
        vec![escape(&host.name).into_owned(), host.workers.to_string(), reachable.to_owned()]
    });
    format!("\n{}", align(&[heading].into_iter().chain(rows).collect::<Vec<_>>(), &mut Vec::new()))
}

/// The dispatches that finished last.
fn recent(pool: &ContainerPool) -> String {
    let recent = pool.status.as_ref().map(|status| &status.recent[..]).unwrap_or_default();
    if recent.is_empty() {
        return String::new();
    }
    let text = |value: Option<&str>| value.map_or_else(|| "<none>".to_owned(), |value| escape(value).into_owned());
    let heading = ["RECENT", "WORKER", "OUTCOME", "FINISHED"].map(str::to_owned).to_vec();
    let rows = recent.iter().take(SHOWN).map(|one| {
        let finished = one.finished_at.as_ref().map(|t| seconds(t.0).0.to_string());
        let outcome = one.outcome.map(Outcome::as_str);
        vec![text(Some(&one.dispatch)), text(one.worker.as_deref()), text(outcome), text(finished.as_deref())]
    });
    format!("\n{}", align(&[heading].into_iter().chain(rows).collect::<Vec<_>>(), &mut Vec::new()))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Higher priority first, then the older one, then by name: the order of the queue.
fn place_in_queue(row: &Row) -> (i64, String, String) {
    let text = |field: &str| row.object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (-row.object["spec"]["priority"].as_i64().unwrap_or_default(), text("creationTimestamp"), text("name"))
}

/// A table of the server.
async fn list(server: &Server, kind: Kind, below: &str, query: &str) -> Result<Table, Failure> {
    let path = format!("{}{below}", kind.path(Some(&server.namespace)));
    let request = table::request(&path, query).map_err(|e| Failure::new(Exit::Usage, format!("{path}: {e}")))?;
    as_table(server.client.request(request).await.map_err(|e| server.failed(&e))?, server)
}
