//! `poolkeeper run --local` with the wrapper of an example.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::accounts::{Accounts, Agent, CLAUDE, CODEX};
use crate::support::Place;

fn batch(agent: Agent) {
    let place = Place::new();
    let accounts = Accounts::new(agent, &place.path(""));
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"}, "spec": accounts.spec(),
    });
    place.write("pool.json", &pool.to_string());
    let wrapper = accounts.wrapper();
    let flags = ["-f", "pool.json", "--tasks", "tasks.txt", "--out", "results", "--state", "state"];
    let more = ["--progress-file", "progress.json", "--retry-failed", "3", "--silence", "30s", "--"];
    let ran = place.run(&[&flags[..], &more, &[wrapper.to_str().unwrap()]].concat());
    eprintln!("{}", ran.stderr); // It is shown if the test fails.
    let counts = accounts.judge();
    ran.exits(0).says(&["tasks: 40 succeeded"]);

    let events = place.read("progress.json");
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended: Vec<&Value> = events.iter().filter(|event| event["event"] == "ended").collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for end in &ended {
        let outcome = end["outcome"].as_str().unwrap();
        *seen.entry(outcome).or_default() += 1;
        assert_eq!(
            outcome == "RateLimited",
            end["restsUntil"].is_string(),
            "an overload rests, or a limit does not: {end}"
        );
    }
    assert_eq!(seen, counts, "{ended:#?}");

    // The summary says the same, and what it cost. Only one of the programs says that in money.
    let summary = events.iter().find(|event| event["event"] == "summary").unwrap();
    let rows = summary["outcomes"].as_array().unwrap().iter();
    let rows = rows.map(|row| (row["outcome"].as_str().unwrap(), row["attempts"].as_u64().unwrap()));
    let rows: BTreeMap<&str, usize> = rows.map(|(outcome, n)| (outcome, usize::try_from(n).unwrap())).collect();
    assert_eq!(rows, counts, "{summary}");
    if agent.program == "claude" {
        let dollars = summary["spent"]["costUsd"].as_f64().unwrap();
        assert!((dollars * 100.0 - f64::from(accounts.cents())).abs() < 0.001, "{summary}");
    }
}

#[test]
fn claude_code() {
    batch(CLAUDE);
}

#[test]
fn codex() {
    batch(CODEX);
}
