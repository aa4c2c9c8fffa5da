//! `poolkeeper exec --socket PATH -- CMD`: a task in a worker as if it were run right here. This is the argv of a
//! Process target.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Event, Session, Stdin};
use super::protocol::{CHUNK, ExecRequest};
use crate::runtime::exec::{ExecError, Output, TaskEnd};

/// Poolkeeper itself failed: the worker was not reached, or contact was lost.
const FAILED: u8 = 125;
/// The reader of our output is gone, as `head` is after some lines. Other programs end by SIGPIPE then, number 13.
const READER_GONE: u8 = 128 + 13;

/// Runs a task in the worker with this socket: standard input is passed on, both streams come back. Its exit code
/// is the task's; 125 if the worker was not reached or contact was lost, 126 and 127 as shells have them. To be
/// called outside of any async runtime. If this process is killed, the task is ended.
pub fn main(socket: &Path, request: &ExecRequest) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return say(&error.to_string(), FAILED),
    };
    let code = runtime.block_on(run(socket, request));
    // A thread may sit in a read of standard input that never returns.
    runtime.shutdown_background();
    code
}

#[allow(clippy::disallowed_methods)] // A program of its own, with its own output.
async fn run(socket: &Path, request: &ExecRequest) -> ExitCode {
    let Session { mut events, stdin } = match Session::start(socket, request).await {
        Ok(session) => session,
        Err(ExecError::Command { message, code }) => return say(&message, u8::try_from(code).unwrap_or(FAILED)),
        Err(ExecError::Worker(message)) => return say(&message, FAILED),
    };
    // A task of its own: writing our output must not keep the task's input waiting, or a coprocess would hang.
    let feeder = tokio::spawn(feed(stdin));
    let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
    let code = loop {
        let written = match events.next().await {
            Event::Output(Output::Stdout(data)) => write(&mut out, &data).await,
            Event::Output(Output::Stderr(data)) => write(&mut err, &data).await,
            Event::End(TaskEnd::Exited(code)) => break ExitCode::from(code.to_le_bytes()[0]),
            Event::End(TaskEnd::Lost(message)) => break say(&message, FAILED),
        };
        // To leave is to hang up, and that ends the task.
        if let Err(error) = written {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                break ExitCode::from(READER_GONE);
            }
            break say(&format!("cannot pass on the output: {error}"), FAILED);
        }
    };
    feeder.abort();
    code
}

async fn write(to: &mut (impl AsyncWriteExt + Unpin), data: &[u8]) -> std::io::Result<()> {
    to.write_all(data).await?;
    to.flush().await
}

async fn feed(mut stdin: Stdin) {
    let mut input = tokio::io::stdin();
    let mut buffer = vec![0; CHUNK];
    // An input that cannot be read (closed, or a directory) is an empty one.
    while let Ok(count @ 1..) = input.read(&mut buffer).await {
        let data = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
        if stdin.send(data).await.is_err() {
            return;
        }
    }
    if stdin.finish().await.is_ok() {
        // The connection stays open until the task has ended.
        std::future::pending::<()>().await;
    }
}

#[allow(clippy::disallowed_methods)] // A program of its own, with its own output.
fn say(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "poolkeeper exec: {message}");
    ExitCode::from(code)
}
