//! `poolkeeper exec`: in the worker of an open attempt, and nowhere else.
use std::io::{Read, Write};
use std::process::Stdio;

use poolkeeper_testkit::local_server::{Rig, Said, until};
use poolkeeper_testkit::subject::runs;
use rustix::process::{Pid, Signal, kill_process};

use crate::PROGRAM;
use crate::acquire::one_worker;

#[tokio::test]
async fn a_command_runs_in_the_worker_as_if_it_ran_here() {
    let rig = one_worker().await;
    let script = "eval \"$(poolkeeper acquire agents --task job)\" || exit
        poolkeeper exec \"$POOLKEEPER_TASK_ID\" -- sh -c 'echo out; echo err >&2; exit 9'; echo $?
        echo text | poolkeeper exec task/job -i -e GREETING='good day' -w / -- sh -c 'cat; pwd; echo $GREETING'
        echo text | poolkeeper exec job -- cat
        poolkeeper exec job -- sh -c 'echo $POOLKEEPER_TASK_ID $POOLKEEPER_ATTEMPT $POOLKEEPER_WORKER'
        poolkeeper exec job -- no-such-program; echo $?
        poolkeeper exec job -- /etc/passwd; echo $?
        poolkeeper exec job -- sh -c 'kill -9 $$'; echo $?";
    let said = Said::of(rig.shell("sh", script).output().unwrap()).exits(0);
    assert_eq!(said.stdout, "out\n9\ntext\n/\ngood day\njob 1 agents-0\n127\n126\n137\n");
    assert!(
        said.stderr.contains("err\n") && said.stderr.contains("poolkeeper: command not found: no-such-program"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn every_failure_of_its_own_is_125_and_runs_nothing() {
    let rig = Rig::new(PROGRAM);
    let touch = rig.file("ran").display().to_string();
    let refuses = |rig: &Rig, args: &[&str], last: &str| {
        let said = rig.run(&[&["exec"], args, &["--", "touch", &touch]].concat()).exits(125);
        let line = said.stderr.lines().last().unwrap_or_default();
        assert!(line.starts_with(&format!("poolkeeper: {last}")), "{args:?}: {}", said.stderr);
        assert!(said.stdout.is_empty() && !std::path::Path::new(&touch).exists(), "{args:?}");
    };
    refuses(&rig, &["job"], "unreachable: there is no server to talk to");
    drop(rig);
    let rig = one_worker().await;
    for args in [&[][..], &[""], &["task/"], &["worker/"]] {
        refuses(&rig, args, "usage: ");
    }
    refuses(&rig, &["--bogus"], "usage: the arguments of exec are wrong");
    refuses(&rig, &["a", "b"], "usage: the arguments of exec are wrong");
    refuses(&rig, &["pool/agents"], "usage: \"pool\" is no kind that has a worker");
    refuses(&rig, &["a?b"], "usage: \"a?b\" is no name");
    refuses(&rig, &["job"], "not found: there is no task \"job\" on the local server");
    refuses(&rig, &["worker/nope"], "not found: there is no worker \"nope\" on the local server");
    refuses(&rig, &["--socket", "/nonexistent"], "unreachable: worker at /nonexistent: ");
    let said = rig.run(&["exec", "job"]).exits(125);
    assert!(said.stderr.ends_with("poolkeeper: usage: the arguments of exec are wrong\n"), "{}", said.stderr);
    assert!(rig.run(&["exec", "--help"]).exits(0).stdout.contains("Examples:"));

    // An idle worker is looked into, a busy one is not.
    let said = rig.run(&["exec", "worker/agents-0", "--", "echo", "looked"]).exits(0);
    assert_eq!(said.stdout, "looked\n");
    assert!(said.stderr.contains("worker/agents-0 is for looking: this holds no claim"), "{}", said.stderr);
    rig.run(&["acquire", "agents", "--task", "job"]).exits(0);
    refuses(&rig, &["worker/agents-0"], "conflict: worker agents-0 has task job; --anyway");
    assert_eq!(rig.run(&["exec", "worker/agents-0", "--anyway", "--", "echo", "looked"]).exits(0).stdout, "looked\n");

    refuses(&rig, &["job", "-t"], "usage: -t: workers of runtime Process have no terminal");
    refuses(&rig, &["job", "--uid", "another", "--attempt", "1"], "conflict: task job is another Dispatch by now");
    rig.run(&["report", "job", "Succeeded"]).exits(0);
    until("it is closed", || rig.run(&["get", "dispatch", "job"]).stdout.contains(" Succeeded "));
    refuses(&rig, &["job"], "conflict: attempt 1 of task job has ended, as Succeeded");
}

#[tokio::test]
async fn a_signal_ends_the_command_in_the_worker() {
    let rig = one_worker().await;
    rig.run(&["acquire", "agents", "--task", "job"]).exits(0);
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::TERM, Some(130)), (Signal::KILL, None)] {
        let mut command = rig.poolkeeper(&["exec", "job", "-i", "--", "sh", "-c", "echo $$; cat >&2"]);
        let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pid = Vec::new();
        let mut stdout = running.stdout.take().unwrap();
        while !pid.ends_with(b"\n") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            pid.push(byte[0]);
        }
        // Input comes as it is written.
        // `wait` would close it, and the command would end by itself.
        let mut stdin = running.stdin.take().unwrap();
        stdin.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        running.stderr.as_mut().unwrap().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        kill_process(Pid::from_child(&running), signal).unwrap();
        assert_eq!(running.wait().unwrap().code(), code, "{signal:?}");
        let pid = String::from_utf8(pid).unwrap();
        if code.is_some() {
            assert!(!runs(pid.trim()), "it has ended when that is said");
        }
        until("the command has ended", || !runs(pid.trim()));
        drop(stdin);
    }
}
