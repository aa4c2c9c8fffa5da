//! Where the value of a credential can be seen, with containers: where it must be, and nowhere else.
//!
//! Skipped, loudly, where no engine answers; `POOLKEEPER_REQUIRE_DOCKER=1` makes that a failure.
use std::path::Path;
use std::process::Command;

use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::json;

use crate::PROGRAM;
use crate::changing::{hold, object};
use crate::credentials::{in_memory, says, up_with};
use crate::docker::{IMAGE, has_image};
use crate::get::create_pool;

/// It needs escaping in JSON, shells, addresses and HTML, and has a word that no escaping changes.
const VALUE: &str = "s\"e\\s'a$m<e>&%41 ü`Zq7TxKw9`";
/// The word.
const WORD: &str = "Zq7TxKw9";
const NEXT: &str = "another\nvalue 'Zq7TxKw9' with lines";

fn docker(args: &[&str]) -> Vec<u8> {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|part| part == word.as_bytes())
}

/// The container of a worker.
fn container(rig: &Rig, worker: &str) -> String {
    object(rig, &format!("worker/{worker}"))["status"]["handle"]["id"].as_str().unwrap().to_owned()
}

/// Every file below a directory that has the word.
fn files_with(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            files_with(&path, found);
        } else if std::fs::read(&path).is_ok_and(|bytes| has(&bytes, WORD)) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
}

/// What everyone can see of a server: objects, Events, the log, the processes of the machine.
fn nothing_shows(rig: &Rig) {
    let mut seen = String::new();
    for what in ["pools", "workers", "dispatches"] {
        seen += &rig.run(&["get", what, "-o", "json"]).exits(0).stdout;
    }
    let events = rig.shell("sh", "kubectl --kubeconfig $POOLKEEPER_HOME/kubeconfig get events -o json").output();
    seen += &events.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for args in [&["status", "agents"][..], &["why", "agents"], &["local", "logs"], &["doctor"]] {
        let said = rig.run(args);
        seen += &(said.stdout + &said.stderr);
    }
    for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        seen += &String::from_utf8_lossy(&line);
    }
    assert!(!seen.contains(WORD), "{seen}");
}

#[tokio::test]
async fn a_value_in_a_file_is_seen_by_the_worker_alone() {
    if !has_image() {
        return;
    }
    let (rig, memory) = (Rig::with_docker(PROGRAM), in_memory());
    up_with(&rig, &memory);
    let token = rig.file("token");
    std::fs::write(&token, format!("{VALUE}\n")).unwrap();
    let credential = |name: &str| json!({"name": name, "env": "TOKEN_FILE", "file": "/run/token", "secretKeyRef": {"name": "tokens", "key": "a"}});
    create_pool(
        &rig,
        "agents",
        json!({"runtime": "Docker", "image": IMAGE, "max": 2, "credentials": [credential("a")]}),
    )
    .await;
    let path = token.to_str().unwrap();
    rig.run(&["credential", "set", "agents/a", "--from-file", path]).exits(0);
    std::fs::remove_file(&token).unwrap();
    let worker = hold(&rig, "agents", "job").await;
    let id = container(&rig, &worker);
    assert_eq!(says(&rig, "job", "cat $TOKEN_FILE"), VALUE);
    for user in ["0", "1000", "65534"] {
        assert_eq!(docker(&["exec", "-u", user, &id, "cat", "/run/token"]), VALUE.as_bytes(), "user {user}");
    }
    let write =
        Command::new("docker").args(["exec", "-u", "0", &id, "sh", "-c", "echo x >/run/token"]).output().unwrap();
    assert!(!write.status.success(), "a worker can change it");
    for seen in [&["inspect", &id][..], &["diff", &id], &["export", &id], &["logs", &id]] {
        let seen = docker(seen);
        assert!(!has(&seen, WORD), "{}", String::from_utf8_lossy(&seen));
    }
    nothing_shows(&rig);
    let mut found = Vec::new();
    files_with(&rig.home(), &mut found);
    assert!(found.iter().all(|name| name.starts_with("store.redb")), "{found:?}");
    let mut found = Vec::new();
    files_with(memory.path(), &mut found);
    assert_eq!(found, ["value"]);

    // The worker that runs reads the next value from the same file.
    std::fs::write(&token, NEXT).unwrap();
    rig.run(&["credential", "set", "agents/a", "--from-file", path]).exits(0);
    until("the worker has the next value", || says(&rig, "job", "cat $TOKEN_FILE") == NEXT);
    assert_eq!(container(&rig, &worker), id);
    for seen in [&["inspect", &id][..], &["diff", &id], &["export", &id]] {
        assert!(!has(&docker(seen), WORD));
    }
    // What a batch keeps, its report too.
    let (tasks, out) = (rig.file("tasks"), rig.file("out"));
    std::fs::write(&tasks, "0\n3\n").unwrap();
    let script = "cat $TOKEN_FILE >/dev/null; echo said; exit $TASK";
    let (tasks, kept) = (tasks.to_str().unwrap(), out.to_str().unwrap());
    rig.run(&["run", "agents", "--tasks", tasks, "--out", kept, "--", "sh", "-c", script]).exits(1);
    assert!(out.join("report.html").exists());
    let mut found = Vec::new();
    files_with(&out, &mut found);
    assert_eq!(found, Vec::<String>::new(), "what a batch keeps");
    rig.local(&["down", "--force"]).exits(0);
    let mut found = Vec::new();
    files_with(memory.path(), &mut found);
    assert_eq!(found, Vec::<String>::new(), "it goes with the worker");
}

/// Its words are quoted when it dies, without the value.
#[tokio::test]
async fn a_worker_that_dies_with_its_value_on_its_lips_says_no_part_of_it() {
    if !has_image() {
        return;
    }
    let (rig, memory) = (Rig::with_docker(PROGRAM), in_memory());
    up_with(&rig, &memory);
    let token = rig.file("token");
    std::fs::write(&token, format!("{VALUE}\n")).unwrap();
    for (name, file, script) in [
        ("agents", json!("/run/token"), "echo before; cat $TOKEN; echo after; exit 3"),
        ("others", json!(null), "echo before; echo \"$TOKEN\" >&2; echo after; exit 3"),
    ] {
        let mut credential = json!({"name": "a", "env": "TOKEN", "fromFile": token});
        if !file.is_null() {
            credential["file"] = file;
        }
        let command = ["sh", "-c", script];
        create_pool(
            &rig,
            name,
            json!({"runtime": "Docker", "image": IMAGE, "command": command, "min": 1, "max": 1, "credentials": [credential]}),
        )
        .await;
        until("the pool quotes the worker", || object(&rig, &format!("pool/{name}")).to_string().contains("***"));
    }
    nothing_shows(&rig);
}
