//! `poolkeeper preset`, and `report --output`.
use std::path::PathBuf;

use kube::Api;
use poolkeeper::api::dispatch::{DispatchResult, ReportedOutcome};
use poolkeeper::api::{Dispatch, Period};
use poolkeeper_testkit::local_server::Rig;

use crate::PROGRAM;
use crate::acquire::one_worker;

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn presets_are_listed_and_shown_without_a_server() {
    let rig = Rig::new(PROGRAM);
    let said = rig.run(&["preset", "list"]).exits(0);
    assert!(said.stdout.contains("NAME            LAST SEEN   PROGRAM\n") && said.stdout.contains("\nclaude-code "));
    let names = rig.run(&["preset", "list", "-o", "name"]).exits(0).stdout;
    assert_eq!(names.lines().count(), 12);
    for name in names.lines() {
        let shown = rig.run(&["preset", "show", name]).exits(0).stdout;
        assert!(shown.contains(&format!("name: {name}\n")) && shown.contains("advice: |"), "{name}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&rig.run(&["preset", "list", "-o", "json"]).exits(0).stdout).unwrap();
    assert!(json.as_array().unwrap().iter().all(|preset| preset["seen"].is_string()));
    let said = rig.run(&["preset", "show", "nope"]).exits(3);
    assert!(said.stderr.contains("there is no preset \"nope\""), "{}", said.stderr);
}

#[test]
fn a_recorded_output_gives_outcome_time_and_rule() {
    let (rig, dir) = (Rig::new(PROGRAM), tempfile::tempdir().unwrap());
    let test = |args: &[&str], output: &str| {
        let path = file(&dir, "out", output);
        let args = [&["preset", "test", args[0], path.to_str().unwrap()], &args[1..], &["-o", "json"]].concat();
        serde_json::from_str::<serde_json::Value>(&rig.run(&args).exits(0).stdout).unwrap()
    };
    let now = ["--now", "2026-07-28T10:00:00Z", "--zone", "Europe/Berlin"];
    let of = |pattern: &'static str, more: &[&'static str]| [&[pattern][..], &now, more].concat();
    let limit = "You've hit your weekly limit · resets Jul 31, 2am\n";
    let found = test(&of("claude-code", &[]), limit);
    assert_eq!(found["outcome"], "RateLimited");
    assert_eq!((&found["rule"], &found["until"]), (&"claude-code/hit-limit".into(), &"2026-07-31T00:02:00Z".into()));
    let sleeps = test(&of("gh,opencode", &[]), "Too Many Requests [retrying in 2h5m attempt #4]\n");
    assert_eq!((&sleeps["until"], &sleeps["exitCode"]), (&"2026-07-28T12:05:00Z".into(), &serde_json::Value::Null));
    let own = test(&of("wait (?<retryAfter>\\d+s)", &["--exit-code", "3"]), "busy, wait 90s\n");
    assert_eq!((&own["rule"], &own["until"]), (&"pattern 1".into(), &"2026-07-28T10:01:30Z".into()));
    let none = test(&of("claude-code", &["--exit-code", "0"]), "fine\n");
    assert_eq!((&none["outcome"], &none["rule"]), (&"Succeeded".into(), &serde_json::Value::Null));

    // What it cost, from the last event of a program that fails for an unknown reason.
    let result = "{\"type\":\"result\",\"is_error\":true,\"result\":\"What?\",\"total_cost_usd\":0.25,\"usage\":{\"input_tokens\":12,\"output_tokens\":5}}\n";
    let unknown = test(&["claude-code"], result);
    assert_eq!((&unknown["spent"]["costUsd"], &unknown["spent"]["inputTokens"]), (&0.25.into(), &12.into()));
    assert!(none["spent"].is_null());
    let path = file(&dir, "out", result);
    let said = rig.run(&["preset", "test", "claude-code", path.to_str().unwrap()]).exits(0).stdout;
    assert!(said.ends_with("last event What?\nspent      $0.25, 12 tokens read (0 cached), 5 written\n"), "{said}");

    let path = file(&dir, "out", "\u{1b}[31mwhat\u{1b}[0m\u{7} is this\n");
    let said = rig.run(&["preset", "test", "gh", path.to_str().unwrap()]).exits(0).stdout;
    assert_eq!(said, "outcome    Failed\nrule       none: exit code 1 decides\nlast line  what is this\n");
}

#[test]
fn what_cannot_be_tested_is_refused() {
    let rig = Rig::new(PROGRAM);
    for (args, code, word) in [
        (&["preset", "test", "nope", "/dev/null"][..], 2, "there is no preset \"nope\""),
        (&["preset", "test", "a (", "/dev/null"], 2, "is not a regular expression: unclosed group"),
        (&["preset", "test", "gh", "/no/such/file"], 3, "/no/such/file: No such file"),
        (&["preset", "test", "gh", "/dev/null", "--now", "soon"], 2, "--now"),
        (&["preset", "test", "gh", "/dev/null", "--zone", "Atlantis"], 2, "write a name such as Europe/Berlin"),
        (&["report", "a", "--exit-code", "1", "--preset", "gh"], 2, "--output"),
        (&["report", "a", "Failed", "--output", "x"], 2, "--exit-code"),
        (&["report", "a", "--exit-code", "1", "--output", "/no/such/file", "--preset", "gh"], 3, "/no/such/file"),
    ] {
        let said = rig.run(args).exits(code);
        assert!(said.stdout.is_empty() && said.stderr.contains(word), "{args:?}: {}", said.stderr);
    }
}

#[tokio::test]
async fn a_report_reads_what_the_command_printed() {
    let (rig, dir) = (one_worker().await, tempfile::tempdir().unwrap());
    let api: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    let report = async |task: &str, code: &str, output: &str, preset: &[&str]| -> DispatchResult {
        rig.run(&["acquire", "agents", "--task", task]).exits(0);
        let path = file(&dir, task, output);
        let args = [&["report", task, "--exit-code", code, "--output", path.to_str().unwrap()], preset].concat();
        rig.run(&args).exits(0);
        // It may be repeated.
        rig.run(&args).exits(0);
        api.get(task).await.unwrap().spec.result.unwrap()
    };
    let fails = report("fails", "3", "first\nnew words\n", &["--preset", "gh"]).await;
    assert_eq!(fails.outcome, ReportedOutcome::Failed);
    assert!(fails.message.unwrap().ends_with("its last line: new words"));
    let overloaded =
        report("overloaded", "22", "curl: (22) The requested URL returned error: 503\n", &["--preset", "gh,curl"])
            .await;
    assert!(overloaded.message.unwrap().contains("curl/status-503"));
    rig.run(&["acquire", "agents", "--task", "nothing"]).exits(0);
    let said = rig.run(&["report", "nothing", "--exit-code", "1", "--output", "/dev/null"]).exits(2);
    assert!(said.stderr.contains("add --preset NAME, or spec.rateLimit.patterns to pool agents"), "{}", said.stderr);
    rig.run(&["report", "nothing", "--exit-code", "1"]).exits(0);
    let limited = report("limited", "1", "gh: You have exceeded a secondary rate limit.\n", &["--preset", "gh"]).await;
    assert_eq!((limited.outcome, limited.retry_after), (ReportedOutcome::RateLimited, Some(Period::minutes(1))));
}

#[tokio::test]
async fn a_run_in_a_pool_uses_its_patterns_and_the_presets_of_the_flag() {
    let (rig, dir) = (one_worker().await, tempfile::tempdir().unwrap());
    let tasks = file(&dir, "tasks", "one\n");
    let script = "echo 'curl: (22) The requested URL returned error: 401' >&2; exit 22";
    let run = |pool: &str, flags: &[&str]| {
        let args = [&["run", pool, "--tasks", tasks.to_str().unwrap()], flags, &["--", "sh", "-c", script]].concat();
        rig.run(&args)
    };
    let said = run("agents", &["--preset", "curl"]).exits(1);
    assert!(said.stderr.contains("curl/status-401"), "{}", said.stderr);
    let said = run("agents", &[]).exits(1);
    assert!(!said.stderr.contains("curl/status-401"), "{}", said.stderr);

    rig.run(&["create", "pool", "curls", "--runtime", "Process", "--max", "1", "--preset", "curl,gh"]).exits(0);
    let said = run("curls", &[]).exits(1);
    assert!(said.stderr.contains("curl/status-401"), "{}", said.stderr);

    let api: Api<poolkeeper::api::ContainerPool> = Api::default_namespaced(rig.client().await);
    let patch = serde_json::json!({"spec": {"rateLimit": {"patterns": ["gh", "limit ("]}}});
    api.patch("curls", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&patch)).await.unwrap();
    let said = run("curls", &[]).exits(2);
    assert!(
        said.stderr.contains("spec.rateLimit.patterns: \"limit (\" is not a regular expression"),
        "{}",
        said.stderr
    );
}
