//! What the program prints, to the letter: help, refusals, tables. They are in `snapshots/`.
//!
//! `just snapshots` writes them again; read the difference before you commit it.

use insta::assert_snapshot;
use regex::Regex;

use crate::support::{Place, Ran};

/// Where no cluster, no engine and no home of the tester's own is found.
fn run(place: &Place, args: &[&str]) -> Ran {
    let mut command = place.command(args);
    for name in ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "COLUMNS"] {
        command.env_remove(name);
    }
    Ran::from(command.env("HOME", "/nonexistent").output().unwrap())
}

/// The program itself and each command, however deep.
fn commands(place: &Place, path: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = run(place, &args).exits(0).stdout;
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let names = listed.lines().take_while(|line| !line.is_empty());
    // A description that is wrapped goes on further to the right.
    let names = names.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names: Vec<String> = names.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    found.push((path.to_vec(), help));
    for name in names.into_iter().filter(|name| name != "help") {
        commands(place, &[path, &[name]].concat(), found);
    }
}

#[test]
fn help_of_each_command() {
    let place = Place::new();
    let mut found = Vec::new();
    commands(&place, &[], &mut found);
    assert!(found.len() > 4, "the commands are found in the help");
    for (path, help) in found {
        let name = ["poolkeeper".to_owned()].into_iter().chain(path).collect::<Vec<_>>().join("-");
        assert_snapshot!(format!("help-{name}"), help);
    }
}

/// Command lines that are refused before anything is started.
const REFUSED: &[&str] = &[
    "nope",
    "run",
    "run -- true",
    "run --local --workers 0 -- true",
    "run --local --workers x -- true",
    "run --local --cooldown 5 -- true",
    "run --local --resume -- true",
    "run --local --tasks nope -- true",
    "run --local -f nope -- true",
    "run --local --credential a -- true",
    "run --local --credential a=env:NOT_SET_ANYWHERE -- true",
    "run --local --image x --runtime Process -- true",
    "run --local --mount x -- true",
    "run --local -e NOT_SET_ANYWHERE -- true",
    "crd --dir",
    "uninstall",
    "controller --kubeconfig nope",
    "exec -- true",
];

#[test]
fn refusals() {
    let place = Place::new();
    let mut text = String::new();
    for line in REFUSED {
        let ran = run(&place, &line.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.stdout, "", "{line}");
        let code = ran.status.code().unwrap();
        text.extend(["$ poolkeeper ", line, "\n", &ran.stderr, &format!("exit code {code}\n\n")]);
    }
    assert_snapshot!(text);
    place.is_clean();
}

#[test]
fn the_table_at_the_end_of_a_batch() {
    let place = Place::new();
    place.write("tasks.txt", "1\n2\n3\n");
    let script = "case $TASK in 2) exit 3;; 3) [ $POOLKEEPER_ATTEMPT = 2 ] || exit 75;; esac";
    let args = ["--workers", "1", "--cooldown", "300ms", "--tasks", "tasks.txt", "--", "sh", "-c", script];
    let ran = place.run(&args).exits(1);
    let from = ran.stderr.find("\ntasks: ").expect("there is a summary");
    // How long it took differs from run to run.
    let times = Regex::new(r" *\b[0-9.]+m?s\b").unwrap();
    assert_snapshot!(times.replace_all(&ran.stderr[from + 1..], " TIME"));
}
