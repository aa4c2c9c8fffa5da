//! The page that a run leaves. What it looks like in a browser is in `tests/dashboard`.
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Place, Ran};

/// `run --local --tasks tasks.txt --out out FLAGS -- sh -c SCRIPT` with two tasks.
fn batch(place: &Place, flags: &[&str], script: &str) -> Ran {
    place.write("tasks.txt", "a\nb\n");
    let first = ["--workers", "1", "--tasks", "tasks.txt", "--out", "out", "--progress", "lines"];
    place.run(&[&first[..], flags, &["--", "sh", "-c", script]].concat())
}

/// The data of the page.
fn view(place: &Place) -> Value {
    let page = place.read("out/report.html");
    let (_, data) = page.split_once("<script id=\"data\" type=\"application/json\">").unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

fn outcomes(view: &Value) -> Vec<&str> {
    view["attempts"].as_array().unwrap().iter().map(|a| a["outcome"].as_str().unwrap_or("-")).collect()
}

#[test]
fn a_run_leaves_a_page_with_what_its_tasks_printed() {
    let place = Place::new();
    batch(&place, &[], "echo said $TASK; echo '<b>' >&2; [ $TASK = a ]")
        .exits(1)
        .says(&["report: ", "out/report.html"]);
    let view = view(&place);
    assert_eq!((&view["state"], outcomes(&view)), (&"complete".into(), vec!["Succeeded", "Failed"]));
    assert_eq!((&view["ids"][1], &view["rows"][0]["name"]), (&"line-2".into(), &"pool-0".into()));
    // What did not succeed comes first.
    let output = &view["outputs"][0];
    assert_eq!(
        (&output["attempt"], &output["stdout"]["text"], &output["stderr"]["text"]),
        (&1.into(), &"said b\n".into(), &"<b>\n".into())
    );
    assert!(!place.read("out/report.html").contains("<b>"));
}

#[test]
fn outputs_or_all_of_it_can_be_left_out() {
    let place = Place::new();
    batch(&place, &["--report", "no-output"], "echo se'cr'et").exits(0);
    let page = place.read("out/report.html");
    assert!(!page.contains("secret"));
    assert_eq!(view(&place)["outputs"], Value::Array(vec![]));
    let place = Place::new();
    let ran = batch(&place, &["--report", "none"], "true").exits(0);
    assert!(!place.path("out/report.html").exists() && !ran.stderr.contains("report"), "{}", ran.stderr);
}

#[test]
fn the_values_of_credentials_are_not_in_it() {
    let place = Place::new();
    place.write("tasks.txt", "a\n");
    place.write("token", "tell-me-not\n");
    let args = ["--workers", "1", "--credential", "a=SESAME:file:token", "--tasks", "tasks.txt", "--out", "out"];
    // In a part and from its middle it does not look like a secret.
    let script = "echo open $SESAME; echo {\\\"outcome\\\":\\\"Failed\\\",\\\"message\\\":\\\"no $SESAME\\\"} > $POOLKEEPER_RESULT";
    place.run(&[&args[..], &["--", "sh", "-c", script]].concat()).exits(1);
    let view = view(&place);
    assert!(!place.read("out/report.html").contains("tell-me-not"));
    assert_eq!(
        (&view["outputs"][0]["stdout"]["text"], &view["attempts"][0]["message"]),
        (&"open ***\n".into(), &"no ***".into())
    );
}

#[test]
fn a_run_that_is_interrupted_leaves_it_and_a_resumed_one_adds_to_it() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\n");
    let script = "[ $TASK = a ] || [ -e go ] || { echo up >&2; sleep 100; }";
    let script = format!("cd {}; {script}", place.path("").display());
    let args =
        ["--workers", "1", "--tasks", "tasks.txt", "--out", "out", "--progress", "lines", "--", "sh", "-c", &script];
    let run = place.start_until(&args, "line-2 attempt 1");
    run.signal(Signal::INT);
    run.end().exits(130);
    let first = view(&place);
    assert_eq!((&first["state"], &first["tasks"]["succeeded"]), (&"stopped".into(), &1.into()));
    assert_eq!(first["attempts"].as_array().unwrap().len(), 2);
    place.write("go", "");
    place.run(&[&["--resume"], &args[..]].concat()).exits(0);
    let both = view(&place);
    assert_eq!(both["runs"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&both["state"], &both["tasks"]["succeeded"], &both["tasks"]["skipped"]),
        (&"complete".into(), &2.into(), &0.into())
    );
    assert_eq!(outcomes(&both).last(), Some(&"Succeeded"));
}

#[test]
fn a_page_that_cannot_be_written_does_not_matter_to_the_run() {
    let place = Place::new();
    let script = format!("mkdir -p {}/x", place.path("out/report.html").display());
    batch(&place, &[], &script).exits(0).says(&["the page of the run cannot be written: "]);
}

#[test]
fn it_can_be_written_again() {
    let place = Place::new();
    batch(&place, &["--report", "no-output"], "echo said $TASK").exits(0);
    std::fs::remove_file(place.path("out/report.html")).unwrap();
    let timeline = |args: &[&str]| Ran::from(place.command(&[&["timeline"], args].concat()).output().unwrap());
    assert_eq!(timeline(&["out"]).exits(0).stdout, "out/report.html\n");
    assert_eq!(view(&place)["outputs"], Value::Array(vec![]));
    timeline(&["out", "--report", "full"]).exits(0);
    assert_eq!(view(&place)["outputs"].as_array().unwrap().len(), 2);
    timeline(&["nope"]).exits(3).says(&["nope: no run recorded its steps there"]);
}

#[test]
fn a_page_alone_is_no_result_of_another_run() {
    let place = Place::new();
    place.write("tasks.txt", "a\nb\n");
    let args = ["--workers", "1", "--tasks", "tasks.txt", "--out", "out", "--", "true"];
    place.run(&args);
    for line in ["line-1", "line-2"] {
        std::fs::remove_dir_all(place.path("out").join(line)).unwrap();
    }
    place.run(&args).exits(0);
    assert_eq!(view(&place)["runs"].as_array().unwrap().len(), 1);
}
