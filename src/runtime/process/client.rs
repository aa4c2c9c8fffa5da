//! Running tasks in a worker from outside: the client side of the shim's socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::codec::FramedRead;

use super::connection::Shared;
pub use super::connection::{Connection, Reader, Writer};
use super::protocol::{CHUNK, Codec, ExecRequest, Frame, Refusal, VERSION, VERSION_DURABLE, WINDOW, connect};
use super::record::WorkerDir;
use super::result_file;
use crate::api::dispatch::Target;
use crate::runtime::exec::{ExecError, Executor, Output, Running, Task, TaskEnd, result_name};

/// A task that was started. Dropping both halves hangs up, which ends the task.
pub struct Session {
    /// What it says, and how it ends.
    pub events: Messages,
    /// Its input.
    pub stdin: Stdin,
    /// None: this started it. Else it was there, with so many bytes of its input.
    pub attached: Option<u64>,
}

/// What a task says.
pub struct Messages {
    frames: FramedRead<Reader, Codec>,
    window: Arc<Semaphore>,
    silence: Option<Duration>,
    is_refused: bool,
}

/// A task's standard input.
#[derive(Clone)]
pub struct Stdin {
    frames: Shared,
    window: Arc<Semaphore>,
    silence: Option<Duration>,
}

/// Pings that are sent within the time of silence that means the end.
const PINGS: u32 = 6;

/// One thing that a task says.
#[derive(Debug)]
pub enum Message {
    /// A piece of output.
    Output(Output),
    /// The result file that was asked for, or why it cannot be read.
    Result(Result<Bytes, String>),
    /// Nothing follows.
    End(TaskEnd),
}

impl Session {
    /// Starts a task in the worker with this socket.
    ///
    /// # Errors
    /// When the worker is not reached, or the command cannot be executed there.
    pub async fn start(socket: &Path, request: &ExecRequest) -> Result<Self, ExecError> {
        let lost = |why: &dyn std::fmt::Display| ExecError::Worker(format!("worker at {}: {why}", socket.display()));
        let (read, write) = connect(socket).await.map_err(|e| lost(&e))?.into_split();
        Self::over(Box::new(read), Box::new(write), request, None).await.map_err(|error| match error {
            ExecError::Worker(why) => lost(&why),
            error @ ExecError::Command { .. } => error,
        })
    }

    /// Starts a task over streams that exist. `silence` as in [`Connection::new`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn over(
        read: Reader,
        write: Writer,
        request: &ExecRequest,
        silence: Option<Duration>,
    ) -> Result<Self, ExecError> {
        Self::on(Connection::new(read, write, silence), request).await
    }

    /// Starts a task on a connection that no task uses.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn on(connection: Connection, request: &ExecRequest) -> Result<Self, ExecError> {
        let lost = |error: io::Error| ExecError::Worker(error.to_string());
        let Connection { mut read, write, silence, is_greeted } = connection;
        let json = serde_json::to_vec(request).map_err(|error| lost(error.into()))?;
        {
            let mut write = write.lock().await;
            if !is_greeted {
                let version = if request.keep.is_some() { VERSION_DURABLE } else { VERSION };
                write.feed(Frame::Hello(version)).await.map_err(lost)?;
            }
            match write.send(Frame::Exec(json.into())).await {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(ExecError::Command { message: error.to_string(), code: 126 });
                }
                sent => sent.map_err(lost)?,
            }
        }
        let began = |read, attached, under_way: u64| {
            let under_way = usize::try_from(under_way).unwrap_or(WINDOW);
            let window = Arc::new(Semaphore::new(WINDOW.saturating_sub(under_way)));
            let stdin = Stdin { frames: write, window: window.clone(), silence };
            Self { events: Messages { frames: read, window, silence, is_refused: false }, stdin, attached }
        };
        let answer = loop {
            match read.next().await {
                // Said to the task before.
                Some(Ok(Frame::Pong | Frame::StdinTaken(_))) => {}
                answer => break answer,
            }
        };
        match answer {
            Some(Ok(Frame::Started)) => Ok(began(read, None, 0)),
            Some(Ok(Frame::Attached(received, taken))) => {
                Ok(began(read, Some(received), received.saturating_sub(taken)))
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

    /// Feeds the task all of its input, and reads what it says. `keep` lives as long as that; `result` gets the result file. `after`
    /// gets the connection once the task has exited, unless some of its input is under way.
    pub fn run<K: Send + 'static>(
        self,
        input: Bytes,
        keep: K,
        mut result: impl FnMut(Result<Bytes, String>) + Send + 'static,
        after: impl FnOnce(Connection, K) + Send + 'static,
    ) -> Running {
        let Self { mut events, mut stdin, .. } = self;
        let (ended, end) = oneshot::channel();
        let output = async_stream::stream! {
            let write = stdin.frames.clone();
            let mut fed = false;
            let end = {
                let alive = stdin.clone();
                let alive = alive.stay_alive();
                tokio::pin!(alive);
                let feed = async {
                    // A task that ends without reading all of it is no error; the events report how it ends.
                    if stdin.send(input).await.is_ok() {
                        let _ = stdin.finish().await;
                    }
                };
                tokio::pin!(feed);
                loop {
                    let event = tokio::select! {
                        biased;
                        () = &mut feed, if !fed => {
                            fed = true;
                            continue;
                        }
                        never = &mut alive => match never {},
                        event = events.next() => event,
                    };
                    match event {
                        Message::Output(output) => yield output,
                        Message::Result(file) => result(file),
                        Message::End(end) => break end,
                    }
                }
            };
            if fed && matches!(end, TaskEnd::Exited(_)) {
                let Messages { frames: read, silence, .. } = events;
                after(Connection { read, write, silence, is_greeted: true }, keep);
            }
            let _ = ended.send(end);
        };
        Running::new(output.boxed(), end)
    }
}

impl Messages {
    /// The next one. After `End` there is none; asking again gives `End(Lost)`.
    pub async fn next(&mut self) -> Message {
        loop {
            let frame = match self.silence {
                None => self.frames.next().await,
                Some(silence) => match tokio::time::timeout(silence, self.frames.next()).await {
                    Ok(frame) => frame,
                    Err(_) => {
                        let why = format!("the worker said nothing for {} s", silence.as_secs());
                        return Message::End(TaskEnd::Lost(why));
                    }
                },
            };
            match frame {
                Some(Ok(Frame::Pong)) => {}
                Some(Ok(Frame::Result(file))) => return Message::Result(file),
                Some(Ok(Frame::Stdout(data))) => return Message::Output(Output::Stdout(data)),
                Some(Ok(Frame::Stderr(data))) => return Message::Output(Output::Stderr(data)),
                Some(Ok(Frame::StdinTaken(count))) => self.window.add_permits(count as usize),
                Some(Ok(Frame::Refused(json))) => {
                    self.is_refused = true;
                    let why = refusal(&json).map_or_else(|error| error.to_string(), |refusal| refusal.message);
                    return Message::End(TaskEnd::Lost(why));
                }
                Some(Ok(Frame::Exited(code))) => return Message::End(TaskEnd::Exited(code)),
                Some(Err(error)) => return Message::End(TaskEnd::Lost(format!("contact with the worker: {error}"))),
                Some(Ok(_)) => return Message::End(TaskEnd::Lost("the worker uses another protocol".to_owned())),
                None => return Message::End(TaskEnd::Lost("the worker ended while the task ran".to_owned())),
            }
        }
    }
}

impl Messages {
    /// True if the worker ended the connection itself, with a reason: it is of no use to attach again.
    pub const fn is_refused(&self) -> bool {
        self.is_refused
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
            self.frames.lock().await.send(Frame::Stdin(piece)).await?;
        }
        Ok(())
    }

    /// Says that there is no more.
    ///
    /// # Errors
    /// When the worker is no longer reached.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.frames.lock().await.send(Frame::StdinEnd).await
    }

    /// Says how many bytes of standard output and standard error are safe here. The worker may forget them.
    ///
    /// # Errors
    /// When the worker is no longer reached.
    pub async fn have(&self, bytes: [u64; 2]) -> io::Result<()> {
        self.frames.lock().await.send(Frame::Have(bytes)).await
    }

    /// Says that the end is known, and the worker may forget the task.
    ///
    /// # Errors
    /// When the worker is no longer reached.
    pub async fn release(&self) -> io::Result<()> {
        self.frames.lock().await.send(Frame::Release).await
    }

    /// Says often enough that this side is there. Does not end.
    pub async fn stay_alive(&self) -> std::convert::Infallible {
        let Some(silence) = self.silence else { return std::future::pending().await };
        loop {
            tokio::time::sleep(silence / PINGS).await;
            // If it cannot be sent, the events report that contact is lost.
            let _ = self.frames.lock().await.send(Frame::Ping).await;
        }
    }
}

/// Runs tasks in workers of the Process runtime. All that it needs is in the target.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessExecutor;

#[async_trait]
impl Executor for ProcessExecutor {
    async fn exec(&self, target: &Target, task: Task) -> Result<Running, ExecError> {
        let request =
            ExecRequest { argv: task.argv, env: task.env, working_dir: task.working_dir, ..ExecRequest::default() };
        Ok(Session::start(Path::new(&target.id), &request).await?.run(task.stdin, (), drop, |_, ()| {}))
    }

    async fn result_path(&self, target: &Target, dispatch: &str, attempt: i32) -> Result<String, ExecError> {
        let path = results(target)?.join(result_name(dispatch, attempt));
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, &error)),
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
        match result_file::take(&path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, &error)),
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

fn failed(path: &Path, error: &io::Error) -> ExecError {
    ExecError::Worker(format!("result file {}: {error}", path.display()))
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
