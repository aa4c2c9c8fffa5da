//! What a preset reads of costs and tokens, and `--max-cost`.
use crate::support::{Place, Ran};

/// Prints what an agent prints that ended well. The first attempt of `b` met a limit before.
const AGENT: &str = r#"echo x >> ran.txt
    if [ $TASK = b ] && [ $POOLKEEPER_ATTEMPT = 1 ]; then
        echo '{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"Limit","total_cost_usd":0.1}'; exit 1
    fi
    echo '{"type":"result","subtype":"success","is_error":false,"result":"ok","total_cost_usd":0.3,"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":7}}'"#;

fn run(place: &Place, flags: &[&str]) -> Ran {
    let all =
        ["--preset", "claude-code", "--workers", "1", "--cooldown", "100ms", "--tasks", "tasks.txt", "--out", "out"];
    place.run(&[&all[..], flags, &["--", "sh", "-c", AGENT]].concat())
}

#[test]
fn costs_and_tokens_are_in_results_and_sums() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\n");
    let ran = run(&place, &["--progress", "json"]).exits(0);
    let result = place.json("out/line-1/result.json");
    assert_eq!(
        result["spent"],
        serde_json::json!({"costUsd": 0.3, "inputTokens": 15, "cachedInputTokens": 5, "outputTokens": 7})
    );
    assert_eq!(place.json("out/line-2/attempt-1/result.json")["spent"]["costUsd"], 0.1);
    let summary: serde_json::Value = serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&summary["spent"]["costUsd"], &summary["spent"]["inputTokens"]),
        (&0.7.into(), &30.into()),
        "{summary}"
    );
    let outcome =
        |name: &str| summary["outcomes"].as_array().unwrap().iter().find(|o| o["outcome"] == name).unwrap().clone();
    assert_eq!(outcome("RateLimited")["spent"]["costUsd"], 0.1);
    assert_eq!(
        (&outcome("Succeeded")["attempts"], &outcome("Succeeded")["spent"]["costUsd"]),
        (&2.into(), &0.6.into())
    );
}

#[test]
fn nothing_is_started_once_the_most_is_spent_and_a_higher_one_goes_on() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\nc\nd\n");
    let ran = run(&place, &["--max-cost", "0.65"]).exits(75);
    // 0.3 for a, 0.1 and 0.3 for b.
    ran.says(&["stopped after $0.70 (--max-cost $0.65)", "2 succeeded, 2 not run", "$0.60", "$0.10", "in all"]);
    assert_eq!(place.read("ran.txt").lines().count(), 3);
    run(&place, &["--resume", "--max-cost", "0.65"]).exits(75).says(&["stopped after $0.70"]);
    assert_eq!(place.read("ran.txt").lines().count(), 3, "what was spent before counts");
    run(&place, &["--resume", "--max-cost", "5"]).exits(0).says(&[
        "2 succeeded, 2 done before",
        "earlier runs",
        "$1.30",
    ]);
    // A most that is reached by the last task leaves nothing undone.
    run(&place, &["--resume", "--max-cost", "1"]).exits(0).says(&["4 done before"]);
}

#[test]
fn a_most_that_nothing_could_reach_is_refused() {
    let place = Place::new();
    place.write("tasks.txt", "a\n");
    let refused = |flags: &[&str], words: &[&str]| {
        place.run(&[flags, &["--tasks", "tasks.txt", "--", "touch", "ran"]].concat()).exits(2).says(words);
        assert!(!place.path("ran").exists());
    };
    refused(&["--max-cost", "5"], &["--max-cost", "--preset", "claude-code"]);
    refused(&["--max-cost", "5", "--preset", "codex"], &["no preset of this run reads"]);
    refused(&["--max-cost", "0", "--preset", "claude-code"], &["above 0"]);
    refused(&["--max-cost", "five", "--preset", "claude-code"], &["five", "US dollars"]);
}
