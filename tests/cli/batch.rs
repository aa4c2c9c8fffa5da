//! A command for each line of a file.
use std::io::Read;

use crate::support::{Place, Ran, examples};

/// `run --local --tasks tasks.txt FLAGS -- sh -c SCRIPT` with these lines in the file.
fn batch(place: &Place, lines: &str, flags: &[&str], script: &str) -> Ran {
    place.write("tasks.txt", lines);
    place.run(&[&["--tasks", "tasks.txt"], flags, &["--", "sh", "-c", script]].concat())
}

fn numbers(n: usize) -> String {
    (1..=n).map(|i| format!("{i}\n")).collect()
}

#[test]
fn the_readmes_first_command_works() {
    let place = Place::new();
    let (tasks, agent) = (examples().join("tasks.txt"), examples().join("limited-agent.sh"));
    let args =
        ["--workers", "3", "--cooldown", "2s", "--tasks", tasks.to_str().unwrap(), "--", agent.to_str().unwrap()];
    let ran = place.run(&args).exits(0);
    let mut lines = ran.lines();
    lines.sort_unstable();
    assert_eq!(lines.len(), 20);
    assert_eq!(lines.iter().filter(|l| l.contains("line-7: \"Sort the open issues by age\" done by pool-")).count(), 1);
    ran.says(&["rate limited; pool-", "rests 2", "tasks: 20 succeeded", "worker  attempts  rate limits", "pool-2"]);
}

#[test]
fn the_examples_pool_works() {
    let place = Place::new();
    place.write("tasks.txt", "one\n");
    let pool = examples().join("local-pool.yaml");
    let args =
        ["-f", pool.to_str().unwrap(), "--tasks", "tasks.txt", "--", "sh", "-c", "echo $POOLKEEPER_WORKER $LANG"];
    assert_eq!(place.run(&args).exits(0).stdout, "agents-0 C.UTF-8\n");
}

#[test]
fn a_task_comes_in_a_variable_and_on_standard_input() {
    let place = Place::new();
    let script = r#"IFS= read -r line; [ "$line" = "$TASK" ] && [ -z "$(cat)" ] && echo "$POOLKEEPER_TASK_ID=$TASK""#;
    let ran = batch(&place, "$(rm -rf /)\n\n  two  words\n", &["--workers", "1"], script).exits(0);
    assert_eq!(ran.lines(), ["line-1=$(rm -rf /)", "line-3=  two  words"]);
}

#[test]
fn json_lines_name_their_tasks() {
    let place = Place::new();
    place.write("t.jsonl", "{\"id\":\"Issue/7\",\"x\":1}\n{\"x\":2}\n");
    let args =
        ["--workers", "1", "--tasks", "t.jsonl", "--out", "out", "--", "sh", "-c", "echo $POOLKEEPER_TASK_ID $TASK"];
    let ran = place.run(&args).exits(0);
    assert_eq!(ran.lines(), ["Issue/7 {\"id\":\"Issue/7\",\"x\":1}", "line-2 {\"x\":2}"]);
    let dirs: Vec<String> =
        std::fs::read_dir(place.path("out")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let dir = dirs.iter().find(|d| d.starts_with("Issue_7~")).unwrap();
    assert_eq!(place.json(&format!("out/{dir}/result.json"))["id"], "Issue/7");
}

#[test]
fn tasks_may_come_from_a_pipe() {
    let place = Place::new();
    let args = ["--workers", "1", "--tasks", "-", "--", "sh", "-c", "echo got $TASK"];
    assert_eq!(place.run_with(&args, b"a\nb\n", |_| ()).exits(0).lines(), ["got a", "got b"]);
}

#[test]
fn failures_are_counted_and_tried_again_if_wanted() {
    let place = Place::new();
    let script = "[ $TASK != 2 ] || [ $POOLKEEPER_ATTEMPT = 3 ] || { echo try $POOLKEEPER_ATTEMPT; exit 9; }";
    let ran = batch(&place, &numbers(3), &["--workers", "2"], script).exits(1);
    assert_eq!(ran.stdout, "try 1\n");
    ran.says(&["line-2 attempt 1 failed on pool-", "exit code 9", "tasks: 2 succeeded, 1 failed"]);
    let ran = batch(&place, &numbers(3), &["--workers", "2", "--retry-failed", "1", "--out", "out"], script).exits(1);
    assert_eq!(ran.stdout, "try 2\n", "what the last attempt printed");
    let result = place.json("out/line-2/result.json");
    assert_eq!(
        (&result["outcome"], &result["exitCode"], &result["attempts"]),
        (&"Failed".into(), &9.into(), &2.into())
    );
    batch(&place, &numbers(3), &["--workers", "2", "--retry-failed", "2"], script).exits(0).says(&["5 attempts"]);
}

#[test]
fn only_rate_limits_left_is_an_exit_code_of_its_own() {
    let place = Place::new();
    // Both workers rest for an hour, so the time is over while the task waits.
    let flags = ["--workers", "2", "--cooldown", "1h", "--timeout", "2s", "--out", "out"];
    let ran = batch(&place, &numbers(2), &flags, "[ $TASK = 1 ] || exit 75").exits(75);
    ran.says(&["tasks: 1 succeeded, 1 rate limited"]);
    assert_eq!(place.json("out/line-2/result.json")["outcome"], "RateLimited");
    let ran = batch(&place, &numbers(2), &flags[..6], "[ $TASK = 1 ] && exit 1; exit 75").exits(1);
    ran.says(&["tasks: 0 succeeded, 1 failed, 1 rate limited"]);
}

#[test]
fn a_batch_does_not_wait_for_ever_where_nobody_can_work() {
    let place = Place::new();
    // The one worker rests for an hour, and the other tasks have never started.
    let flags = ["--workers", "1", "--cooldown", "1h", "--timeout", "1s"];
    let ran = batch(&place, &numbers(9), &flags, "exit 75").exits(75);
    ran.says(&["gave up after 1s (--timeout)", "1 rate limited, 8 not run"]);
}

#[test]
fn a_task_that_takes_too_long_is_ended() {
    let place = Place::new();
    let ran =
        batch(&place, "1\n", &["--timeout", "300ms", "--out", "out"], "echo before; sleep 100; echo after").exits(1);
    assert_eq!(ran.stdout, "before\n");
    ran.says(&["line-1 attempt 1 timed out"]);
    assert_eq!(place.json("out/line-1/result.json")["outcome"], "TimedOut");
}

#[test]
fn a_command_that_cannot_be_run_is_not_tried_for_every_task() {
    let place = Place::new();
    place.write("tasks.txt", &numbers(1000));
    let ran = place.run(&["--workers", "2", "--tasks", "tasks.txt", "--", "no-such-command"]).exits(127);
    assert!(ran.stderr.matches('→').count() < 10, "{}", ran.stderr);
    ran.says(&["no-such-command", "not found"]);
}

#[test]
fn outputs_stay_whole() {
    let place = Place::new();
    let ran =
        batch(&place, &numbers(6), &["--workers", "3"], "for i in 1 2 3 4 5; do echo $TASK; sleep 0.02; done").exits(0);
    let lines = ran.lines();
    assert_eq!(lines.len(), 30);
    for whole in lines.chunks(5) {
        assert!(whole.iter().all(|l| *l == whole[0]), "{lines:?}");
    }
}

#[test]
fn a_large_output_passes_through() {
    let place = Place::new();
    let ran = batch(&place, "1\n", &["--out", "out"], "head -c 20000000 /dev/zero | tr '\\0' x; echo").exits(0);
    assert_eq!(ran.stdout.len(), 20_000_001);
    assert_eq!(place.read("out/line-1/stdout").len(), 20_000_001);
}

#[test]
fn what_is_kept_is_complete() {
    let place = Place::new();
    batch(&place, "x\n", &["--out", "out"], "echo out; echo err >&2").exits(0);
    assert_eq!((place.read("out/line-1/stdout"), place.read("out/line-1/stderr")), ("out\n".into(), "err\n".into()));
    let result = place.json("out/line-1/result.json");
    let keys: Vec<&String> = result.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["attempts", "exitCode", "finishedAt", "hash", "id", "outcome", "startedAt", "worker"]);
    assert!(result["hash"].as_str().unwrap().starts_with("sha256:"));
    assert!(!place.path("out/.poolkeeper/workers").exists());
}

/// The controller may close an attempt before the answer to its report has come.
#[test]
fn each_end_has_the_exit_code() {
    let place = Place::new();
    let ran = batch(&place, &numbers(100), &["--workers", "4", "--progress", "json"], "exit $((TASK % 3))").exits(1);
    let events = ran.stderr.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let ends: Vec<_> = events.filter(|e| e["event"] == "ended").collect();
    assert_eq!(ends.len(), 100);
    let without: Vec<_> = ends.iter().filter(|end| !end["exitCode"].is_number()).collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn progress_is_for_programs_too() {
    let place = Place::new();
    let ran = batch(
        &place,
        &numbers(2),
        &["--workers", "1", "--progress", "json", "--cooldown", "50ms"],
        "[ $POOLKEEPER_ATTEMPT = 2 ] || exit 75",
    )
    .exits(0);
    let events: Vec<serde_json::Value> = ran.stderr.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |kind: &str| events.iter().filter(|e| e["event"] == kind).collect::<Vec<_>>();
    assert_eq!(
        (of("run").len(), of("started").len(), of("ended").len(), of("task").len(), of("summary").len()),
        (1, 4, 4, 2, 1)
    );
    assert_eq!((&of("run")[0]["tasks"], &of("run")[0]["workers"]), (&2.into(), &1.into()));
    let limited = of("ended")[0];
    assert_eq!(
        (&limited["outcome"], &limited["exitCode"], &limited["attempt"]),
        (&"RateLimited".into(), &75.into(), &1.into())
    );
    assert!(limited["restsUntil"].as_str() > of("started")[0]["time"].as_str());
    assert_eq!(of("summary")[0]["rateLimits"], 2);
    assert!(batch(&place, "1\n", &["--progress", "none"], "true").exits(0).stderr.is_empty());
}

#[test]
fn nobody_reads_so_it_stops() {
    let place = Place::new();
    place.write("tasks.txt", &numbers(500));
    let args = ["run", "--local", "--workers", "2", "--tasks", "tasks.txt", "--", "sh", "-c", "echo $TASK"];
    let mut child = place.command(&args).spawn().unwrap();
    let mut byte = [0];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut byte).unwrap();
    drop(stdout);
    Ran::from(child.wait_with_output().unwrap()).exits(141).says(&["standard output was closed"]);
    place.is_clean();
}

#[test]
fn a_short_queue_is_no_reason_to_fail() {
    let place = Place::new();
    place.write(
        "pool.yaml",
        "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: p}\nspec: {max: 2, dispatch: {queueLimit: 1}}\n",
    );
    batch(&place, &numbers(12), &["-f", "pool.yaml"], "true").exits(0).says(&["tasks: 12 succeeded"]);
}

#[test]
fn a_task_that_never_ran_says_why() {
    let place = Place::new();
    // No worker can be up so soon.
    place.write(
        "pool.yaml",
        "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: p}\nspec: {dispatch: {queueTimeout: 1ms}}\n",
    );
    let ran = batch(&place, "a\n", &["-f", "pool.yaml", "--out", "out"], "true").exits(1);
    ran.says(&["line-1 never ran: Expired", "tasks: 0 succeeded, 1 failed"]);
    let result = place.json("out/line-1/result.json");
    assert_eq!((&result["outcome"], &result["message"]), (&"NotStarted".into(), &"Expired".into()));
}

#[test]
fn bars_that_nobody_sees_hide_nothing() {
    let place = Place::new();
    let ran = batch(&place, "a\nb\n", &["--progress", "bar"], "[ $TASK = a ] || exit 9").exits(1);
    ran.says(&["line-2 attempt 1 failed on pool-", "exit code 9", "tasks: 1 succeeded, 1 failed"]);
    place
        .run(&["--tasks", "tasks.txt", "--progress", "bar", "--", "no-such"])
        .exits(127)
        .says(&["no-such cannot be run"]);
}

/// A limit that always says "now" is asked again, but not as fast as the machine can.
#[test]
fn a_limit_that_names_no_time_at_all_is_not_asked_for_ever() {
    let place = Place::new();
    let script = r#"echo x >> ran.txt; printf '{"outcome":"RateLimited","retryAfter":"0s"}' > "$POOLKEEPER_RESULT""#;
    let ran = batch(&place, "1\n", &["--workers", "1", "--timeout", "4s"], script).exits(75);
    let ran_times = place.read("ran.txt").lines().count();
    assert!((1..=5).contains(&ran_times), "{ran_times} attempts in 4 s:\n{}", ran.stderr);
    // Once it succeeds, it is trusted again: no rest is longer than the limit says, however many limits there were.
    let script = r#"[ $POOLKEEPER_ATTEMPT != 1 ] || printf '{"outcome":"RateLimited","retryAfter":"0s"}' > "$POOLKEEPER_RESULT""#;
    let args = ["--workers", "1", "--progress-file", "progress.json"];
    batch(&place, &numbers(6), &args, script).exits(0).says(&["6 rate limits met"]);
    let text = place.read("progress.json");
    let steps = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let limits: Vec<_> = steps.filter(|step| step["outcome"] == "RateLimited" && step["event"] == "ended").collect();
    assert_eq!(limits.len(), 6, "{text}");
    for step in limits {
        // RFC 3339 in UTC: their order is that of text. The first rest of a new worker is a second.
        let (seen, until) = (step["time"].as_str().unwrap(), step["restsUntil"].as_str());
        assert!(until.is_none_or(|until| until <= seen), "{step}");
    }
}

#[test]
fn progress_has_a_file_of_its_own() {
    let place = Place::new();
    place.write("tasks.txt", &numbers(20));
    let script = "for i in 1 2 3 4 5; do echo noise $TASK >&2; done";
    let args = ["--workers", "4", "--tasks", "tasks.txt", "--progress-file", "progress.json", "--", "sh", "-c", script];
    let ran = place.run(&args).exits(0);
    let of = |text: &str, kind: &str| {
        let events = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        events.filter(|e| e["event"] == kind).count()
    };
    let text = place.read("progress.json");
    assert_eq!((of(&text, "run"), of(&text, "started"), of(&text, "task"), of(&text, "summary")), (1, 20, 20, 1));
    assert_eq!(ran.stderr.matches("noise").count(), 100);
    ran.says(&["line-20 attempt 1 succeeded", "tasks: 20 succeeded"]);
    // A descriptor that the caller opened; and the file grows: a resumed run adds to it.
    let run =
        "exec \"$0\" run --local --progress none --progress-file /dev/fd/3 --tasks tasks.txt -- true 3>>progress.json";
    let mut command = std::process::Command::new("sh");
    command.current_dir(place.path("")).env("TMPDIR", place.tmp()).stdin(std::process::Stdio::null());
    let ran = Ran::from(command.args(["-c", run, crate::support::BINARY]).output().unwrap()).exits(0);
    assert_eq!((ran.stderr.as_str(), of(&place.read("progress.json"), "task")), ("", 40));
    let run = "\"$0\" run --local --progress none --progress-file /dev/fd/3 -- true 3>&1 >/dev/null | cat";
    let mut command = std::process::Command::new("sh");
    command.current_dir(place.path("")).env("TMPDIR", place.tmp()).stdin(std::process::Stdio::null());
    let ran = Ran::from(command.args(["-c", run, crate::support::BINARY]).output().unwrap()).exits(0);
    assert_eq!(of(&ran.stdout, "task"), 1);
    place.run(&["--progress-file", "no/such/dir", "--", "true"]).exits(3).says(&["--progress-file no/such/dir"]);
    place.run(&["--progress-file", ".", "--", "true"]).exits(2).says(&["--progress-file .", "directory"]);
}

/// Each line is one write: what else writes to the same standard error never comes into its middle.
#[test]
fn lines_of_progress_stay_whole() {
    let place = Place::new();
    place.write("tasks.txt", &numbers(200));
    let run = "exec 2>>all.txt; (while [ ! -e stop ]; do echo noise >&2; done) & \
        \"$0\" run --local --workers 4 --progress json --tasks tasks.txt -- true; code=$?; : > stop; wait; exit $code";
    let mut command = std::process::Command::new("sh");
    command.current_dir(place.path("")).env("TMPDIR", place.tmp()).stdin(std::process::Stdio::null());
    Ran::from(command.args(["-c", run, crate::support::BINARY]).output().unwrap()).exits(0);
    let text = place.read("all.txt");
    let broken: Vec<&str> =
        text.lines().filter(|l| *l != "noise" && serde_json::from_str::<serde_json::Value>(l).is_err()).collect();
    assert!(broken.is_empty() && text.contains("noise"), "{broken:?}");
}

/// Neither a task's id nor its message can look like a line of Poolkeeper's, or reach the terminal as a command to it.
#[test]
fn what_comes_from_outside_is_escaped() {
    let place = Place::new();
    let id = "a\\npoolkeeper: line-9 attempt 1 succeeded\\u001b[2J\\u009b31m\\u202e";
    place.write("t.jsonl", &format!("{{\"id\":\"{id}\"}}\n"));
    let message = r#"{"outcome":"Failed","message":"one\ntwo\u001b]0;title\u0007\u009b"}"#;
    let script = format!("printf '%s' '{message}' > \"$POOLKEEPER_RESULT\"; exit 1");
    for progress in ["lines", "bar", "json"] {
        let args = ["--tasks", "t.jsonl", "--progress", progress, "--", "sh", "-c", &script];
        let ran = place.run(&args).exits(1);
        let odd = ran.stderr.chars().find(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}'));
        assert_eq!(odd, None, "{progress}: {:?}", ran.stderr);
        assert!(!ran.stderr.lines().any(|l| l.starts_with("poolkeeper: line-9")), "{progress}: {}", ran.stderr);
        assert!(progress == "json" || ran.stderr.contains("\\u{1b}[2J"), "{progress}: {}", ran.stderr);
    }
    // Errors name it too.
    place.write("twice.jsonl", &format!("{{\"id\":\"{id}\"}}\n{{\"id\":\"{id}\"}}\n"));
    place.write("bad\x1b[2J.txt", "");
    let nul = "a\\u001b[2J\\nb";
    place.write("never.jsonl", &format!("{{\"id\":\"{nul}\"}}\n"));
    let expired = "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: p}\nspec: {dispatch: {queueTimeout: 1ms}}\n";
    place.write("pool.yaml", expired);
    for (args, code) in [
        (&["--tasks", "twice.jsonl", "--", "true"][..], 2),
        (&["--tasks", "bad\x1b[2J.txt", "--", "true"], 2),
        (&["--tasks", "never.jsonl", "-f", "pool.yaml", "--", "true"], 1),
        (&["--tasks", "never.jsonl", "--", "no\x1b[2Jsuch"], 127),
    ] {
        let ran = place.run(args).exits(code);
        let odd = ran.stderr.chars().find(|c| *c != '\n' && c.is_control());
        assert_eq!(odd, None, "{args:?}: {:?}", ran.stderr);
    }
}
