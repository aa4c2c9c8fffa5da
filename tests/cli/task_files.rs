//! Tasks of any size, with any name; and those that failed once more.
use crate::support::Place;

#[test]
fn a_task_that_is_too_large_for_a_variable_comes_on_standard_input_alone() {
    let place = Place::new();
    place.write("tasks.txt", &format!("{}\n{}\n", "x".repeat(131_066), "y".repeat(3_000_000)));
    let script = "echo $(wc -c) ${TASK+set}";
    let ran = place.run(&["--workers", "1", "--tasks", "tasks.txt", "--", "sh", "-c", script]).exits(0);
    assert_eq!(ran.lines(), ["131067 set", "3000001"]);
}

#[test]
fn names_from_find_may_have_newlines() {
    let place = Place::new();
    let script = r#"printf '<%s>' "$TASK"; echo $POOLKEEPER_TASK_ID"#;
    let args = ["--workers", "1", "--tasks", "-", "-0", "--", "sh", "-c", script];
    let ran = place.run_with(&args, b"./a b\0./c\nd\0", |_| ()).exits(0);
    assert_eq!(ran.stdout, "<./a b>line-1\n<./c\nd>line-2\n");
    place.write("t.jsonl", "{}\n");
    place.run(&["--tasks", "t.jsonl", "-0", "--jsonl", "--", "true"]).exits(2).says(&["--jsonl"]);
}

#[test]
fn a_priority_that_is_no_number_is_named_with_its_line() {
    let place = Place::new();
    place.write("t.jsonl", "{}\n{\"priority\":\"high\"}\n");
    place.run(&["--tasks", "t.jsonl", "--", "true"]).exits(2).says(&["t.jsonl:2: priority must be a whole number"]);
}

#[test]
fn failed_tasks_run_again_if_wanted() {
    let place = Place::new();
    place.write("tasks.txt", "good\nbad\n");
    let script = "echo $TASK >> ran.txt; [ $TASK = good ] || [ -e mended ]";
    let args = |flags: &[&str]| {
        place.run(
            &[flags, &["--workers", "1", "--tasks", "tasks.txt", "--out", "out", "--", "sh", "-c", script]].concat(),
        )
    };
    args(&[]).exits(1);
    args(&["--resume"]).exits(1).says(&["2 done before (1 failed)"]);
    args(&["--resume", "--failed"]).exits(1).says(&["1 task to run, 1 done before", "1 failed"]);
    place.write("mended", "");
    args(&["--resume", "--failed"]).exits(0).says(&["1 succeeded, 1 done before"]);
    assert_eq!(place.read("ran.txt"), "good\nbad\nbad\nbad\n");
    assert_eq!(place.json("out/line-2/result.json")["outcome"], "Succeeded");
    args(&["--failed"]).exits(2).says(&["--resume"]);
}
