//! A `poolkeeper` that is started, spoken to and ended.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use poolkeeper_testkit::program;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

pub const BINARY: &str = env!("CARGO_BIN_EXE_poolkeeper");

/// A command line with nothing of the tester's own cluster in it.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::from(program::command(BINARY));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST").env("HOME", "/nonexistent");
    command
}

/// Exit code and stderr of a command that ends by itself.
pub async fn ends(args: &[&str]) -> (i32, String) {
    let ended = command(args).output().await.unwrap();
    (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
}

/// A running controller.
pub struct Controller {
    child: Child,
    /// Where it serves its pages.
    pub http: String,
}

impl Controller {
    /// Started, and its pages are served.
    pub async fn start(kubeconfig: &Path, args: &[&str]) -> Self {
        let fixed = ["controller", "--http-bind=127.0.0.1:0", "--log-format=json", "--kubeconfig"];
        let mut child = command(&[&fixed, &[kubeconfig.to_str().unwrap()][..], args].concat()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let http = loop {
            let line = lines.next_line().await.unwrap().expect("it ended before it served anything");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if let Some(http) = line["http"].as_str() {
                break http.to_owned();
            }
        };
        // Its log is read to the end, so it never waits for its reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, http }
    }

    /// Status and body of one of its pages.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let mut stream = tokio::net::TcpStream::connect(&self.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Waits until a page has this status and these words.
    pub async fn until_page(&self, path: &str, status: u16, words: &str) {
        loop {
            let (seen, body) = self.page(path).await;
            if seen == status && body.contains(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a signal and gives the exit code that follows.
    pub async fn end(mut self, signal: Signal) -> i32 {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        self.child.wait().await.unwrap().code().unwrap()
    }
}
