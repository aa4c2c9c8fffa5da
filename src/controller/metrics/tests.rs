use std::fmt::Write;

use super::*;
use crate::clock::SystemClock;

fn census(name: &str) -> PoolCensus {
    PoolCensus {
        key: ObjectKey::new("ns", name),
        workers: [("idle", 2), ("busy", 1), ("resting", 0), ("starting", 0), ("unavailable", 0)],
        waiting: 3,
        oldest: None,
        resting_credentials: 1,
        parked_credentials: 0,
        ready: Some(true),
    }
}

/// Metrics in which each family has a series.
async fn sample(pools: Vec<PoolCensus>) -> String {
    let (metrics, clock) = (Metrics::default(), SystemClock::new());
    metrics.took(&Input::Tick);
    metrics.wrote(("Worker", "status"), "done", Duration::from_millis(3));
    metrics.ran(("Docker", "start"), "done", Duration::from_millis(300));
    close(&metrics, "a", &clock);
    close(&metrics, "b", &clock);
    let mut questions = metrics.begin_loop();
    let health = Health::default();
    health.stands(Standing::Leader);
    let answering = async {
        let question = questions.recv().await.unwrap();
        question.send(Answer { pools, writes: (1, 2), orders: (0, 0), tables: vec![("dispatches", 7)] }).unwrap();
    };
    futures::join!(metrics.render(&health, &clock), answering).0
}

fn close(metrics: &Metrics, pool: &str, clock: &SystemClock) {
    let base: Dispatch = serde_json::from_value(serde_json::json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch",
        "metadata": {"name": "d", "namespace": "ns"}, "spec": {"pool": pool},
        "status": {"phase": "Assigned", "attempt": 1},
    }))
    .unwrap();
    let mut next = base.clone();
    let result = serde_json::json!({"attempt": 1, "outcome": "RateLimited", "closedAt": "2026-01-01T00:00:00.000000Z"});
    let status = next.status.as_mut().unwrap();
    status.last_result = Some(serde_json::from_value(result).unwrap());
    let milestone = Milestone::of(&base, status, None).unwrap();
    let lost = Settled::Failed(Some(Fetched::Dispatch(Some(Arc::new(base)))), "timeout".to_owned());
    metrics.reached(&milestone, &lost, clock);
    let done = Settled::Failed(Some(Fetched::Dispatch(Some(Arc::new(next)))), "the answer was lost".to_owned());
    metrics.reached(&milestone, &done, clock);
}

#[tokio::test]
async fn the_series_of_a_pool_go_with_it() {
    let text = sample(vec![census("a")]).await;
    for line in [
        r#"poolkeeper_workers{namespace="ns",pool="a",state="idle"} 2"#,
        r#"poolkeeper_queue_length{namespace="ns",pool="a"} 3"#,
        r#"poolkeeper_attempts_total{namespace="ns",pool="a",outcome="RateLimited"} 1"#,
        r#"poolkeeper_loop_work{lane="api",state="waiting"} 2"#,
        r#"poolkeeper_loop_entries{table="dispatches"} 7"#,
        r#"poolkeeper_pool_ready{namespace="ns",pool="a"} 1"#,
        r#"poolkeeper_parked_credentials{namespace="ns",pool="a"} 0"#,
        "poolkeeper_leader 1",
        "poolkeeper_pools 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains(r#"pool="b""#), "{text}");
}

#[tokio::test]
async fn without_a_loop_there_are_no_pools() {
    let text = Metrics::default().render(&Health::default(), &SystemClock::new()).await;
    assert!(text.contains("poolkeeper_leader 0") && !text.contains("namespace="), "{text}");
}

/// The page that lists all metrics is made from the metrics themselves. With POOLKEEPER_GENERATE=1 the test writes it.
#[tokio::test]
async fn the_page_of_the_metrics_is_up_to_date() {
    let text = sample(vec![census("a"), census("b")]).await;
    let mut page = String::from(
        "<!-- Generated: POOLKEEPER_GENERATE=1 cargo test --lib the_page_of. Do not edit. -->\n# Metrics\n\n\
         `poolkeeper controller` serves them at `/metrics` (`--http-bind`), in the OpenMetrics format. A pool's series are \
         removed when it is deleted. A controller that does not lead has no series of the loop, of pools and of \
         workers; sum over all controllers.\n\n| metric | type | labels | what |\n|---|---|---|---|\n",
    );
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) else { continue };
        let kind = lines.next().and_then(|l| l.rsplit(' ').next()).unwrap();
        lines.next_if(|l| l.starts_with("# UNIT"));
        let series = lines.peek().unwrap();
        let labels = series.split_once('{').map_or("", |(_, l)| l.split_once('}').unwrap().0);
        let labels: Vec<String> = labels
            .split(',')
            .filter_map(|l| l.split_once('='))
            .map(|(n, _)| n)
            .filter(|n| *n != "le")
            .map(|n| format!("`{n}`"))
            .collect();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        writeln!(page, "| `{name}{suffix}` | {kind} | {} | {} |", labels.join(", "), help.trim_end_matches('.'))
            .unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if std::env::var_os("POOLKEEPER_GENERATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == page, "docs/metrics.md is stale: POOLKEEPER_GENERATE=1 cargo test --lib the_page_of");
}
