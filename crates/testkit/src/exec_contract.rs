//! What every [`Executor`] must do in workers that have a POSIX shell.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use poolkeeper::api::dispatch::Target;
use poolkeeper::api::pool::Credential;
use poolkeeper::runtime::InstanceState;
use poolkeeper::runtime::exec::{ExecError, Executor, Output, Running, Task, TaskEnd};

use super::subject::{Subject, soon, until};

const TOKEN: &str = "sesame-open-for-tests";

fn shell(script: &str) -> Task {
    Task { argv: ["sh", "-c", script].map(str::to_owned).to_vec(), ..Task::default() }
}

fn executor(subject: &Subject) -> Arc<dyn Executor> {
    subject.executor.clone().expect("a runtime with an executor")
}

/// Reads a task to its end: standard output, standard error, how it ended.
async fn read(running: Running) -> (Vec<u8>, Vec<u8>, TaskEnd) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = running.output;
    let read = async {
        while let Some(piece) = output.next().await {
            match piece {
                Output::Stdout(data) => out.extend_from_slice(&data),
                Output::Stderr(data) => err.extend_from_slice(&data),
            }
        }
        running.end.await
    };
    let end = soon("the end of the task", read).await;
    (out, err, end)
}

async fn run(subject: &Subject, target: &Target, task: Task) -> (String, String, TaskEnd) {
    let running = executor(subject).exec(target, task).await.unwrap();
    let (out, err, end) = read(running).await;
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), end)
}

async fn worker(subject: &Subject) -> Target {
    subject.runtime.target(&subject.started().await)
}

pub async fn streams_and_code_come_back(subject: &Subject) {
    let target = worker(subject).await;
    let done = run(subject, &target, shell("echo out; echo err >&2; exit 7")).await;
    assert_eq!(done, ("out\n".to_owned(), "err\n".to_owned(), TaskEnd::Exited(7)));
}

pub async fn a_signal_is_128_and_its_number(subject: &Subject) {
    let target = worker(subject).await;
    assert_eq!(run(subject, &target, shell("kill -KILL $$")).await.2, TaskEnd::Exited(137));
}

pub async fn a_task_reads_its_stdin_to_the_end(subject: &Subject) {
    let target = worker(subject).await;
    for stdin in ["", "line one\nline two"] {
        let task = Task { stdin: Bytes::from_static(stdin.as_bytes()), ..shell("cat") };
        assert_eq!(run(subject, &target, task).await, (stdin.to_owned(), String::new(), TaskEnd::Exited(0)));
    }
}

pub async fn a_lot_of_output_arrives_whole(subject: &Subject) {
    let target = worker(subject).await;
    let task = shell("head -c 10000000 /dev/zero | tr '\\0' a; head -c 3000000 /dev/zero | tr '\\0' b >&2; echo end");
    let running = executor(subject).exec(&target, task).await.unwrap();
    let (out, err, end) = read(running).await;
    assert_eq!((out.len(), err.len(), end), (10_000_004, 3_000_000, TaskEnd::Exited(0)));
    assert!(out.starts_with(b"aaaa") && out.ends_with(b"end\n") && err.iter().all(|byte| *byte == b'b'));
}

pub async fn a_lot_goes_in_and_out_at_the_same_time(subject: &Subject) {
    let target = worker(subject).await;
    let stdin: Bytes = (0..5_000_000_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
    let running = executor(subject).exec(&target, Task { stdin: stdin.clone(), ..shell("cat") }).await.unwrap();
    let (out, _, end) = read(running).await;
    assert_eq!(end, TaskEnd::Exited(0));
    assert!(out == stdin, "{} bytes came back", out.len());
}

pub async fn a_task_that_ignores_its_stdin_ends_all_the_same(subject: &Subject) {
    let target = worker(subject).await;
    let stdin = Bytes::from(vec![b'x'; 3_000_000]);
    let task = Task { stdin, ..shell("exec 0<&-; echo done; exit 4") };
    assert_eq!(run(subject, &target, task).await, ("done\n".to_owned(), String::new(), TaskEnd::Exited(4)));
}

pub async fn what_is_not_there_is_127_and_what_cannot_run_126(subject: &Subject) {
    let target = worker(subject).await;
    for (program, expected) in [("no-such-program-anywhere", 127), ("/etc/passwd", 126)] {
        let task = Task { argv: vec![program.to_owned()], ..Task::default() };
        match executor(subject).exec(&target, task).await.map(|_| ()) {
            Err(ExecError::Command { message, code }) => {
                assert_eq!(code, expected, "{message}");
                assert!(message.contains(program), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

pub async fn environment_and_directory_reach_the_task(subject: &Subject) {
    let target = worker(subject).await;
    let mut task = shell("printf '%s|%s|' \"$FROM_SPEC\" \"$FROM_TASK\"; pwd");
    task.env = vec![("FROM_TASK".to_owned(), "a 'quoted' $value".to_owned())];
    task.working_dir = Some("/".to_owned());
    assert_eq!(run(subject, &target, task).await.0, "spec value|a 'quoted' $value|/\n");
}

pub async fn a_credential_reaches_tasks_and_nothing_else(subject: &Subject) {
    let mut spec = subject.idle();
    let from_command = ["echo", TOKEN].map(str::to_owned).to_vec();
    spec.credential =
        Some(Credential { name: "team".into(), env: "TEAM_TOKEN".into(), from_command, ..Credential::default() });
    // The test's own command holds it; the spec as an observer sees it is not looked at here.
    let instance = subject.runtime.start(&spec).await.unwrap();
    let target = subject.runtime.target(&instance);
    assert_eq!(run(subject, &target, shell("printf %s \"$TEAM_TOKEN\"")).await.0, TOKEN);
    let checked = subject.runtime.check(&subject.host, &spec.key).await.unwrap();
    let seen = format!("{instance:?} {target:?} {checked:?}");
    assert!(!seen.contains("sesame"), "{seen}");
    let missing = Task { argv: vec!["no-such-program-anywhere".to_owned()], ..Task::default() };
    let error = executor(subject).exec(&target, missing).await.map(|_| ()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("sesame"), "{error:?}");
}

pub async fn a_credential_does_not_show_in_the_last_output(subject: &Subject) {
    let mut spec = subject.spec(["sh", "-c", "echo it is $TEAM_TOKEN; exit 1"].map(str::to_owned).to_vec());
    let from_command = ["echo", TOKEN].map(str::to_owned).to_vec();
    spec.credential =
        Some(Credential { name: "team".into(), env: "TEAM_TOKEN".into(), from_command, ..Credential::default() });
    subject.runtime.start(&spec).await.unwrap();
    let exited = async {
        loop {
            let instance = subject.runtime.check(&subject.host, &spec.key).await.unwrap().unwrap();
            if let InstanceState::Exited(exit) = instance.state {
                return exit;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(soon("its end", exited).await.tail.trim(), "it is ***");
}

pub async fn a_worker_that_is_killed_loses_its_task(subject: &Subject) {
    let instance = subject.started().await;
    let target = subject.runtime.target(&instance);
    let mut running = executor(subject).exec(&target, shell("echo here; sleep 300")).await.unwrap();
    assert_eq!(soon("its first words", running.output.next()).await, Some(Output::Stdout("here\n".into())));
    (subject.kill)(instance).await;
    assert!(matches!(read(running).await.2, TaskEnd::Lost(_)));
}

pub async fn a_worker_that_is_stopped_loses_its_task(subject: &Subject) {
    let instance = subject.started().await;
    let target = subject.runtime.target(&instance);
    let mut running = executor(subject).exec(&target, shell("echo here; sleep 300")).await.unwrap();
    assert_eq!(soon("its first words", running.output.next()).await, Some(Output::Stdout("here\n".into())));
    let (stopped, read) = tokio::join!(subject.runtime.stop(&subject.host, &instance.key), read(running));
    stopped.unwrap();
    assert!(matches!(read.2, TaskEnd::Lost(_)), "{:?}", read.2);
    let again = executor(subject).exec(&target, shell("true")).await.map(|_| ());
    assert!(matches!(again, Err(ExecError::Worker(_))), "{again:?}");
}

pub async fn hanging_up_ends_the_task(subject: &Subject) {
    if !subject.hangup_ends_task {
        return;
    }
    let target = worker(subject).await;
    let mut running = executor(subject).exec(&target, shell("sleep 300 & echo $$ $!; wait")).await.unwrap();
    let Some(Output::Stdout(pids)) = soon("its first words", running.output.next()).await else { panic!("no output") };
    let pids: Vec<String> = String::from_utf8_lossy(&pids).split_whitespace().map(str::to_owned).collect();
    assert_eq!(pids.len(), 2);
    drop(running);
    until("the end of the task", || pids.iter().all(|pid| !super::subject::runs(pid))).await;
}

pub async fn a_result_file_is_taken_once(subject: &Subject) {
    let target = worker(subject).await;
    let executor = executor(subject);
    let path = executor.result_path(&target, "task-42", 3).await.unwrap();
    assert_eq!(executor.take_result(&target, &path).await.unwrap(), None);
    let mut task = shell("printf '{\"outcome\":\"RateLimited\"}' > \"$POOLKEEPER_RESULT\"");
    task.env = vec![("POOLKEEPER_RESULT".to_owned(), path.clone())];
    assert_eq!(run(subject, &target, task).await.2, TaskEnd::Exited(0));
    let taken = executor.take_result(&target, &path).await.unwrap();
    assert_eq!(taken.as_deref(), Some(&br#"{"outcome":"RateLimited"}"#[..]));
    assert_eq!(executor.take_result(&target, &path).await.unwrap(), None);
    assert_ne!(executor.result_path(&target, "task-42", 4).await.unwrap(), path);
}

pub async fn a_huge_result_file_is_cut(subject: &Subject) {
    let target = worker(subject).await;
    let executor = executor(subject);
    let path = executor.result_path(&target, "task", 1).await.unwrap();
    let mut task = shell("head -c 1000000 /dev/zero > \"$POOLKEEPER_RESULT\"");
    task.env = vec![("POOLKEEPER_RESULT".to_owned(), path.clone())];
    assert_eq!(run(subject, &target, task).await.2, TaskEnd::Exited(0));
    assert_eq!(executor.take_result(&target, &path).await.unwrap().map(|bytes| bytes.len()), Some(64 * 1024));
}

pub async fn workers_do_not_wait_for_each_other(subject: &Subject) {
    let (a, b) = (worker(subject).await, worker(subject).await);
    let executor = executor(subject);
    // Each is under way before either is read: the first ends only after the second ran to its end.
    let first = executor.exec(&a, shell("read line; echo got")).await.unwrap();
    let second = run(subject, &b, shell("echo free")).await;
    assert_eq!((second.0.as_str(), second.2), ("free\n", TaskEnd::Exited(0)));
    assert_eq!(read(first).await.0, b"got\n");
}

pub async fn what_a_task_leaves_running_does_not_keep_it_open(subject: &Subject) {
    let target = worker(subject).await;
    let done = run(subject, &target, shell("sleep 300 & echo left; exit 3")).await;
    assert_eq!(done, ("left\n".to_owned(), String::new(), TaskEnd::Exited(3)));
}
