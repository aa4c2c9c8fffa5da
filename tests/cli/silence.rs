//! `--silence`: what prints nothing for too long is ended.
use crate::support::Place;

#[test]
fn a_task_that_hangs_silently_is_ended_and_failed() {
    let place = Place::new();
    place.write("tasks.txt", "hangs\ntalks\n");
    // The one that talks takes longer than the silence that is allowed.
    let script = "echo $$ > $TASK.pid; [ $TASK = talks ] || { echo before; sleep 1000; }
        for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; sleep 0.25; done";
    let flags = ["--silence", "2s", "--tasks", "tasks.txt", "--out", "out"];
    let ran = place.run(&[&flags[..], &["--", "sh", "-c", script]].concat()).exits(1);
    ran.says(&["line-1 attempt 1 failed", "silent for 2s", "1 succeeded, 1 failed"]);
    let result = place.json("out/line-1/result.json");
    assert_eq!((&result["outcome"], &result["message"]), (&"Failed".into(), &"silent for 2s".into()));
    assert_eq!(place.read("out/line-1/stdout"), "before\n");
    assert!(!std::path::Path::new("/proc").join(place.read("hangs.pid").trim()).exists(), "it still runs");
}

#[test]
fn a_silent_task_is_tried_again_like_any_that_failed_and_its_result_file_counts() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\n");
    let script = "[ $TASK = a ] || { echo '{\"outcome\":\"Succeeded\"}' > $POOLKEEPER_RESULT; exec sleep 1000; }
        [ $POOLKEEPER_ATTEMPT = 2 ] || exec sleep 1000";
    let flags = ["--silence", "1s", "--retry-failed", "1", "--tasks", "tasks.txt"];
    let ran = place.run(&[&flags[..], &["--", "sh", "-c", script]].concat()).exits(0);
    ran.says(&["line-1 attempt 1 failed", "silent for 1s", "2 succeeded"]);
}

/// Its last words are those of a limit, so it is not the task that failed.
#[test]
fn the_last_words_count_before_the_silence() {
    let place = Place::new();
    place.write("tasks.txt", "a\n");
    let script = "[ $POOLKEEPER_ATTEMPT = 1 ] || exit 0
        echo 'gh: You have exceeded a secondary rate limit.' >&2; exec sleep 1000";
    let flags = ["--preset", "gh", "--silence", "1s", "--workers", "2", "--tasks", "tasks.txt"];
    let ran = place.run(&[&flags[..], &["--", "sh", "-c", script]].concat()).exits(0);
    ran.says(&["line-1 attempt 1 rate limited", "1 succeeded"]);
}

#[test]
fn a_silence_of_nothing_is_refused() {
    let place = Place::new();
    place.run(&["--silence", "0s", "--", "true"]).exits(2).says(&["--silence", "above 0s"]);
}
