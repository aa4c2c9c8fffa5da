//! Names of objects, as candidates. Nothing is said if there are none, for whatever reason.

use std::time::Duration;

use http::Request;
use serde_json::Value;

use super::words::Wanted;
use crate::cli::print::kinds::Kind;
use crate::cli::server::Server;

/// How long a shell waits for names.
const PATIENCE: Duration = Duration::from_secs(1);
/// More are of no use to a person.
const LIMIT: usize = 500;

/// The names that are wanted.
pub(super) async fn of(wanted: &Wanted) -> Vec<String> {
    if wanted.kinds.is_empty() {
        return Vec::new();
    }
    let names = async {
        let mut names = Vec::new();
        let Ok(server) = wanted.server.connect().await else { return names };
        for kind in &wanted.kinds {
            names.extend(list(&server, *kind).await.into_iter().map(|name| format!("{}{name}", wanted.prefix)));
        }
        names
    };
    tokio::time::timeout(PATIENCE, names).await.unwrap_or_default()
}

async fn list(server: &Server, kind: Kind) -> Vec<String> {
    let path = format!("{}?limit={LIMIT}", kind.path(Some(&server.namespace)));
    let Ok(request) = Request::get(path).body(Vec::new()) else { return Vec::new() };
    let Ok(answer) = server.client.request::<Value>(request).await else { return Vec::new() };
    let items = answer["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect()
}
