//! `poolkeeper run` with the wrapper of an example.
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;

use kube::Api;
use kube::api::PostParams;
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::Rig;
use poolkeeper_testkit::place::Place;
use serde_json::Value;

use crate::BINARY;
use crate::accounts::{Accounts, CLAUDE, CODEX};

/// With accounts of which a person mends what only a person can: by `run POOL` on a local server.
#[tokio::test]
async fn claude_code_on_a_server() {
    let rig = Rig::new(BINARY);
    rig.up();
    let place = rig.file("batch");
    std::fs::create_dir(&place).unwrap();
    let accounts = Accounts::new(CLAUDE, &place);
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    pools.create(&PostParams::default(), &serde_json::from_value(accounts.pool()).unwrap()).await.unwrap();
    let wrapper = accounts.wrapper();
    let flags = ["run", "agents", "--tasks", "tasks.txt", "--out", "results", "--state", "state", "--silence", "30s"];
    let more = ["--progress-file", "progress.json", "--retry-failed", "3", "--backoff", "0s", "--"];
    let mut command = rig.poolkeeper(&[&flags[..], &more, &[wrapper.to_str().unwrap()]].concat());
    command.current_dir(&place).process_group(0);
    let ran = accounts.mended_during(&rig, command).await;
    let counts = accounts.judge();
    let ran = ran.exits(0);
    assert!(ran.stderr.contains("tasks: 40 succeeded"), "{}", ran.stderr);
    the_progress_says(&std::fs::read_to_string(place.join("progress.json")).unwrap(), &accounts, &counts);
}

/// With two accounts that are never mended: by `run --local`.
#[test]
fn codex_without_a_server() {
    let place = Place::new();
    let accounts = Accounts::new(CODEX, &place.path(""));
    place.write("pool.json", &accounts.pool().to_string());
    let wrapper = accounts.wrapper();
    let flags = ["-f", "pool.json", "--tasks", "tasks.txt", "--out", "results", "--state", "state"];
    let more = ["--progress-file", "progress.json", "--retry-failed", "3", "--silence", "30s", "--"];
    let ran = place.run(&[&flags[..], &more, &[wrapper.to_str().unwrap()]].concat());
    eprintln!("{}", ran.stderr); // It is shown if the test fails.
    let counts = accounts.judge();
    ran.exits(0).says(&["tasks: 40 succeeded"]);
    the_progress_says(&place.read("progress.json"), &accounts, &counts);
}

/// The events of a run, and its summary, say how often what occurred, as the accounts know it, and what it cost.
fn the_progress_says(events: &str, accounts: &Accounts, counts: &BTreeMap<&'static str, usize>) {
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended: Vec<&Value> = events.iter().filter(|event| event["event"] == "ended").collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for end in &ended {
        let outcome = end["outcome"].as_str().unwrap();
        *seen.entry(outcome).or_default() += 1;
        // A refused credential rests until it is probed.
        let rests = ["RateLimited", "Unauthorized"].contains(&outcome);
        assert_eq!(rests, end["restsUntil"].is_string(), "an overload rests, or a limit does not: {end}");
    }
    assert_eq!(seen, *counts, "{ended:#?}");

    // The summary says the same, and what it cost. Only one of the programs says that in money.
    let summary = events.iter().find(|event| event["event"] == "summary").unwrap();
    let rows = summary["outcomes"].as_array().unwrap().iter();
    let rows = rows.map(|row| (row["outcome"].as_str().unwrap(), row["attempts"].as_u64().unwrap()));
    let rows: BTreeMap<&str, usize> = rows.map(|(outcome, n)| (outcome, usize::try_from(n).unwrap())).collect();
    assert_eq!(rows, *counts, "{summary}");
    if let Some(cents) = accounts.cents() {
        let dollars = summary["spent"]["costUsd"].as_f64().unwrap();
        assert!((dollars * 100.0 - f64::from(cents)).abs() < 0.001, "{summary}");
    }
}
