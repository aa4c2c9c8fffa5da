//! `poolkeeper completion`, in a real bash.

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
    for shell in ["zsh", "fish"] {
        let script = rig.run(&["completion", shell]).exits(0).stdout;
        assert!(script.contains("__complete -- "), "{script}");
    }
}
