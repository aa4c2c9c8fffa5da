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
    run(&place, &["--resume"], script).exits(0).says(&["1 task to run, 2 done before", "1 succeeded, 2 done before"]);
    assert_eq!(place.read("ran.txt"), "b\n");
    run(&place, &["--resume"], script).exits(0).says(&["0 tasks to run, 3 done before"]);
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
