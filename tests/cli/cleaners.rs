//! What disappears from under a run: files that a cleaner of temporary files removes, and the program itself.

use std::path::PathBuf;
use std::process::Stdio;

use crate::support::{BINARY, Place, Ran, eventually};

/// The directory of the only worker.
fn worker(place: &Place) -> PathBuf {
    let only = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).next().unwrap();
    only(only(place.runs()).join(".poolkeeper/workers"))
}

/// A task that runs until `go` is there, and needs a directory for its files and for its result.
const WAITS: &str = "echo > started; until [ -e go ]; do sleep 0.02; done; f=$(mktemp) || exit 9; rm $f
    echo '{\"outcome\":\"Succeeded\",\"message\":\"all is well\"}' > $POOLKEEPER_RESULT";

#[test]
fn files_of_a_worker_that_are_removed_are_made_again() {
    for name in ["socket", "results", "tmp", "record.json"] {
        let place = Place::new();
        place.write("tasks.txt", "1\n2\n");
        let args = ["--workers", "1", "--out", "out", "--tasks", "tasks.txt", "--", "sh", "-c", WAITS];
        let run = place.start_until(&args, "attempt 1 →");
        eventually("the task runs", || place.path("started").exists());
        let workers = place.path("out/.poolkeeper/workers");
        let worker = std::fs::read_dir(workers).unwrap().next().unwrap().unwrap().path();
        let path = worker.join(name);
        if path.is_dir() {
            std::fs::remove_dir(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        eventually("it is there again", || path.exists());
        place.write("go", "");
        run.end().exits(0).says(&["2 succeeded", "; 2 attempts"]);
        for task in ["line-1", "line-2"] {
            assert_eq!(place.json(&format!("out/{task}/result.json"))["message"], "all is well", "{name}");
        }
        place.is_clean();
    }
}

/// The first attempt would never end by itself.
const FIRST_HANGS: &str = "[ $POOLKEEPER_ATTEMPT = 2 ] || { echo > started; while :; do sleep 0.1; done; }";

#[test]
fn a_worker_whose_directory_is_removed_is_replaced_and_its_task_tried_again() {
    for above in [0, 1, 3] {
        let place = Place::new();
        place.write("tasks.txt", "1\n");
        let args = ["--workers", "1", "--tasks", "tasks.txt", "--", "sh", "-c", FIRST_HANGS];
        let run = place.start_until(&args, "attempt 1 →");
        eventually("the task runs", || place.path("started").exists());
        let worker = worker(&place);
        std::fs::remove_dir_all(worker.ancestors().nth(above).unwrap()).unwrap();
        run.end().exits(0).says(&["attempt 1 lost with", "was removed while it ran", "tasks: 1 succeeded"]);
        place.is_clean();
    }
}

#[test]
fn a_program_that_is_replaced_or_removed_goes_on() {
    for replaced in [false, true] {
        let place = Place::new();
        place.write("tasks.txt", "1\n");
        let binary = place.path("poolkeeper");
        std::fs::copy(BINARY, &binary).unwrap();
        // The parent of a task is its worker, so another one is needed.
        let task = "[ $POOLKEEPER_ATTEMPT = 2 ] || { echo > started; until [ -e go ]; do sleep 0.02; done; kill -9 $PPID; sleep 100; }";
        let mut command = std::process::Command::new(&binary);
        place.furnish(&mut command).args([
            "run",
            "--local",
            "--backoff",
            "0s",
            "--workers",
            "1",
            "--tasks",
            "tasks.txt",
            "--",
            "sh",
            "-c",
            task,
        ]);
        let run = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the task runs", || place.path("started").exists());
        if replaced {
            std::fs::rename(place.write("other", "this is no program"), &binary).unwrap();
        } else {
            std::fs::remove_file(&binary).unwrap();
        }
        place.write("go", "");
        Ran::from(run.wait_with_output().unwrap()).exits(0).says(&["attempt 1 lost with", "attempt 2 succeeded"]);
        place.is_clean();
    }
}
