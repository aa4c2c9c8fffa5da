//! The commands of a supervisor with workers that are containers.
//!
//! Skipped, loudly, where no engine answers; `POOLKEEPER_REQUIRE_DOCKER=1` makes that a failure.
use std::io::Read;
use std::process::{Command, Stdio};

use poolkeeper_testkit::local_server::{Rig, Said, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::PROGRAM;
use crate::get::create_pool;
use crate::terminal::typed;

pub const IMAGE: &str = "poolkeeper-test:1";

pub fn has_image() -> bool {
    let found = Command::new("docker").args(["image", "inspect", IMAGE]).output().is_ok_and(|o| o.status.success());
    if !found {
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "no Docker Engine has {IMAGE}");
        eprintln!("SKIPPED: no Docker Engine answers, or it has no image {IMAGE}");
    }
    found
}

#[tokio::test]
async fn a_supervisor_works_in_a_container() {
    if !has_image() {
        return;
    }
    let rig = Rig::with_docker(PROGRAM);
    rig.up();
    let command = ["sh", "-c", "echo up; echo oops >&2; exec sleep infinity"];
    create_pool(&rig, "agents", json!({"runtime": "Docker", "image": IMAGE, "command": command, "min": 1, "max": 1}))
        .await;
    let script = "eval \"$(poolkeeper acquire agents --task job --wait 1m)\" || exit
        echo text | poolkeeper exec \"$POOLKEEPER_TASK_ID\" -i -e GREETING='good day' -w / -- \
            sh -c 'cat; pwd; echo $GREETING $POOLKEEPER_WORKER; echo err >&2; exit 9'; echo $?
        poolkeeper exec job -- no-such-program; echo $?
        poolkeeper exec worker/agents-0 --anyway -- echo looked
        poolkeeper logs agents-0 --tail 5; echo $?";
    let said = Said::of(rig.shell("sh", script).output().unwrap()).exits(0);
    assert_eq!(said.stdout, "text\n/\ngood day agents-0\n9\n127\nlooked\nup\n0\n");
    assert!(said.stderr.contains("err\n") && said.stderr.contains("oops\n"), "{}", said.stderr);

    // The examples of the help text; the second one follows.
    assert_eq!(rig.run(&["logs", "agents-0"]).exits(0).stdout, "up\n");
    let mut follow =
        rig.poolkeeper(&["logs", "agents-0", "--tail", "20", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut up = [0; 3];
    follow.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    assert_eq!(&up, b"up\n");
    follow.kill().unwrap();
    follow.wait().unwrap();

    // With a terminal the command has one too; without one it is refused.
    let line = "poolkeeper exec -it job -- sh -c 'test -t 0 && test -t 1 && read word && echo \"<$word>\"; exit 7'";
    if let Some(said) = typed(&rig, line, "good day\n") {
        let said = said.exits(7).stdout;
        assert!(said.contains("<good day>"), "{said}");
    }
    let said = rig.run(&["exec", "-t", "job", "--", "true"]).exits(125);
    assert!(said.stderr.contains("-t: standard output is no terminal; leave it out"), "{}", said.stderr);

    // A signal ends the command in the container, and what it started.
    let mut exec = rig.poolkeeper(&["exec", "job", "--", "sh", "-c", "sleep 4321 & echo begun; wait"]);
    let mut running = exec.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut begun = [0; 6];
    running.stdout.as_mut().unwrap().read_exact(&mut begun).unwrap();
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    let said = Said::of(running.wait_with_output().unwrap()).exits(130);
    assert_eq!(said.stderr, "");
    until("all of it has ended", || {
        let look = "grep -l 4321 /proc/[0-9]*/cmdline | grep -v self | wc -l";
        // The look itself has the number on its own command line, twice.
        rig.run(&["exec", "job", "--", "sh", "-c", look]).stdout.trim().parse::<u32>().is_ok_and(|count| count <= 2)
    });

    // The container goes while a command runs in it: that is not known to have ended well.
    let mut exec = rig.poolkeeper(&["exec", "job", "--", "sh", "-c", "echo begun; sleep 300"]);
    let mut running = exec.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    running.stdout.as_mut().unwrap().read_exact(&mut begun).unwrap();
    rig.run(&["cancel", "job"]).exits(0);
    let said = Said::of(running.wait_with_output().unwrap()).exits(125);
    assert!(said.stderr.lines().last().is_some_and(|line| line.starts_with("poolkeeper: lost: ")), "{}", said.stderr);
}

/// The containers of a pool, by id.
fn containers(pool: &str) -> Vec<String> {
    let label = format!("label=poolkeeper.dev/pool={pool}");
    let listed = Command::new("docker").args(["ps", "-q", "--no-trunc", "--filter", &label]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_batch_runs_in_containers_and_is_resumed_once_the_old_ones_are_gone() {
    if !has_image() {
        return;
    }
    let rig = Rig::with_docker(PROGRAM);
    rig.up();
    let shared = rig.file("shared");
    std::fs::create_dir(&shared).unwrap();
    let mount = json!({"hostPath": shared, "mountPath": "/shared", "readOnly": false});
    let command = ["sleep", "infinity"];
    let spec = json!({"runtime": "Docker", "image": IMAGE, "command": command, "min": 2, "max": 2, "mounts": [mount]});
    create_pool(&rig, "crates", spec).await;
    let (tasks, out) = (rig.file("t.txt").display().to_string(), rig.file("out").display().to_string());
    std::fs::write(&tasks, "a\nb\nc\n").unwrap();
    let script = "[ -e /shared/go ] || { echo $TASK >>/shared/begun; sleep 4321; }; read line; echo done $line";
    let args = ["run", "crates", "--tasks", &tasks, "--out", &out, "--resume", "--", "sh", "-c", script];
    let run = rig.poolkeeper(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = || std::fs::read_to_string(shared.join("begun")).unwrap_or_default().lines().count();
    until("a task runs in each container", || begun() == 2);
    let old = containers("crates");
    kill_process(Pid::from_child(&run), Signal::KILL).unwrap();
    Said::of(run.wait_with_output().unwrap()).exits(-1);

    // The engine ends no task with its client: the containers go before the tasks run again.
    assert_eq!((containers("crates"), old.len()), (old.clone(), 2));
    std::fs::write(shared.join("go"), "").unwrap();
    let said = rig.run(&args).exits(0);
    assert!(said.stderr.contains("waiting for the end of what the earlier run left"), "{}", said.stderr);
    for task in ["a", "b", "c"] {
        assert!(said.stdout.contains(&format!("done {task}\n")), "{}", said.stdout);
    }
    assert!(!containers("crates").iter().any(|id| old.contains(id)));
    assert_eq!(rig.run(&["run", "crates", "--", "sh", "-c", "exit 9"]).code, 9);
    assert_eq!(rig.run(&["run", "crates", "--", "no-such-program"]).code, 127);
    assert_eq!(begun(), 2);
}
