//! Programs that meet limits in their own ways: presets and patterns in a batch.
use jiff::Timestamp;
use serde_json::Value;

use crate::support::{Place, Ran};

const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/limited-agent.sh");

/// A batch of one task of each kind. Answers what the first attempt at each ended as.
fn batch(place: &Place, kinds: &[&str], flags: &[&str]) -> (Ran, Vec<Value>) {
    std::fs::create_dir(place.path("first")).unwrap();
    place.write("tasks.txt", &kinds.iter().map(|kind| format!("{kind}\n")).collect::<String>());
    let first = place.path("first");
    let command = ["--tasks", "tasks.txt", "--progress-file", "progress.json", "--", "sh", AGENT];
    let ran = place.run(&[flags, &command, &[first.to_str().unwrap()]].concat());
    let events = place.read("progress.json");
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ended: Vec<Value> = events.filter(|event| event["event"] == "ended").collect();
    let first_of = |line: usize| {
        let id = format!("line-{line}");
        ended.iter().find(|event| event["task"] == id.as_str() && event["attempt"] == 1).cloned().unwrap_or_default()
    };
    (ran, (1..=kinds.len()).map(first_of).collect())
}

/// In how many minutes the rest after an attempt ends, counted from the attempt's end.
fn minutes(ended: &Value) -> Option<i64> {
    let time = |field: &str| ended[field].as_str().map(|text| text.parse::<Timestamp>().unwrap());
    Some(time("restsUntil")?.duration_since(time("time")?).as_mins())
}

#[test]
fn limits_with_and_without_a_time_an_empty_account_and_an_expired_login_are_told_apart() {
    let place = Place::new();
    let kinds = ["epoch", "clock", "relative", "overloaded", "money", "login", "own"];
    place.write(
        "pool.yaml",
        "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: agents}\nspec:\n  max: 12\n  \
         rateLimit: {patterns: ['shop is closed, come back in (?<retryAfter>\\w+)']}\n",
    );
    // The same token would be one credential.
    for token in ["a", "b", "c", "d"] {
        place.write(token, &format!("token-{token}\n"));
    }
    let mut flags = vec!["-f", "pool.yaml", "--preset", "claude-code,codex", "--retry-failed", "1"];
    for credential in ["a=T:file:a", "b=T:file:b", "c=T:file:c", "d=T:file:d"] {
        flags.extend(["--credential", credential]);
    }
    let (ran, first) = batch(&place, &kinds, &flags);
    ran.exits(0).says(&["tasks: 7 succeeded"]);
    let wanted = [
        ("RateLimited", "claude-code/usage-limit-epoch", Some(61..=62)),
        ("RateLimited", "claude-code/hit-limit", Some(121..=122)),
        ("RateLimited", "codex/usage-limit", Some(184..=185)),
        ("Overloaded", "service overloaded (claude-code/overloaded)", None),
        ("Unauthorized", "quota or credit used up (claude-code/credit-balance)", None),
        ("Unauthorized", "credential refused (claude-code/logged-out)", None),
        ("RateLimited", "pattern 1", Some(239..=240)),
    ];
    for ((kind, ended), (outcome, message, rest)) in kinds.iter().zip(&first).zip(wanted) {
        assert_eq!(ended["outcome"], outcome, "{kind}: {ended}");
        assert!(ended["message"].as_str().is_some_and(|text| text.contains(message)), "{kind}: {ended}");
        if let Some(rest) = rest {
            assert!(minutes(ended).is_some_and(|minutes| rest.contains(&minutes)), "{kind}: {ended}");
        }
    }
}

#[test]
fn an_unknown_failure_shows_its_last_line_only_if_a_preset_looks_at_it() {
    for (flags, shown) in [(&["--preset", "gh"][..], true), (&[], false)] {
        let place = Place::new();
        let (ran, first) = batch(&place, &["unknown"], flags);
        ran.exits(1);
        let message = first[0]["message"].as_str().unwrap();
        assert!(message.starts_with("exit code 1"), "{message}");
        assert_eq!(message.ends_with("its last line: no rule knows this"), shown, "{message}");
    }
}

#[test]
fn a_program_that_sleeps_on_its_limit_is_ended_and_its_worker_rests() {
    let place = Place::new();
    let (ran, first) = batch(&place, &["asleep"], &["--workers", "2", "--preset", "opencode"]);
    ran.exits(0).says(&["tasks: 1 succeeded"]);
    assert_eq!(first[0]["outcome"], "RateLimited", "{:?}", first[0]);
    assert!(minutes(&first[0]).is_some_and(|minutes| (124..=125).contains(&minutes)), "{:?}", first[0]);
}

#[test]
fn a_preset_or_a_pattern_that_cannot_be_used_is_refused_before_anything_runs() {
    let place = Place::new();
    place.run(&["--preset", "claude", "--", "true"]).exits(2).says(&["expected one of aider, anthropic-sdk"]);
    for (pattern, word) in [
        ("claude", "there is no preset \"claude\""),
        ("limit (", "\"limit (\" is not a regular expression: unclosed group"),
        ("(?<until>x)", "only the groups retryAfter and resetAt are read"),
        ("x*", "matches an empty line"),
    ] {
        let pool = format!(
            "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {{name: p}}\nspec: {{rateLimit: {{patterns: [{pattern:?}]}}}}\n"
        );
        place.write("pool.yaml", &pool);
        place.run(&["-f", "pool.yaml", "--", "true"]).exits(2).says(&["spec.rateLimit.patterns", word]);
    }
}
