//! Outputs of every attempt are stored. Those of the newest one are in the directory of the task too.
use std::os::unix::fs::MetadataExt;

use crate::support::Place;

#[test]
fn every_attempt_keeps_what_it_printed() {
    let place = Place::new();
    place.write("tasks.txt", "a\n");
    let script = "echo out $POOLKEEPER_ATTEMPT; echo err $POOLKEEPER_ATTEMPT >&2
        case $POOLKEEPER_ATTEMPT in 1) exit 75;; 2) exit 9;; esac";
    let flags = ["--workers", "2", "--cooldown", "1h", "--retry-failed", "1", "--tasks", "tasks.txt", "--out", "out"];
    assert_eq!(place.run(&[&flags[..], &["--", "sh", "-c", script]].concat()).exits(0).stdout, "out 3\n");
    for (n, outcome, code) in [(1, "RateLimited", 75), (2, "Failed", 9), (3, "Succeeded", 0)] {
        assert_eq!(place.read(&format!("out/line-1/attempt-{n}/stdout")), format!("out {n}\n"));
        assert_eq!(place.read(&format!("out/line-1/attempt-{n}/stderr")), format!("err {n}\n"));
        let result = place.json(&format!("out/line-1/attempt-{n}/result.json"));
        assert_eq!(
            (&result["outcome"], &result["exitCode"], &result["attempts"]),
            (&outcome.into(), &code.into(), &n.into())
        );
    }
    // The last one is there twice, but stored once.
    for file in ["stdout", "stderr", "result.json"] {
        let inode = |path: String| std::fs::metadata(place.path(&path)).unwrap().ino();
        assert_eq!(inode(format!("out/line-1/{file}")), inode(format!("out/line-1/attempt-3/{file}")), "{file}");
    }
}

#[test]
fn a_resumed_run_adds_its_attempts_to_those_that_are_there() {
    let place = Place::new();
    place.write("tasks.txt", "a\n");
    let script = "echo $(ls out/line-1); [ -e open ] || exit 75";
    let flags = ["--cooldown", "1h", "--timeout", "1s", "--tasks", "tasks.txt", "--out", "out", "--workers", "1"];
    let command = ["--", "sh", "-c", script];
    place.run(&[&flags[..], &command].concat()).exits(75);
    let first = place.read("out/line-1/attempt-1/stdout");
    place.write("open", "");
    place.run(&[&["--resume"], &flags[..], &command].concat()).exits(0);
    assert_eq!(place.read("out/line-1/attempt-1/stdout"), first);
    assert_eq!(place.json("out/line-1/attempt-2/result.json")["outcome"], "Succeeded");
    assert_eq!(place.read("out/line-1/stdout"), place.read("out/line-1/attempt-2/stdout"));
}

/// A worker that dies reports nothing, and neither does a task whose time is over.
#[test]
fn attempts_that_did_not_end_by_themselves_have_results_too() {
    let place = Place::new();
    place.write("tasks.txt", "a\n");
    // The worker dies once what it sent has arrived.
    let script = "echo began; [ $POOLKEEPER_ATTEMPT = 2 ] && exit
        until [ -s out/line-1/attempt-1/stdout ]; do sleep 0.05; done; kill -9 $PPID; sleep 1000";
    let flags = ["--tasks", "tasks.txt", "--out", "out", "--workers", "1"];
    place.run(&[&flags[..], &["--", "sh", "-c", script]].concat()).exits(0);
    for (n, outcome) in [(1, "WorkerLost"), (2, "Succeeded")] {
        assert_eq!(place.json(&format!("out/line-1/attempt-{n}/result.json"))["outcome"], outcome);
        assert_eq!(place.read(&format!("out/line-1/attempt-{n}/stdout")), "began\n");
    }
    let flags = ["--timeout", "1s", "--tasks", "tasks.txt", "--out", "late"];
    place.run(&[&flags[..], &["--", "sleep", "1000"]].concat()).exits(1);
    assert_eq!(place.json("late/line-1/attempt-1/result.json")["outcome"], "TimedOut");
    assert_eq!(place.json("late/line-1/result.json")["outcome"], "TimedOut");
}
