//! `poolkeeper doctor`: a line for each thing that was looked at.

use std::os::unix::fs::PermissionsExt;

use poolkeeper_testkit::local_server::Rig;
use serde_json::Value;

use crate::PROGRAM;

#[test]
fn each_state_of_the_local_server_has_its_remedy() {
    let rig = Rig::new(PROGRAM);
    let has = |code: i32, lines: &[&str]| {
        let said = rig.run(&["doctor"]).exits(code);
        for line in lines {
            assert!(said.stdout.lines().any(|l| l.contains(line)), "{line:?}: {}", said.stdout);
        }
        assert_eq!(said.stderr, "");
        said.stdout
    };
    let home = rig.home().display().to_string();
    let none = format!("ok    local server: there is none in {home}; `poolkeeper local up` starts one");
    has(1, &[&none, "fail  server: there is no server to talk to: start one with `poolkeeper local up`"]);
    rig.up();
    let version = env!("CARGO_PKG_VERSION");
    let text = has(
        0,
        &[
            &format!("ok    poolkeeper: version {version}, /"),
            &format!("ok    local server: process {} at https://127.0.0.1:", rig.pid()),
            "warn  docker: ",
            "  -> pools of containers on this machine need it; `runtime: Process` does not",
            "ok    server: the local server, Kubernetes v1.",
            "ok    kinds: poolkeeper.dev/v1alpha1 is served",
            "ok    rights: seeing pools, workers and dispatches in namespace default",
        ],
    );
    let kubeconfig: Value = serde_json::from_slice(&std::fs::read(rig.kubeconfig()).unwrap()).unwrap();
    let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap();
    assert!(!text.contains(token), "{text}");

    let json: Value = serde_json::from_str(&rig.run(&["doctor", "-o", "json"]).exits(0).stdout).unwrap();
    let docker = json.as_array().unwrap().iter().find(|check| check["what"] == "docker").unwrap();
    assert!(docker["level"] == "warn" && docker["remedy"].is_string(), "{docker}");

    std::fs::set_permissions(rig.home(), std::fs::Permissions::from_mode(0o755)).unwrap();
    has(1, &[&format!("fail  local state: other users can look into {home} (mode 755)  -> run `chmod 700 {home}`")]);
    std::fs::set_permissions(rig.home(), std::fs::Permissions::from_mode(0o700)).unwrap();

    rig.kill();
    has(1, &["warn  local server: ", "  -> run `poolkeeper local up`", "fail  server: the local server in "]);
}

#[test]
fn a_server_that_hangs_is_named_with_its_process() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let pid = rustix::process::Pid::from_raw(rig.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let said = rig.run(&["doctor"]);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let line = format!("  -> end process {} and run `poolkeeper local up`", rig.pid());
    assert!(said.code == 1 && said.stdout.contains(&line), "{}", said.stdout);
}

#[test]
fn a_cluster_that_cannot_be_reached_fails() {
    let rig = Rig::new(PROGRAM);
    let config = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "prod",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}]}"#;
    std::fs::write(rig.file("config"), config).unwrap();
    let file = rig.file("config").display().to_string();
    let said = rig.run(&["doctor", "--kubeconfig", &file]).exits(1);
    assert!(
        said.stdout.contains(&format!("fail  server: context prod of {file} (http://127.0.0.1:1/): ")),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains("secret-token"), "{}", said.stdout);
}
