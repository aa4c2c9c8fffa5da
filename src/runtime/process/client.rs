//! Running tasks in a worker from outside: the client side of the shim's socket.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::protocol::{CHUNK, Codec, ExecRequest, Frame, Refusal, VERSION, WINDOW, connect};
use super::record::WorkerDir;
use crate::api::dispatch::Target;
use crate::runtime::exec::{ExecError, Executor, Output, Running, Task, TaskEnd};

/// Longest result file that is read, in bytes.
const MAX_RESULT: u64 = 64 * 1024;

/// A task that was started. Dropping both halves hangs up, which ends the task.
pub struct Session {
    /// What it says, and how it ends.
    pub events: Events,
    /// Its input.
    pub stdin: Stdin,
}

/// What a task says.
pub struct Events {
    frames: FramedRead<OwnedReadHalf, Codec>,
    window: std::sync::Arc<Semaphore>,
}

/// A task's standard input.
pub struct Stdin {
    frames: FramedWrite<OwnedWriteHalf, Codec>,
    window: std::sync::Arc<Semaphore>,
}

/// One thing that a task says.
#[derive(Debug)]
pub enum Event {
    /// A piece of output.
    Output(Output),
    /// Nothing follows.
    End(TaskEnd),
}

impl Session {
    /// Starts a task in the worker with this socket.
    ///
    /// # Errors
    /// When the worker is not reached, or the command cannot be executed there.
    pub async fn start(socket: &Path, request: &ExecRequest) -> Result<Self, ExecError> {
        let lost = |error: io::Error| ExecError::Worker(format!("worker at {}: {error}", socket.display()));
        let (read, write) = connect(socket).await.map_err(lost)?.into_split();
        let (mut read, mut write) = (FramedRead::new(read, Codec), FramedWrite::new(write, Codec));
        let json = serde_json::to_vec(request).map_err(|error| lost(error.into()))?;
        write.feed(Frame::Hello(VERSION)).await.map_err(lost)?;
        match write.send(Frame::Exec(json.into())).await {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(ExecError::Command { message: error.to_string(), code: 126 });
            }
            sent => sent.map_err(lost)?,
        }
        match read.next().await {
            Some(Ok(Frame::Started)) => {
                let window = std::sync::Arc::new(Semaphore::new(WINDOW));
                let stdin = Stdin { frames: write, window: window.clone() };
                Ok(Self { events: Events { frames: read, window }, stdin })
            }
            Some(Ok(Frame::Refused(json))) => match refusal(&json) {
                Ok(Refusal { message, passing: true, .. }) => Err(ExecError::Worker(message)),
                Ok(Refusal { message, code, .. }) => Err(ExecError::Command { message, code }),
                Err(error) => Err(lost(error)),
            },
            Some(Err(error)) => Err(lost(error)),
            _ => Err(lost(io::Error::other("the worker is ending"))),
        }
    }
}

impl Events {
    /// The next one. After `End` there is none; asking again gives `End(Lost)`.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.frames.next().await {
                Some(Ok(Frame::Stdout(data))) => return Event::Output(Output::Stdout(data)),
                Some(Ok(Frame::Stderr(data))) => return Event::Output(Output::Stderr(data)),
                Some(Ok(Frame::StdinTaken(count))) => self.window.add_permits(count as usize),
                Some(Ok(Frame::Exited(code))) => return Event::End(TaskEnd::Exited(code)),
                Some(Err(error)) => return Event::End(TaskEnd::Lost(format!("contact with the worker: {error}"))),
                Some(Ok(_)) => return Event::End(TaskEnd::Lost("the worker uses another protocol".to_owned())),
                None => return Event::End(TaskEnd::Lost("the worker ended while the task ran".to_owned())),
            }
        }
    }
}

impl Stdin {
    /// Sends a piece of standard input, when the task has read enough of what came before.
    ///
    /// # Errors
    /// When the worker is no longer reached.
    pub async fn send(&mut self, mut data: Bytes) -> io::Result<()> {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(CHUNK));
            let permits = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            self.window.acquire_many(permits).await.map_err(io::Error::other)?.forget();
            self.frames.send(Frame::Stdin(piece)).await?;
        }
        Ok(())
    }

    /// Says that there is no more.
    ///
    /// # Errors
    /// When the worker is no longer reached.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.frames.send(Frame::StdinEnd).await
    }
}

/// Runs tasks in workers of the Process runtime. All that it needs is in the target.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessExecutor;

#[async_trait]
impl Executor for ProcessExecutor {
    async fn exec(&self, target: &Target, task: Task) -> Result<Running, ExecError> {
        let request = ExecRequest { argv: task.argv, env: task.env, working_dir: task.working_dir };
        let Session { mut events, mut stdin } = Session::start(Path::new(&target.id), &request).await?;
        let (ended, end) = oneshot::channel();
        let output = async_stream::stream! {
            let feed = async {
                // A task that ends without reading all of it is no error; the events report how it ends.
                if stdin.send(task.stdin).await.is_ok() {
                    let _ = stdin.finish().await;
                }
            };
            tokio::pin!(feed);
            let mut fed = false;
            loop {
                let event = tokio::select! {
                    biased;
                    () = &mut feed, if !fed => {
                        fed = true;
                        continue;
                    }
                    event = events.next() => event,
                };
                match event {
                    Event::Output(output) => yield output,
                    Event::End(end) => {
                        let _ = ended.send(end);
                        break;
                    }
                }
            }
        };
        let hung_up = || TaskEnd::Lost("its output was not read to the end".to_owned());
        Ok(Running { output: output.boxed(), end: Box::pin(async move { end.await.unwrap_or_else(|_| hung_up()) }) })
    }

    async fn result_path(&self, target: &Target, dispatch: &str, attempt: i32) -> Result<String, ExecError> {
        // Names of dispatches may be as long as a file name may be.
        let digest = hex::encode(&Sha256::digest(dispatch)[..8]);
        let path = results(target)?.join(format!("{digest}-{attempt}.json"));
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(trouble(&path, &error)),
            _ => Ok(path.to_string_lossy().into_owned()),
        }
    }

    async fn reaches_host(&self, _: &Target) -> bool {
        // It is this machine.
        true
    }

    async fn take_result(&self, target: &Target, path: &str) -> Result<Option<Vec<u8>>, ExecError> {
        let path = PathBuf::from(path);
        if path.parent() != Some(results(target)?.as_path()) {
            return Err(ExecError::Worker(format!("{}: not a result file of this worker", path.display())));
        }
        match take(&path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble(&path, &error)),
        }
    }
}

/// Where the results of a worker are. An error if the worker is gone.
fn results(target: &Target) -> Result<PathBuf, ExecError> {
    let socket = Path::new(&target.id);
    let dir = socket.parent().map(|dir| WorkerDir::at(dir).results());
    dir.filter(|dir| dir.is_dir())
        .ok_or_else(|| ExecError::Worker(format!("the worker at {} is gone", socket.display())))
}

fn trouble(path: &Path, error: &io::Error) -> ExecError {
    ExecError::Worker(format!("result file {}: {error}", path.display()))
}

/// Reads and removes a file that a task made: whatever that is, this neither waits nor follows a link.
async fn take(path: &Path) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = tokio::fs::OpenOptions::from(options).open(path).await?;
    let mut bytes = Vec::new();
    if file.metadata().await?.is_file() {
        file.take(MAX_RESULT).read_to_end(&mut bytes).await?;
    } else {
        return Err(io::Error::other("not a regular file"));
    }
    tokio::fs::remove_file(path).await?;
    Ok(bytes)
}

fn refusal(json: &[u8]) -> io::Result<Refusal> {
    Ok(serde_json::from_slice(json)?)
}

/// Asks a shim whether it is there.
///
/// # Errors
/// When it is not, or does not answer as one.
pub async fn ping(socket: &Path) -> io::Result<()> {
    let mut connection = tokio_util::codec::Framed::new(connect(socket).await?, Codec);
    connection.feed(Frame::Hello(VERSION)).await?;
    connection.send(Frame::Ping).await?;
    match connection.next().await {
        Some(Ok(Frame::Pong)) => Ok(()),
        Some(Ok(Frame::Refused(json))) => Err(io::Error::other(refusal(&json)?.message)),
        Some(Err(error)) => Err(error),
        _ => Err(io::Error::other("the worker is ending")),
    }
}
