//! `kubectl poolkeeper`: the same binary by another name.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use poolkeeper_testkit::local_server::{Rig, Said};
use poolkeeper_testkit::program::kubectl;
use serde_json::json;

use crate::PROGRAM;
use crate::get::create_pool;

#[tokio::test]
async fn kubectl_runs_the_commands_on_its_own_clusters() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"max": 1})).await;
    let bin = rig.file("bin");
    std::fs::create_dir(&bin).unwrap();
    symlink(PROGRAM, bin.join("kubectl-poolkeeper")).unwrap();
    // By its name alone, as kubectl starts it.
    let plugin = |args: &[&str], kubeconfig: Option<&std::path::Path>| {
        let mut command = Command::new(bin.join("kubectl-poolkeeper"));
        command.args(args).env("POOLKEEPER_HOME", rig.home()).env("HOME", rig.file("")).stdin(Stdio::null());
        for variable in ["KUBECONFIG", "POOLKEEPER_CONTEXT", "KUBERNETES_SERVICE_HOST"] {
            command.env_remove(variable);
        }
        command.envs(kubeconfig.map(|file| ("KUBECONFIG", file)));
        Said::of(command.output().unwrap())
    };
    let help = plugin(&["get", "--help"], None).exits(0).stdout;
    assert!(help.contains("Usage: kubectl poolkeeper get "), "{help}");
    assert!(help.contains("\n  kubectl poolkeeper get pools\n"), "{help}");
    let said = plugin(&["get", "pools"], None).exits(6);
    assert!(said.stderr.contains("there is no server to talk to"), "the local server is left out: {}", said.stderr);
    let kubeconfig = rig.kubeconfig();
    let name = "containerpool.poolkeeper.dev/agents\n";
    assert_eq!(plugin(&["get", "pools", "-o", "name"], Some(&kubeconfig)).exits(0).stdout, name);
    let wrong = plugin(&["get"], None).exits(2).stderr;
    assert!(wrong.contains("Usage: kubectl poolkeeper get"), "{wrong}");

    let Some(kubectl) = kubectl() else { return };
    let path = std::env::join_paths([bin.clone(), "/usr/bin".into(), "/bin".into()]).unwrap();
    let kubectl = |args: &[&str]| {
        let mut command = Command::new(&kubectl);
        command.args(args).env("PATH", &path).env("KUBECONFIG", &kubeconfig).env("HOME", rig.file(""));
        Said::of(command.env_remove("POOLKEEPER_CONTEXT").stdin(Stdio::null()).output().unwrap())
    };
    assert_eq!(kubectl(&["poolkeeper", "get", "pools", "-o", "name"]).exits(0).stdout, name);
    assert_eq!(kubectl(&["poolkeeper", "get", "pools", "--context", "other"]).exits(2).stdout, "");
    assert!(kubectl(&["plugin", "list"]).stdout.contains("kubectl-poolkeeper"));
}
