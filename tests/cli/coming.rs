//! `--tasks -`: tasks run as they come.
use std::io::Write;
use std::process::{Child, Stdio};

use crate::support::{Place, Ran, eventually};

fn start(place: &Place, flags: &[&str], script: &str) -> Child {
    let args = [&["run", "--local", "--workers", "2", "--tasks", "-"], flags, &["--", "sh", "-c", script]].concat();
    place.command(&args).stdin(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_task_runs_before_the_next_one_was_written() {
    let place = Place::new();
    let mut child = start(&place, &[], "echo $TASK; touch ran-$TASK");
    let mut input = child.stdin.take().unwrap();
    for task in ["a", "b", "c"] {
        writeln!(input, "{task}").unwrap();
        eventually("it ran", || place.path(&format!("ran-{task}")).exists());
    }
    drop(input);
    let ran = Ran::from(child.wait_with_output().unwrap()).exits(0);
    assert_eq!(ran.lines(), ["a", "b", "c"]);
    ran.says(&["tasks as they come; up to 2 workers", "tasks: 3 succeeded"]);
    place.is_clean();
}

#[test]
fn a_mistake_is_said_when_it_comes_and_the_others_run() {
    let place = Place::new();
    let input = b"{\"id\":\"a\"}\n{\"id\":\n{\"id\":\"a\"}\n{\"id\":\"b\"}\n";
    let args =
        ["--tasks", "-", "--jsonl", "--workers", "1", "--out", "out", "--", "sh", "-c", "echo $POOLKEEPER_TASK_ID"];
    let ran = place.run_with(&args, input, |_| ()).exits(1);
    assert_eq!(ran.lines(), ["a", "b"]);
    ran.says(&[
        "standard input:2:",
        "each line must be a JSON object",
        "standard input:3: id \"a\" came before",
        "2 succeeded, 2 failed",
    ]);
    // All of it is read before a run goes on with another one, so mistakes are known then.
    place.run_with(&[&["--resume"], &args[..]].concat(), input, |_| ()).exits(2).says(&["standard input:2:"]);
    let input = b"{\"id\":\"a\"}\n{\"id\":\"b\",\"id2\":1}\n";
    place.run_with(&[&["--resume"], &args[..]].concat(), input, |_| ()).exits(4).says(&["\"b\""]);
}

#[test]
fn ctrl_c_does_not_wait_for_more_tasks() {
    let place = Place::new();
    let mut child = start(&place, &[], "touch ran");
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "a").unwrap();
    eventually("it ran", || place.path("ran").exists());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    Ran::from(child.wait_with_output().unwrap()).exits(130).says(&["interrupted"]);
    drop(input);
    place.is_clean();
}
