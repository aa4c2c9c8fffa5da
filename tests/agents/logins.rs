//! Two accounts whose logins are directories: each call renews its login, and a login works once.
use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::accounts::{Accounts, Agent, CLAUDE, CODEX};
use poolkeeper_testkit::place::Place;

const LOGINS: [&str; 2] = ["token-a", "token-b"];

/// Logs in to an account, as its owner does.
fn log_in(place: &Place, file: &str, account: &str, login: &str) {
    fs::write(place.path(&format!("accounts/{account}/login")), format!("{login}\n")).unwrap();
    // What is renamed is never half there.
    fs::write(place.path("login.new"), format!("{login}\n")).unwrap();
    fs::rename(place.path("login.new"), place.path(&format!("{account}.login/{file}"))).unwrap();
}

fn batch(agent: Agent, file: &str, variable: &str) {
    let place = Place::new();
    let accounts = Accounts::new(agent, &place.path(""));
    for other in ["token-c", "token-d"] {
        // Not every program has these.
        let _ = fs::remove_dir_all(place.path(&format!("accounts/{other}")));
    }
    for account in LOGINS {
        fs::create_dir(place.path(&format!("{account}.login"))).unwrap();
        log_in(&place, file, account, &format!("{account}:1"));
    }
    // The first account is refused, until its owner has logged in again. The other one works.
    fs::write(place.path("accounts/token-a/plan"), "expired\n").unwrap();
    fs::write(place.path("accounts/token-b/plan"), "").unwrap();
    let mut spec = accounts.spec();
    let credential = |account: &&str| {
        let name = account.trim_start_matches("token-");
        json!({"name": name, "env": variable, "directory": {"hostPath": place.path(&format!("{account}.login"))}})
    };
    spec["credentials"] = LOGINS.iter().map(credential).collect();
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"}, "spec": spec,
    });
    place.write("pool.json", &pool.to_string());
    let wrapper = accounts.wrapper();
    let flags = ["run", "--local", "-f", "pool.json", "--tasks", "-", "--out", "results", "--state", "state"];
    let mut run = Command::new(env!("CARGO_BIN_EXE_poolkeeper"));
    run.args(flags).args(["--progress-file", "progress.json", "--"]).arg(&wrapper).current_dir(place.path(""));
    let mut run = run.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut tasks = run.stdin.take().unwrap();
    let events = || -> Vec<Value> {
        let text = fs::read_to_string(place.path("progress.json")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let ends = |outcome: &str| events().iter().filter(|e| e["event"] == "ended" && e["outcome"] == outcome).count();
    let mut give = |from: usize, to: usize| {
        for n in from..=to {
            std::io::Write::write_all(&mut tasks, format!("Write chapter {n} of \"logins\"\n").as_bytes()).unwrap();
        }
    };
    give(1, 8);
    poolkeeper_testkit::local_server::until("the first account is refused", || ends("Unauthorized") == 1);
    poolkeeper_testkit::local_server::until("the other account did all", || ends("Succeeded") == 8);
    let log = || fs::read_to_string(place.path("log")).unwrap_or_default();
    assert_eq!(log().matches("token-a ").count(), 1, "it is asked once: {}", log());
    fs::remove_file(place.path("accounts/token-a/dead")).unwrap();
    log_in(&place, file, "token-a", "token-a:100");
    // As long as it takes, one task after the other: the first account gets one when the pool has seen its login.
    let mut given = 8;
    poolkeeper_testkit::local_server::until("the first account is back", || {
        if ends("Succeeded") == given {
            give(given + 1, given + 2);
            given += 2;
        }
        log().matches("token-a done").count() > 0
    });
    drop(tasks);
    let ended = run.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(fs::read_to_string(place.path("wrong")).unwrap_or_default(), "", "{}", log());
    for account in LOGINS {
        let last = fs::read_to_string(place.path(&format!("accounts/{account}/login"))).unwrap();
        let kept = fs::read_to_string(place.path(&format!("{account}.login/{file}"))).unwrap();
        assert_eq!(kept, last, "the renewed login of {account} is not in its directory");
    }
}

#[test]
fn claude_code() {
    batch(CLAUDE, ".credentials.json", "CLAUDE_LOGIN");
}

#[test]
fn codex() {
    batch(CODEX, "auth.json", "CODEX_LOGIN");
}
