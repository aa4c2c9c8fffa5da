//! A task in a Process worker as if it were run right here: standard input is passed on, both streams come back.

use std::path::Path;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Message, Session, Stdin};
use super::protocol::{CHUNK, ExecRequest};
use crate::runtime::exec::{ExecError, Output, TaskEnd};

/// How the task ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code; 128 + signal number if a signal ended it.
    Exited(i32),
    /// It was stopped here, and has certainly ended.
    Stopped,
    /// Our own output cannot be written to: the task was ended. True if that is because nothing reads it any more.
    NoOutput {
        /// True if the reader of our output is gone.
        reader_gone: bool,
        /// What the system says.
        message: String,
    },
    /// Contact was lost: whether and how the task ended is not known.
    Lost(String),
}

/// Runs a task in the worker with this socket. Without `input` the task sees the end of its input at once. When `stop`
/// resolves, the task is ended, and its end waited for. If this process is killed, the task is ended too.
///
/// # Errors
/// The task was not started.
pub async fn run(
    socket: &Path,
    request: &ExecRequest,
    input: bool,
    stop: impl Future<Output = ()>,
) -> Result<Ended, ExecError> {
    Ok(drive(Session::start(socket, request).await?, input, stop).await)
}

/// Passes on what goes in and out of a task that was started, as [`run`] does.
#[allow(clippy::disallowed_methods)] // A program of its own, with its own output.
pub async fn drive(session: Session, input: bool, stop: impl Future<Output = ()>) -> Ended {
    let Session { mut events, stdin, .. } = session;
    // A task of its own: writing our output must not keep the task's input waiting, or a coprocess would hang.
    let mut feeder = Some(tokio::spawn(feed(stdin, input)));
    let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
    let mut stop = std::pin::pin!(stop);
    loop {
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            () = &mut stop, if feeder.is_some() => {
                hang_up(&mut feeder).await;
                continue;
            }
        };
        let written = match event {
            Message::Output(Output::Stdout(data)) => write(&mut out, &data).await,
            Message::Output(Output::Stderr(data)) => write(&mut err, &data).await,
            Message::Result(_) => continue,
            // The worker closes the connection when it has ended the task. A task that meets the end of its input first, and ends
            // by itself, was stopped as well.
            Message::End(_) if feeder.is_none() => return Ended::Stopped,
            Message::End(TaskEnd::Exited(code)) => return Ended::Exited(code),
            Message::End(TaskEnd::Lost(message)) => return Ended::Lost(message),
        };
        if let Err(error) = written {
            hang_up(&mut feeder).await;
            while !matches!(events.next().await, Message::End(_)) {}
            let reader_gone = error.kind() == std::io::ErrorKind::BrokenPipe;
            return Ended::NoOutput { reader_gone, message: error.to_string() };
        }
    }
}

/// Closes our half of the connection: the worker then ends the task.
async fn hang_up(feeder: &mut Option<tokio::task::JoinHandle<()>>) {
    if let Some(feeder) = feeder.take() {
        feeder.abort();
        // It is gone then, and with it what it holds.
        let _ = feeder.await;
    }
}

async fn write(to: &mut (impl AsyncWriteExt + Unpin), data: &[u8]) -> std::io::Result<()> {
    to.write_all(data).await?;
    to.flush().await
}

async fn feed(stdin: Stdin, input: bool) {
    let alive = stdin.clone();
    tokio::select! {
        never = alive.stay_alive() => match never {},
        () = feed_all(stdin, input) => {}
    }
}

async fn feed_all(mut stdin: Stdin, input: bool) {
    let mut buffer = vec![0; CHUNK];
    if input {
        let mut input = tokio::io::stdin();
        // An input that cannot be read (closed, or a directory) is an empty one.
        while let Ok(count @ 1..) = input.read(&mut buffer).await {
            let data = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            if stdin.send(data).await.is_err() {
                break;
            }
        }
    }
    // The connection stays open until the task has ended.
    let _ = stdin.finish().await;
    std::future::pending::<()>().await;
}
