//! `poolkeeper doctor` on hosts by name.

use serde_json::json;

use crate::hosts::Hosts;

#[test]
fn each_host_that_cannot_be_used_has_its_remedy() {
    let Some(hosts) = Hosts::find().map(Hosts::with_file) else { return };
    hosts.poolkeeper(&["local", "up"]).exits(0);
    let has = |said: &str, level: &str, words: &[&str]| {
        let found = said.lines().any(|line| line.starts_with(level) && words.iter().all(|word| line.contains(word)));
        assert!(found, "{level} {words:?}: {said}");
    };
    let said = hosts.poolkeeper(&["doctor"]).exits(0).stdout;
    has(&said, "ok ", &["docker host: tls: ", "(API 1.", &format!("at tcp://{}:2376", hosts.address)]);
    has(&said, "ok ", &["docker host: far: ", "at ssh://pk-far@127.0.0.1:2222"]);

    let login = hosts.rig.file("login");
    std::fs::create_dir(&login).unwrap();
    let login = login.display().to_string();
    hosts.pool(
        "paths",
        &["local", "far"],
        json!({
            "mounts": [{"hostPath": "/no/such", "mountPath": "/a"}],
            "credentials": [{"name": "a", "env": "AGENT_HOME", "directory": {"hostPath": login}}],
        }),
    );
    let pki = hosts.dir.join("pki").display().to_string();
    let other =
        format!("tls=tcp://{}:2376,ca={pki}/other.pem,cert={pki}/client.pem,key={pki}/client.key", hosts.address);
    let flags = [&*other, "far=ssh://pk-far@refused", "slow=unix:///nonexistent/docker.sock"];
    let args: Vec<&str> = ["doctor"].into_iter().chain(flags.iter().flat_map(|flag| ["--host", flag])).collect();
    let said = hosts.poolkeeper(&args).exits(1).stdout;
    has(
        &said,
        "fail",
        &["tls: ", "is not signed by the authority in", "  -> `docker -H tcp://", "--tlsverify", "version` must work"],
    );
    has(
        &said,
        "fail",
        &[
            "far: ",
            "refused refuses the login",
            "  -> `ssh pk-far@refused docker version` must work without a question",
        ],
    );
    has(&said, "fail", &["slow: ", "/nonexistent/docker.sock", "  -> start the engine there"]);
    has(&said, "fail", &["pool paths mounts /no/such, which is not on host local"]);
    has(&said, "fail", &["the directory", "of credential a is of this machine, and host far is on another one"]);
    has(&said, "ok ", &["pool paths mounts /no/such of host far, where this program cannot look"]);
    assert!(!said.contains("BEGIN"), "{said}");
    let said = hosts.poolkeeper(&["doctor", "--host", "far"]).exits(2).stderr;
    assert!(said.contains("write NAME=ENDPOINT"), "{said}");
    hosts.end();
}
