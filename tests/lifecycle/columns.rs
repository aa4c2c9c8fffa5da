//! What `kubectl get` prints of times: the tables that the API server makes of the stored objects.

use poolkeeper::api::dispatch::DispatchPhase;
use serde_json::{Value, json};

use crate::world::{NS, World, phase};

/// The cell of an object in a column, as `kubectl get -o wide` has it.
async fn cell(w: &World, kind: &str, name: &str, column: &str) -> Value {
    let request = http::Request::get(format!("/apis/poolkeeper.dev/v1alpha1/namespaces/{NS}/{kind}/{name}"));
    let request = request.header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io").body(Vec::new()).unwrap();
    let table: Value = w.client.request(request).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap();
    let place = columns.iter().position(|c| c["name"] == column).unwrap();
    // kubectl prints a column of type date as the time that has passed, which says nothing of a time that is to come.
    assert_eq!(columns[place]["type"], "string", "{column}");
    table["rows"][0]["cells"][place].clone()
}

/// True for `2026-01-01T00:00:00Z`.
fn is_whole(cell: &Value) -> bool {
    cell.as_str().is_some_and(|t| t.len() == 20 && t.ends_with('Z') && t.parse::<jiff::Timestamp>().is_ok())
}

#[tokio::test(start_paused = true)]
async fn the_ends_of_rests_are_printed_in_whole_seconds() {
    let w = World::new();
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.dispatch("t", "p", json!({"retry": {"rateLimited": 1}})).await;
    w.until_assigned("t").await;
    for (kind, name, column) in [("dispatches", "t", "Until"), ("workers", "p-0", "Rests-Until")] {
        assert_eq!(cell(&w, kind, name, column).await, Value::Null, "{column}");
    }
    w.report("t", json!({"outcome": "RateLimited", "retryAfter": "60s"})).await;
    w.until_workers("resting", |ws| ws.iter().any(|x| x.status.as_ref().is_some_and(|s| s.rests_until.is_some())))
        .await;
    w.until_pool("p", "told", |p| p.status.as_ref().is_some_and(|s| s.next_available_time.is_some())).await;
    let shown = [
        cell(&w, "dispatches", "t", "Until").await,
        cell(&w, "workers", "p-0", "Rests-Until").await,
        cell(&w, "containerpools", "p", "Rests-Until").await,
    ];
    assert!(shown.iter().all(is_whole), "{shown:?}");
    w.until_dispatch("t", "again", |d| phase(d) == DispatchPhase::Assigned).await;
    assert_eq!(cell(&w, "dispatches", "t", "Until").await, Value::Null, "it is assigned");
}
