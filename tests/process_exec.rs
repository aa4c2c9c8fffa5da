//! `poolkeeper exec --socket …`, as a supervisor in any language uses a target's argv. And what it costs.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use poolkeeper::api::dispatch::Target;
use poolkeeper::runtime::exec::{Executor, Task};
use poolkeeper::runtime::process::ProcessExecutor;
use poolkeeper_testkit::subject::{Subject, runs, soon, until};

fn command(target: &Target, more: &[&str]) -> Command {
    let mut command = Command::new(&target.argv[0]);
    command.args(&target.argv[1..]).args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn output(mut command: Command) -> Output {
    soon("the end of the command", tokio::task::spawn_blocking(move || command.output())).await.unwrap().unwrap()
}

async fn worker(subject: &Subject) -> Target {
    subject.runtime.target(&subject.started().await)
}

#[tokio::test]
async fn it_is_as_if_the_command_ran_right_here() {
    let subject = Subject::process().await;
    let target = worker(&subject).await;
    let done = output(command(&target, &["sh", "-c", "echo out; echo err >&2; exit 9"])).await;
    assert_eq!((done.status.code(), &done.stdout[..], &done.stderr[..]), (Some(9), &b"out\n"[..], &b"err\n"[..]));

    let mut cat = command(&target, &["cat"]);
    let mut cat = cat.stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
    let talk = tokio::task::spawn_blocking(move || {
        // A conversation: the answer comes before standard input ends.
        let mut answer = [0; 5];
        stdin.write_all(b"hello").unwrap();
        stdout.read_exact(&mut answer).unwrap();
        drop(stdin);
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).unwrap();
        (answer, rest, cat.wait().unwrap().code())
    });
    assert_eq!(soon("an answer", talk).await.unwrap(), (*b"hello", Vec::new(), Some(0)));
    subject.finish().await;
}

#[tokio::test]
async fn options_stand_before_the_command() {
    let subject = Subject::process().await;
    let target = worker(&subject).await;
    let mut exec = Command::new(env!("CARGO_BIN_EXE_poolkeeper"));
    exec.args(["exec", "--socket", &target.id, "-e", "GREETING=good day", "-w", "/"]);
    exec.args(["--", "sh", "-c", "echo $GREETING; pwd"]);
    exec.stdin(Stdio::null());
    assert_eq!(output(exec).await.stdout, b"good day\n/\n");
    subject.finish().await;
}

#[tokio::test]
async fn failures_have_the_codes_that_shells_give_them() {
    let subject = Subject::process().await;
    let instance = subject.started().await;
    let target = subject.runtime.target(&instance);
    for (program, code) in [("no-such-program-anywhere", 127), ("/etc/passwd", 126)] {
        let done = output(command(&target, &[program])).await;
        assert_eq!(done.status.code(), Some(code));
        assert!(String::from_utf8_lossy(&done.stderr).contains(program), "{done:?}");
    }
    subject.runtime.stop(&subject.host, &instance.key).await.unwrap();
    let done = output(command(&target, &["true"])).await;
    assert_eq!(done.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&done.stderr).contains(&target.id), "{done:?}");
    subject.finish().await;
}

#[tokio::test]
async fn a_killed_client_ends_its_task() {
    let subject = Subject::process().await;
    let target = worker(&subject).await;
    let mut client = command(&target, &["sh", "-c", "echo $$; sleep 300"]).spawn().unwrap();
    let mut stdout = client.stdout.take().unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        while !said.ends_with(b"\n") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        String::from_utf8(said).unwrap().trim().to_owned()
    });
    let pid = soon("its pid", read).await.unwrap();
    assert!(runs(&pid));
    client.kill().unwrap();
    client.wait().unwrap();
    until("the end of the task", || !runs(&pid)).await;
    subject.finish().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_task_back() {
    let subject = Subject::process().await;
    let instance = subject.started().await;
    let target = subject.runtime.target(&instance);
    let argv = ["sh", "-c", "yes | head -c 200000000"].map(str::to_owned).to_vec();
    let running = ProcessExecutor.exec(&target, Task { argv, ..Task::default() }).await.unwrap();
    // Until the shim can send no more, it has nothing to do but to hold what it read.
    let shim = instance.handle.id.clone();
    until("the task being held back", || blocked(&shim)).await;
    let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    let peak: u64 =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok()).unwrap();
    assert!(peak < 100_000, "the shim grew to {peak} KiB");
    drop(running);
    subject.finish().await;
}

/// True if the process used no processor time for a while.
fn blocked(pid: &str) -> bool {
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<String> = stat.rsplit(')').next().unwrap().split_whitespace().map(str::to_owned).collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = used();
    std::thread::sleep(Duration::from_millis(300));
    used() == before
}

/// Figures on standard error: `cargo test --test process_exec -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "measures; asserts only that nothing is grossly slow"]
async fn what_starts_and_tasks_cost() {
    let subject = Subject::process().await;
    let begin = tokio::time::Instant::now();
    let mut workers = Vec::new();
    for _ in 0..20 {
        workers.push(subject.started().await);
    }
    let start = begin.elapsed() / 20;
    let target = subject.runtime.target(&workers[0]);
    let begin = tokio::time::Instant::now();
    for _ in 0..1000 {
        let task = Task { argv: vec!["true".to_owned()], ..Task::default() };
        let mut running = ProcessExecutor.exec(&target, task).await.unwrap();
        while futures::StreamExt::next(&mut running.output).await.is_some() {}
        running.end.await;
    }
    let exec = begin.elapsed() / 1000;
    let begin = tokio::time::Instant::now();
    for _ in 0..1000 {
        let mut child = tokio::process::Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
        child.wait().await.unwrap();
    }
    let bare = begin.elapsed() / 1000;
    let begin = tokio::time::Instant::now();
    for worker in &workers {
        subject.runtime.stop(&subject.host, &worker.key).await.unwrap();
    }
    let stop = begin.elapsed() / 20;
    eprintln!("start of a worker {start:?}, task {exec:?} (bare spawn {bare:?}), stop {stop:?}");
    assert!(start < Duration::from_secs(1) && exec < Duration::from_millis(100));
    subject.finish().await;
}
