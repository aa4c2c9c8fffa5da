//! `poolkeeper completion`, in real shells.
//!
//! zsh and fish are skipped, loudly, where they are not installed; `POOLKEEPER_REQUIRE_SHELLS=1` makes that a failure.

use std::process::{Command, Stdio};

use poolkeeper_testkit::local_server::{Rig, Said};
use serde_json::json;

use crate::PROGRAM;
use crate::get::create_pool;

/// What bash offers for a command line whose last word is completed.
fn offers(rig: &Rig, line: &[&str]) -> Vec<String> {
    let script = format!(
        r#"source <("$1" completion bash); shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _poolkeeper '{PROGRAM}'; printf '%s\n' "${{COMPREPLY[@]}}""#,
    );
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", &script, "bash", PROGRAM, "poolkeeper"]).args(line).stdin(Stdio::null());
    command.env("POOLKEEPER_HOME", rig.home()).env("HOME", rig.file(""));
    for variable in ["KUBECONFIG", "POOLKEEPER_CONTEXT", "KUBERNETES_SERVICE_HOST"] {
        command.env_remove(variable);
    }
    let said = Said::of(command.output().unwrap()).exits(0);
    assert_eq!(said.stderr, "", "a shell shows it in the middle of the line");
    said.stdout.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[tokio::test]
async fn bash_completes_commands_flags_and_names() {
    let rig = Rig::new(PROGRAM);
    assert_eq!(offers(&rig, &["unins"]), ["uninstall"]);
    assert_eq!(offers(&rig, &["local", "up", "--res"]), ["--restart"]);
    assert_eq!(offers(&rig, &["get", "pools", "-o", "js"]), ["json"]);
    assert!(offers(&rig, &["__"]).is_empty(), "hidden commands stay hidden");
    assert!(offers(&rig, &["why", ""]).is_empty(), "without a server there are no names");
    rig.up();
    create_pool(&rig, "agents", json!({"max": 1})).await;
    create_pool(&rig, "builders", json!({"max": 1})).await;
    assert_eq!(offers(&rig, &["why", ""]), ["agents", "builders"]);
    assert_eq!(offers(&rig, &["scale", "ag"]), ["agents"]);
    assert_eq!(offers(&rig, &["get", "pool", "b"]), ["builders"]);
    assert_eq!(offers(&rig, &["get", "pool/b"]), ["pool/builders"]);
    assert_eq!(offers(&rig, &["get", "workers", "--pool", "=", "a"]), ["agents"]);
    assert!(offers(&rig, &["scale", "-n", "other", ""]).is_empty());
    // A server that hangs costs a second, not five, and nothing is said.
    let pid = rustix::process::Pid::from_raw(rig.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let offered = offers(&rig, &["why", ""]);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert!(offered.is_empty());
}

fn has(shell: &str) -> bool {
    let found = Command::new(shell).args(["-c", "true"]).output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_SHELLS").is_none(), "there is no {shell}");
        eprintln!("SKIPPED: there is no {shell}");
    }
    found
}

/// A server with two pools, whose names begin differently.
async fn two_pools() -> Rig {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"max": 1})).await;
    create_pool(&rig, "builders", json!({"max": 1})).await;
    rig
}

#[tokio::test]
async fn zsh_completes_what_a_person_types() {
    if !has("zsh") {
        return;
    }
    let rig = two_pools().await;
    // An interactive zsh, on a terminal that this script reads and types on. Each read waits for what it expects.
    let script = r#"zmodload zsh/zpty
        zpty z "zsh -f -i"
        zpty -w z "PS1= RPS1= ; unsetopt zle_bracketed_paste; autoload -U compinit && compinit -u -D && source <(poolkeeper completion zsh); echo be''gin"
        zpty -r z out "*begin*"
        for typed in "$@"; do
            zpty -w -n z "poolkeeper ${typed%%|*}"$'\t'
            zpty -r z out "*${typed##*|}*" || exit 1
            zpty -w -n z $'\C-u'
        done
        zpty -d z"#;
    let typed = [
        "unins|uninstall",
        "local up --res|--restart",
        "scale ag|agents",
        "get pool b|builders",
        "get pool/b|pool/builders",
    ];
    // What never comes ends as code 124.
    let mut shell = rig.shell("bash", "timeout 60 zsh -c \"$SCRIPT\" zsh \"$@\"");
    Said::of(shell.env("SCRIPT", script).arg("bash").args(typed).output().unwrap()).exits(0);
}

#[tokio::test]
async fn fish_completes_what_a_person_types() {
    if !has("fish") {
        return;
    }
    let rig = two_pools().await;
    let offers = |line: &str| {
        let script = format!("poolkeeper completion fish | source; complete -C '{line}'");
        let said = Said::of(rig.shell("fish", &script).output().unwrap()).exits(0);
        assert_eq!(said.stderr, "", "{line}");
        said.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offers("poolkeeper unins"), ["uninstall"]);
    assert_eq!(offers("poolkeeper local up --res"), ["--restart"]);
    assert_eq!(offers("poolkeeper why "), ["agents", "builders"]);
    assert_eq!(offers("poolkeeper scale ag"), ["agents"]);
    assert_eq!(offers("poolkeeper get pool/b"), ["pool/builders"]);
}
