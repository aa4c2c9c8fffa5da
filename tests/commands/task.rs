//! `poolkeeper task`: what runs in a worker's Pod, at the other end of an exec.
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use poolkeeper::runtime::exec::{ExecError, Output, TaskEnd};
use poolkeeper::runtime::process::client::{Connection, Message, Session};
use poolkeeper::runtime::process::protocol::{ExecRequest, Keep};
use poolkeeper_testkit::local_server::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::PROGRAM;

/// The helper, as an init container of a Pod installs it, and as an exec in the worker starts it.
struct Pod(tempfile::TempDir);

impl Pod {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let installed = Command::new(PROGRAM).args(["task", "--install"]).arg(dir.path()).status().await.unwrap();
        assert!(installed.success());
        Self(dir)
    }

    fn exec(&self) -> (Child, ChildStdin, ChildStdout) {
        let mut helper = Command::new(self.0.path().join("poolkeeper"));
        helper.arg("task").env_remove("TMPDIR").current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = helper.kill_on_drop(true).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        (child, stdin, stdout)
    }

    async fn start(&self, request: &ExecRequest) -> Result<(Session, Child), ExecError> {
        let (child, stdin, stdout) = self.exec();
        let session = Session::over(Box::new(stdout), Box::new(stdin), request, Some(Duration::from_secs(60))).await?;
        Ok((session, child))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("tmp").join(name)
    }
}

fn request(script: &str) -> ExecRequest {
    ExecRequest { argv: ["sh", "-c", script].map(str::to_owned).to_vec(), ..ExecRequest::default() }
}

#[tokio::test]
async fn all_of_a_task_travels_inside() {
    let pod = Pod::new().await;
    let (result, input) = (pod.file("a.json"), "x".repeat(1 << 20));
    let script = "wc -c; echo \"$GREETING $TMPDIR $(pwd)\"; echo err >&2; echo '{}' >\"$POOLKEEPER_RESULT\"; exit 7";
    let mut request = request(script);
    request.env = vec![
        ("GREETING".to_owned(), "good day".to_owned()),
        ("POOLKEEPER_RESULT".to_owned(), result.display().to_string()),
    ];
    request.result = Some(result.display().to_string());
    let (session, _child) = pod.start(&request).await.unwrap();
    let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
    let mut running = session.run(Bytes::from(input), (), move |file| drop(sender.send(file)), |_, ()| {});
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(piece) = running.output.next().await {
        match piece {
            Output::Stdout(data) => out.extend_from_slice(&data),
            Output::Stderr(data) => err.extend_from_slice(&data),
        }
    }
    assert_eq!(running.end.await, TaskEnd::Exited(7));
    let tmp = pod.0.path().join("tmp");
    assert_eq!(String::from_utf8(out).unwrap(), format!("1048576\ngood day {} /\n", tmp.display()));
    assert_eq!(err, b"err\n");
    assert_eq!(results.recv().await.unwrap().unwrap(), Bytes::from_static(b"{}\n"));
    assert!(!result.exists(), "it was taken");
}

#[tokio::test]
async fn a_command_that_cannot_be_run_is_said() {
    let pod = Pod::new().await;
    for (program, expected) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        let request = ExecRequest { argv: vec![program.to_owned()], ..ExecRequest::default() };
        match pod.start(&request).await {
            Err(ExecError::Command { code, message }) => assert!(code == expected && message.contains(program)),
            other => panic!("{program}: {:?}", other.map(drop)),
        }
    }
}

#[tokio::test]
async fn the_task_ends_when_its_client_hangs_up() {
    let pod = Pod::new().await;
    let pid = pod.file("pid");
    let request = request(&format!("(trap '' TERM HUP; sleep 300) & echo $! >{}; wait", pid.display()));
    let (session, mut child) = pod.start(&request).await.unwrap();
    until("it runs", || std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
    let process = PathBuf::from("/proc").join(std::fs::read_to_string(&pid).unwrap().trim());
    assert!(process.exists());
    drop(session);
    child.wait().await.unwrap();
    until("what it started has ended", || !process.exists());
}

/// The output of a task, and the connection for the next one.
async fn ran(session: Session, input: &'static [u8]) -> (String, TaskEnd, Option<Connection>) {
    let (sender, mut connection) = tokio::sync::oneshot::channel();
    let after = move |connection, ()| drop(sender.send(connection));
    let mut running = session.run(Bytes::from_static(input), (), drop, after);
    let mut out = Vec::new();
    while let Some(piece) = running.output.next().await {
        let (Output::Stdout(data) | Output::Stderr(data)) = piece;
        out.extend_from_slice(&data);
    }
    (String::from_utf8(out).unwrap(), running.end.await, connection.try_recv().ok())
}

#[tokio::test]
async fn one_connection_serves_many_tasks() {
    let pod = Pod::new().await;
    let (mut child, stdin, stdout) = pod.exec();
    let mut connection = Connection::new(Box::new(stdout), Box::new(stdin), Some(Duration::from_secs(60)));
    for number in 0..20 {
        // One that reads its input, one that leaves it, and one that cannot be asked before it has exited.
        let script = ["cat; exit 3", "echo left; exit 4", "exec >&- 2>&-; exit 5"][number % 3];
        let request = ExecRequest { more: true, ..request(script) };
        let session = Session::on(connection, &request).await.unwrap();
        let (out, end, after) = ran(session, b"input\n").await;
        let expected = [("input\n", 3), ("left\n", 4), ("", 5)][number % 3];
        assert_eq!((out.as_str(), end), (expected.0, TaskEnd::Exited(expected.1)), "task {number}");
        connection = after.expect("the connection is given back");
        match number % 4 {
            0 => {}
            1 => assert!(connection.answers().await),
            // The answer comes when the next task is asked for.
            _ => drop(tokio::time::timeout(Duration::ZERO, connection.answers()).await),
        }
    }
    drop(connection);
    assert!(child.wait().await.unwrap().success(), "it ends with its client");
}

#[tokio::test]
async fn a_helper_that_serves_one_task_is_noticed() {
    let pod = Pod::new().await;
    let (session, _child) = pod.start(&request("true")).await.unwrap();
    let (_, end, connection) = ran(session, b"").await;
    assert_eq!(end, TaskEnd::Exited(0));
    assert!(!connection.expect("given back").answers().await, "the helper has ended");
}

#[tokio::test]
async fn the_second_task_of_a_connection_ends_with_its_client_too() {
    let pod = Pod::new().await;
    let (session, mut child) = pod.start(&ExecRequest { more: true, ..request("true") }).await.unwrap();
    let (_, _, connection) = ran(session, b"").await;
    let pid = pod.file("pid");
    let request = request(&format!("echo $$ >{}; sleep 300", pid.display()));
    let session = Session::on(connection.unwrap(), &request).await.unwrap();
    until("it runs", || std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
    let process = PathBuf::from("/proc").join(std::fs::read_to_string(&pid).unwrap().trim());
    drop(session);
    child.wait().await.unwrap();
    until("it has ended", || !process.exists());
}

#[tokio::test]
async fn processes_are_ended_by_their_mark() {
    let pod = Pod::new().await;
    let end = |mark: String| {
        let mut helper = Command::new(pod.0.path().join("poolkeeper"));
        helper.args(["task", "--end", &mark]);
        helper
    };
    let mark = format!("POOLKEEPER_RESULT={}", pod.file("mark.json").display());
    assert_eq!(end(mark.clone()).status().await.unwrap().code(), Some(3), "there is none");
    let (name, value) = mark.split_once('=').unwrap();
    let mut request = request("trap '' TERM; (trap - TERM; sleep 300) & echo up; while :; do sleep 1; done");
    request.env = vec![(name.to_owned(), value.to_owned())];
    let (mut session, _child) = pod.start(&request).await.unwrap();
    assert_eq!(read(&mut session, 3).await.0, "up\n");
    assert_eq!(end(mark).status().await.unwrap().code(), Some(0));
    assert_eq!(read(&mut session, usize::MAX).await.1, Some(TaskEnd::Exited(137)));
}

#[tokio::test]
async fn a_client_of_another_version_is_told_so() {
    let pod = Pod::new().await;
    let (mut child, mut stdin, mut stdout) = pod.exec();
    stdin.write_all(&[0, 0, 0, 5, b'H', 0, 0, 0, 99]).await.unwrap();
    let mut answer = Vec::new();
    stdout.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("speaks version 1 of its protocol, and the program that asks version 99"), "{answer}");
    child.wait().await.unwrap();
}

/// A request for a task that outlives its client. `have` is what the client has of its output.
fn kept(script: &str, seconds: u64, have: [u64; 2]) -> ExecRequest {
    ExecRequest { keep: Some(Keep { key: "a1b2-1".to_owned(), seconds, have }), ..request(script) }
}

/// Reads until so many bytes of standard output came, or the end.
async fn read(session: &mut Session, bytes: usize) -> (String, Option<TaskEnd>) {
    let mut out = Vec::new();
    while out.len() < bytes {
        match session.events.next().await {
            Message::Output(Output::Stdout(data)) => out.extend_from_slice(&data),
            Message::Output(Output::Stderr(data)) => panic!("{data:?}"),
            Message::Result(_) => {}
            Message::End(end) => return (String::from_utf8(out).unwrap(), Some(end)),
        }
    }
    (String::from_utf8(out).unwrap(), None)
}

#[tokio::test]
async fn a_kept_task_lives_on_and_each_byte_comes_once() {
    let pod = Pod::new().await;
    let gate = pod.file("gate");
    let script =
        format!("echo begun >>{0}.log; echo one; while ! [ -e {0} ]; do sleep 0.05; done; cat; exit 5", gate.display());
    let (mut session, child) = pod.start(&kept(&script, 60, [0, 0])).await.unwrap();
    assert_eq!((session.attached, read(&mut session, 4).await), (None, ("one\n".to_owned(), None)));
    session.stdin.send(Bytes::from_static(b"first half, ")).await.unwrap();
    // The client is killed, and its exec with it. Another has the first two bytes, and sends what is missing of the input.
    drop((session, child));
    let (mut session, child) = pod.start(&kept(&script, 60, [2, 0])).await.unwrap();
    assert_eq!(read(&mut session, 2).await.0, "e\n");
    let input = Bytes::from_static(b"first half, second half\n");
    session.stdin.send(input.slice(usize::try_from(session.attached.unwrap()).unwrap()..)).await.unwrap();
    session.stdin.finish().await.unwrap();
    std::fs::write(&gate, "").unwrap();
    assert_eq!(read(&mut session, 1).await.0, "first half, second half\n");
    drop((session, child));
    for _ in 0..2 {
        // The end is retained until it is known.
        let (mut session, _child) = pod.start(&kept(&script, 60, [4, 0])).await.unwrap();
        let all = read(&mut session, usize::MAX).await;
        assert_eq!(all, ("first half, second half\n".to_owned(), Some(TaskEnd::Exited(5))));
    }
    let (mut session, mut child) = pod.start(&kept(&script, 60, [4, 0])).await.unwrap();
    read(&mut session, usize::MAX).await;
    session.stdin.release().await.unwrap();
    child.wait().await.unwrap();
    until("nothing of it is left", || !pod.file("a1b2-1.kept").exists() && !pod.file("a1b2-1.sock").exists());
    assert_eq!(std::fs::read_to_string(pod.file("gate.log")).unwrap(), "begun\n", "it was started once");
}

#[tokio::test]
async fn more_output_than_is_kept_waits_for_the_client() {
    let pod = Pod::new().await;
    let (script, size) = ("head -c 20000000 /dev/zero | tr '\\0' x", 20_000_000);
    let (session, child) = pod.start(&kept(script, 60, [0, 0])).await.unwrap();
    drop((session, child));
    let (mut session, child) = pod.start(&kept(script, 60, [0, 0])).await.unwrap();
    let mut count = read(&mut session, 4_000_000).await.0.len();
    session.stdin.have([count as u64, 0]).await.unwrap();
    // It is away again, and comes back with all that it was sent.
    drop((session, child));
    let (mut session, _child) = pod.start(&kept(script, 60, [count as u64, 0])).await.unwrap();
    let end = loop {
        let (more, end) = read(&mut session, 100_000).await;
        count += more.len();
        session.stdin.have([count as u64, 0]).await.unwrap();
        if end.is_some() {
            break end;
        }
    };
    assert_eq!((count, end), (size, Some(TaskEnd::Exited(0))));
}

#[tokio::test]
async fn one_client_at_a_time_is_attached_and_it_is_the_newest() {
    let pod = Pod::new().await;
    let script = "echo one; cat; echo two";
    let (mut first, _one) = pod.start(&kept(script, 60, [0, 0])).await.unwrap();
    assert_eq!(read(&mut first, 4).await.0, "one\n");
    let (mut second, _two) = pod.start(&kept(script, 60, [4, 0])).await.unwrap();
    match read(&mut first, usize::MAX).await {
        (_, Some(TaskEnd::Lost(why))) => assert!(why.contains("another client has attached"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(first.events.is_refused(), "it does not come back");
    second.stdin.finish().await.unwrap();
    assert_eq!(read(&mut second, usize::MAX).await, ("two\n".to_owned(), Some(TaskEnd::Exited(0))));
}

#[tokio::test]
async fn a_kept_task_ends_when_no_client_comes_and_is_not_started_again() {
    let pod = Pod::new().await;
    let pid = pod.file("pid");
    let script = format!("echo $$ >{}; exec sleep 300", pid.display());
    let (session, child) = pod.start(&kept(&script, 0, [0, 0])).await.unwrap();
    until("it runs", || std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
    let process = PathBuf::from("/proc").join(std::fs::read_to_string(&pid).unwrap().trim());
    assert!(process.exists());
    drop((session, child));
    until("it has ended", || !process.exists() && !pod.file("a1b2-1.sock").exists());
    match pod.start(&kept(&script, 0, [0, 0])).await {
        Err(ExecError::Worker(why)) => assert!(why.contains("no client came in time"), "{why}"),
        other => panic!("{:?}", other.map(drop)),
    }
}

#[tokio::test]
async fn a_kept_command_that_cannot_be_run_is_said() {
    let pod = Pod::new().await;
    let request = ExecRequest { argv: vec!["no-such-program".to_owned()], ..kept("", 60, [0, 0]) };
    match pod.start(&request).await {
        Err(ExecError::Command { code: 127, message }) => assert!(message.contains("no-such-program")),
        other => panic!("{:?}", other.map(drop)),
    }
    until("nothing of it is left", || !pod.file("a1b2-1.kept").exists());
    let request = ExecRequest { keep: Some(Keep { key: "../x".to_owned(), ..Keep::default() }), ..request };
    assert!(matches!(pod.start(&request).await, Err(ExecError::Worker(_))));
}
