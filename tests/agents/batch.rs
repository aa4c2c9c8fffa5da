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
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ended: Vec<Value> = events.filter(|event| event["event"] == "ended").collect();
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
}

#[test]
fn claude_code() {
    batch(CLAUDE);
}

#[test]
fn codex() {
    batch(CODEX);
}
