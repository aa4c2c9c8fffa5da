//! `--state`: what the attempts of a task share, whichever worker they get.
use crate::support::Place;

/// Counts its attempts in the directory, and meets a limit in the first two.
const COUNTS: &str = "echo $POOLKEEPER_WORKER >> $POOLKEEPER_STATE/seen
    [ $(wc -l < $POOLKEEPER_STATE/seen) = 3 ] && { sort -u $POOLKEEPER_STATE/seen | wc -l; exit 0; }; exit 75";

#[test]
fn a_task_finds_in_another_worker_what_it_left() {
    let place = Place::new();
    place.write("t.jsonl", "{\"id\":\"one\"}\n");
    let args =
        ["--tasks", "t.jsonl", "--workers", "3", "--cooldown", "1h", "--state", "kept", "--", "sh", "-c", COUNTS];
    assert_eq!(place.run(&args).exits(0).stdout.trim(), "3", "three workers, each of which saw what the others left");
    assert_eq!(place.read("kept/one/seen").lines().count(), 3);
}

#[test]
fn each_task_has_a_directory_of_its_own_that_stays() {
    let place = Place::new();
    place.write("t.jsonl", "{\"id\":\"a/b\"}\n{\"id\":\"../up\"}\n{}\n");
    let script = "echo $POOLKEEPER_TASK_ID > $POOLKEEPER_STATE/mine";
    let args = ["--tasks", "t.jsonl", "--state", "deep/kept", "--", "sh", "-c", script];
    place.run(&args).exits(0);
    let dirs = std::fs::read_dir(place.path("deep/kept")).unwrap().map(|e| e.unwrap().path());
    let mut all: Vec<String> = dirs.map(|d| std::fs::read_to_string(d.join("mine")).unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, ["../up\n", "a/b\n", "line-3\n"]);
    assert!(!place.path("up").exists() && !place.path("deep/up").exists());
    // A single command has one too, and without the flag nothing is set.
    let single = place.run(&["--state", "deep/kept", "--", "sh", "-c", "echo $POOLKEEPER_STATE"]).exits(0);
    assert_eq!(single.stdout.trim(), place.path("deep/kept/command").canonicalize().unwrap().to_str().unwrap());
    assert_eq!(place.run(&["--", "sh", "-c", "echo ${POOLKEEPER_STATE-none}"]).exits(0).stdout, "none\n");
}

#[test]
fn a_directory_that_cannot_be_made_is_named_before_anything_starts() {
    let place = Place::new();
    place.write("file", "");
    place.run(&["--state", "file", "--", "touch", "ran"]).exits(2).says(&["--state file"]);
    place.run(&["--state", "file/below", "--", "touch", "ran"]).exits(2).says(&["--state file/below"]);
    assert!(!place.path("ran").exists());
    std::fs::create_dir(place.path("kept")).unwrap();
    place.write("kept/command", "in the way");
    place.run(&["--state", "kept", "--", "touch", "ran"]).exits(125).says(&["--state", "kept/command", "exists"]);
    assert!(!place.path("ran").exists());
}
