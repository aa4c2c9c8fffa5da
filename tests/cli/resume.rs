//! `--out` and `--resume`: what is done stays done, and nothing runs twice at a time.
use rustix::process::Signal;

use crate::support::{Place, Ran, eventually};

fn run(place: &Place, flags: &[&str], script: &str) -> Ran {
    place.run(
        &[&["--workers", "2", "--tasks", "tasks.txt", "--out", "out"], flags, &["--", "sh", "-c", script]].concat(),
    )
}

#[test]
fn what_is_done_is_not_done_again() {
    let place = Place::new();
    place.write("tasks.txt", "a\nc\nb\n");
    // In the first run b meets limits everywhere.
    let script = "echo $TASK >> ran.txt; [ $TASK != b ] || [ -e open ] || exit 75; [ $TASK != c ]";
    run(&place, &["--cooldown", "1h", "--timeout", "2s"], script)
        .exits(1)
        .says(&["1 succeeded, 1 failed, 1 rate limited"]);
    run(&place, &[], script).exits(4).says(&["--out out", "--resume"]);
    place.write("open", "");
    place.write("ran.txt", "");
    // What failed before counts: the exit code is that of the whole batch.
    let done = ["1 task to run, 2 done before (1 failed)", "1 succeeded, 2 done before (1 failed)"];
    run(&place, &["--resume"], script).exits(1).says(&done);
    assert_eq!(place.read("ran.txt"), "b\n");
    for more in [&[][..], &["--retry-failed", "2"], &["--progress", "bar"]] {
        let ran = run(&place, &[&["--resume"], more].concat(), script).exits(1);
        ran.says(&["3 done before (1 failed)"]);
    }
    let ran = run(&place, &["--resume", "--progress", "json"], script).exits(1);
    let events: Vec<serde_json::Value> = ran.stderr.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for event in events {
        assert_eq!((&event["skipped"], &event["skippedFailed"]), (&3.into(), &1.into()), "{event}");
    }
    assert_eq!(place.read("ran.txt"), "b\n");
}

/// A batch of which nothing failed before, and one in which a task took too long.
#[test]
fn the_exit_code_of_a_resumed_batch_is_that_of_all_its_tasks() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\n");
    let script = "echo $TASK >> ran.txt; [ $TASK = a ] || sleep 100";
    run(&place, &["--timeout", "500ms"], script).exits(1).says(&["1 succeeded, 1 failed"]);
    run(&place, &["--resume"], script).exits(1).says(&["0 tasks to run, 2 done before (1 failed)"]);
    std::fs::remove_dir_all(place.path("out/line-2")).unwrap();
    place.write("tasks.txt", "a\n");
    run(&place, &["--resume"], script).exits(0).says(&["0 tasks to run, 1 done before"]);
    // A rest that is not over is no reason to forget what failed.
    std::fs::remove_dir_all(place.path("out")).unwrap();
    place.write("tasks.txt", "a\nb\n");
    let script = "[ $TASK != a ] || exit 9; [ -e limit ] || exit 75; exit 75";
    let limits = ["--cooldown", "1h", "--timeout", "1s"];
    run(&place, &limits, script).exits(1).says(&["1 failed, 1 rate limited"]);
    run(&place, &[&["--resume"][..], &limits].concat(), script).exits(1).says(&["1 done before (1 failed)"]);
}

/// A file system of its own has this directory from its birth.
#[test]
fn a_directory_with_lost_and_found_alone_is_empty() {
    let place = Place::new();
    place.write("tasks.txt", "a\n");
    std::fs::create_dir_all(place.path("out/lost+found")).unwrap();
    run(&place, &[], "true").exits(0);
    run(&place, &[], "true").exits(4).says(&["--resume"]);
    run(&place, &["--resume"], "true").exits(0).says(&["1 done before"]);
    assert!(place.path("out/lost+found").is_dir());
}

#[test]
fn other_tasks_or_commands_are_a_conflict() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\n");
    run(&place, &[], "true").exits(0);
    run(&place, &["--resume"], "false").exits(4).says(&["another command"]);
    place.write("tasks.txt", "a\nB\n");
    run(&place, &["--resume"], "true").exits(4).says(&["\"line-2\"", "line 2 has changed"]);
    std::fs::create_dir(place.path("mine")).unwrap();
    place.write("mine/thesis.tex", "");
    let ran = place.run(&["--tasks", "tasks.txt", "--out", "mine", "--", "true"]).exits(4);
    ran.says(&["--out mine", "not empty"]);
    place.run(&["--tasks", "tasks.txt", "--out", "tasks.txt", "--", "true"]).exits(2).says(&["--out tasks.txt"]);
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let place = Place::new();
    place.write("tasks.txt", "a\n");
    let args = ["--tasks", "tasks.txt", "--out", "out", "--", "sleep", "100"];
    let first = place.start_until(&args, "→");
    let second = place.command(&[&["run", "--local", "--resume"], &args[..]].concat()).output().unwrap();
    Ran::from(second).exits(4).says(&["--out out", &format!("pid {}", first.child.id())]);
    first.signal(Signal::TERM);
    first.end().exits(130);
    place.is_clean();
}

#[test]
fn after_a_crash_leftovers_are_gone_before_anything_starts() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\nc\nd\n");
    // A task that sees one of an earlier run alive says so. What is dead but not yet collected has no command line.
    let script = "[ ! -e crash ] || { trap '' TERM; echo $$ >> pids; exec sleep 1000; }
        for pid in $(cat pids); do
            [ -z \"$(tr '\\0' ' ' 2>/dev/null < /proc/$pid/cmdline)\" ] || echo $pid >> overlap
        done
        echo $TASK";
    place.write("pids", "");
    let args = ["--workers", "2", "--tasks", "tasks.txt", "--out", "out", "--", "sh", "-c", script];
    place.write("crash", "");
    let mut first = place.start_until(&args, "line-2 attempt 1 →");
    eventually("both tasks run", || place.read("pids").lines().count() == 2);
    let pids: Vec<i32> = place.read("pids").lines().map(|l| l.parse().unwrap()).collect();
    first.child.kill().unwrap();
    first.end();
    let alive = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
    // Its tasks end as soon as they can; its workers wait for another owner for a while.
    assert!(place.processes().iter().any(|line| line.contains(" shim ")), "the test is of no use if they died with it");
    std::fs::remove_file(place.path("crash")).unwrap();
    let ran = place.run(&[&["--resume"], &args[..]].concat()).exits(0);
    let mut lines = ran.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["a", "b", "c", "d"]);
    assert!(!place.path("overlap").exists(), "{}", place.read("overlap"));
    assert!(!pids.iter().any(alive));
}

/// As a machine leaves it that lost its power before what was written reached the disk.
#[test]
fn what_a_power_loss_emptied_counts_as_not_there() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\n");
    let script = "echo $TASK >> ran.txt";
    run(&place, &[], script).exits(0);
    place.write("ran.txt", "");
    place.write("out/line-1/result.json", "");
    run(&place, &["--resume"], script).exits(0).says(&["1 task to run, 1 done before", "line-1/result.json is empty"]);
    assert_eq!(place.read("ran.txt"), "a\n");
    place.write("out/line-2/result.json", &"\0".repeat(300));
    place.write("out/.poolkeeper/run.json", "");
    run(&place, &[], script).exits(4).says(&["--out out", "--resume"]);
    run(&place, &["--resume"], script).exits(0).says(&["1 task to run, 1 done before", "line-2/result.json is empty"]);
    assert_eq!(place.read("ran.txt"), "a\nb\n");
    place.write("out/.poolkeeper/run.json", "{");
    run(&place, &["--resume"], script).exits(4).says(&["run.json", "remove it"]);
}
