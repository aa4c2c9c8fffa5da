//! A pool that is spread over all hosts: its tasks run where their targets say.
use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::hosts::{Hosts, NAMES};

#[test]
fn tasks_run_where_their_targets_say() {
    let Some(hosts) = Hosts::find().map(Hosts::with_file) else { return };
    hosts.poolkeeper(&["local", "up"]).exits(0);
    hosts.filled("spread", &NAMES, 3, json!({}));
    let wide = hosts.poolkeeper(&["get", "workers", "-o", "wide"]).exits(0).stdout;
    let status = hosts.poolkeeper(&["status", "spread"]).exits(0).stdout;
    for host in NAMES {
        assert_eq!(hosts.containers(host).len(), 1, "{host}");
        assert!(wide.contains(host) && status.contains(&format!("{host} ")), "{host}:\n{wide}\n{status}");
    }
    let mut seen = BTreeSet::new();
    for task in ["a", "b", "c"] {
        hosts.poolkeeper(&["acquire", "spread", "--task", task]).exits(0);
        let dispatch = hosts.json(&["get", "dispatch", task, "-o", "json"]);
        let target = &dispatch["status"]["target"];
        let (host, id) = (target["host"].as_str().unwrap(), target["id"].as_str().unwrap());
        assert_eq!(hosts.containers(host), [id], "{target}");
        let endpoint = match host {
            "local" => hosts.socket("local"),
            "tls" => format!("tcp://{}:2376", hosts.address),
            _ => "ssh://127.0.0.1:2222".to_owned(),
        };
        assert_eq!(target["endpoint"], endpoint.as_str());
        // As a supervisor in any language runs it: its input goes in, and its end is seen.
        let argv: Vec<&str> = target["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(argv[0], if host == "local" { "docker" } else { "poolkeeper" }, "{argv:?}");
        let mut command = hosts.rig.shell("sh", "echo \"$INPUT\" | \"$@\"");
        command.arg("sh").args(argv).args(["sh", "-c", "cat; cat /etc/hostname; exit 3"]).env("INPUT", task);
        let said = in_shell(&hosts, &mut command);
        assert_eq!(said, (Some(3), format!("{task}\n{}\n", hostname(&hosts, host, id))));
        hosts.poolkeeper(&["report", task, "Succeeded"]).exits(0);
        seen.insert(host.to_owned());
    }
    // The one that was used longest ago comes next, so it was each of them once.
    assert_eq!(seen.len(), 3);
    by_name(&hosts);
    run(&hosts);
    hosts.end();
}

fn in_shell(hosts: &Hosts, command: &mut Command) -> (Option<i32>, String) {
    hosts.around(command);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn hostname(hosts: &Hosts, host: &str, id: &str) -> String {
    hosts.docker(host, &["inspect", "--format", "{{.Config.Hostname}}", id])
}

/// `exec` on a host by its name, and what is not there.
fn by_name(hosts: &Hosts) {
    let id = hosts.containers("far").remove(0);
    let said = hosts.poolkeeper(&["exec", "--host", "far", "--container", &id, "--", "echo", "here"]).exits(0);
    assert_eq!(said.stdout, "here\n");
    let said = hosts.poolkeeper(&["exec", "--host", "far", "--container", "nothing", "--", "true"]).exits(125);
    assert!(said.stderr.contains("lost: ") && said.stderr.contains("No such container"), "{}", said.stderr);
    let said = hosts.poolkeeper(&["exec", "--host", "near", "--container", &id, "--", "true"]).exits(125);
    assert!(
        said.stderr.contains("not found: ") && said.stderr.contains("\"near\" is not known here"),
        "{}",
        said.stderr
    );
    let said = hosts.poolkeeper(&["logs", "spread-0"]).exits(0);
    assert_eq!(said.stdout, "");
}

/// A batch in that pool, and one of its own on the two hosts that are not this machine's.
fn run(hosts: &Hosts) {
    let tasks = hosts.rig.file("tasks");
    std::fs::write(&tasks, (1..=9).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let tasks = tasks.to_str().unwrap();
    for how in [
        &["spread"][..],
        &["--local", "--image", crate::hosts::IMAGE, "--host", "tls", "--host", "far", "--workers", "2"],
    ] {
        let args =
            [&["run"], how, &["--tasks", tasks, "--", "sh", "-c", "read n; test $n = $TASK && cat /etc/hostname"]]
                .concat();
        let said = hosts.poolkeeper(&args).exits(0);
        let names: BTreeSet<&str> = said.stdout.lines().filter(|line| line.contains('-') || line.len() == 12).collect();
        assert!(names.len() == 3 || how.len() > 1 && !names.is_empty(), "{}", said.stdout);
    }
    let workers: Value = hosts.json(&["get", "workers", "-o", "json"]);
    assert_eq!(workers["items"].as_array().unwrap().len(), 3);
}
