//! `--on`: commands that get events of the run.
use crate::support::Place;

fn events(place: &Place, file: &str) -> Vec<serde_json::Value> {
    place.read(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_command_gets_its_events_in_order_and_each_on_standard_input() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\n");
    let script = "[ $TASK = a ] || [ $POOLKEEPER_ATTEMPT = 2 ] || exit 75";
    let flags = ["--workers", "1", "--cooldown", "100ms", "--tasks", "tasks.txt"];
    let hooks = ["--on", "task,summary", "cat >> over; echo talk", "--on", "limited", "cat >> limits"];
    let ran = place.run(&[&flags[..], &hooks, &["--", "sh", "-c", script]].concat()).exits(0);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("talk"), "what a command prints is no data: {}", ran.stdout);
    let over = events(&place, "over");
    let names: Vec<_> = over.iter().map(|e| (e["event"].as_str().unwrap(), e["task"].as_str())).collect();
    assert_eq!(names, [("task", Some("line-1")), ("task", Some("line-2")), ("summary", None)]);
    let limits = events(&place, "limits");
    assert_eq!((limits.len(), &limits[0]["task"], &limits[0]["outcome"]), (1, &"line-2".into(), &"RateLimited".into()));
}

/// It fails for each event, and says so once.
#[test]
fn a_command_that_fails_does_not_end_the_run() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\nc\n");
    let ran = place.run(&["--tasks", "tasks.txt", "--on", "started,ended", "exit 3", "--", "true"]).exits(0);
    assert_eq!(ran.stderr.matches("--on: exit 3: it ended with exit status: 3").count(), 1, "{}", ran.stderr);
}

/// It would take for ever: the run ends without it, and nothing of it stays (`Place::run` looks).
#[test]
fn a_command_that_hangs_does_not_hold_up_the_run() {
    let place = Place::new();
    let tasks: String = (0..400).map(|n| format!("{n}\n")).collect();
    place.write("tasks.txt", &tasks);
    let ran = place.run(&["--tasks", "tasks.txt", "--on", "task", "sleep 10000", "--", "true"]).exits(0);
    // One is under way, 256 wait, and at the end those are dropped too.
    ran.says(&["400 succeeded", "--on: sleep 10000 was too slow: 400 events were dropped"]);
}

#[test]
fn an_event_that_does_not_exist_is_named_before_anything_starts() {
    let place = Place::new();
    place.run(&["--on", "task,finish", "true", "--", "touch", "ran"]).exits(2).says(&[
        "\"finish\"",
        "workerReady",
        "summary",
    ]);
    assert!(!place.path("ran").exists());
}
