//! `poolkeeper task`: what runs in a worker's Pod, at the other end of an exec.
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use poolkeeper::runtime::exec::{ExecError, Output, TaskEnd};
use poolkeeper::runtime::process::client::Session;
use poolkeeper::runtime::process::protocol::ExecRequest;
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
    let mut running = session.run(Bytes::from(input), (), move |file| drop(sender.send(file)));
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
