//! Running a task in a container by the engine's exec.
//!
//! The engine cannot be asked to attach to an exec again, nor to end one. A stream that breaks is a task that is lost.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{ExecConfig, ExecInspectResponse};
use bollard::query_parameters::EventsOptionsBuilder;
use bytes::BytesMut;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::engine_error::EngineError;
use super::host::Host;
use crate::runtime::exec::{ExecError, Output, Running, Task, TaskEnd};

/// Bytes read from the engine at a time. What the task's reader does not take stays in the engine's pipes.
const READ_BYTES: usize = 64 * 1024;
/// First pause between two looks at an exec; doubles.
const MIN_PAUSE: Duration = Duration::from_millis(4);
/// Longest pause while waiting for a start, and the first one: to start a process takes the engine 20 ms and more, and if nothing
/// was printed and nothing has ended since, no reader waits for the answer. Of a short task one look tells both start and end.
const MAX_START_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause while waiting for the end of a task that closed its output long before.
const MAX_END_PAUSE: Duration = Duration::from_secs(1);
/// Looks at an exec that neither runs nor failed although its output has ended, before it counts as lost.
const MAX_LOOKS: u32 = 100;
/// How long the engine may take to see that a container ended whose processes are all gone.
const DEATH_WAIT: Duration = Duration::from_secs(10);
/// A program that is in no image.
const NO_PROGRAM: &str = "/.poolkeeper/no-such-program";
/// What is said of a container that takes no command because it is paused.
const PAUSED: &str = "its container is paused: the worker rests, and spec.rateLimit.pause of its pool is true; it goes on when the \
                      rest is over, or after `poolkeeper cooldown WORKER --clear`";
/// A process that was killed by SIGKILL.
const KILLED: i32 = 137;
/// What the engine also says of an exec when it cannot write to its client any more.
const NOT_EXECUTABLE: i32 = 126;
/// How long a task may run on after its output ended. Longer, and the stream was cut, by something in between that makes
/// of it an end like any other, rather than closed by the task.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the engine may take to announce an exit that it has already reported in an answer.
const ANNOUNCEMENT: Duration = Duration::from_secs(2);

type Frames = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// An exec that has begun.
struct Begun {
    id: String,
    /// What was read while waiting for the start.
    first: Option<LogOutput>,
    frames: Frames,
    /// Ends the writing of the input when dropped.
    writer: Option<AbortOnDropHandle<()>>,
    /// Its exit code, if it had ended when it was seen to have started.
    code: Option<i32>,
    /// Why nothing more will be heard of it.
    lost: Option<String>,
}

/// Standard input of a task, as it comes.
pub type Input = Pin<Box<dyn AsyncRead + Send>>;

/// Runs `task` in the container. See [`crate::runtime::exec::Executor::exec`]. `input` goes before the task's own.
pub(super) async fn exec(
    host: Arc<Host>,
    container: String,
    mut task: Task,
    input: Option<Input>,
) -> Result<Running, ExecError> {
    let docker = host.docker().await.map_err(|e| ExecError::Worker(e.to_string()))?;
    let bytes = std::mem::take(&mut task.stdin);
    let own = || (!bytes.is_empty()).then(|| -> Input { Box::pin(std::io::Cursor::new(bytes)) });
    let begun = begin(&host, &docker, &container, task, input.or_else(own)).await?;
    let (ended, end) = oneshot::channel();
    let exec = Exec { host, docker, id: begun.id.clone(), container, code: begun.code };
    Ok(Running { output: output(begun, ended), end: exec.end(end) })
}

/// Creates and starts an exec, and waits until its process runs, or is known not to.
async fn begin(
    host: &Host,
    docker: &Docker,
    container: &str,
    task: Task,
    stdin: Option<Input>,
) -> Result<Begun, ExecError> {
    if task.argv.is_empty() {
        return Err(ExecError::Command { message: "no command was given".to_owned(), code: 127 });
    }
    let config = ExecConfig {
        attach_stdin: Some(stdin.is_some()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        env: Some(task.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        cmd: Some(task.argv),
        working_dir: task.working_dir,
        ..ExecConfig::default()
    };
    let id = docker.create_exec(container, config).await.map_err(|e| match host.error(&e) {
        // What the engine says of the request itself, like a variable without a name.
        EngineError::Answer { status: 400, message } => ExecError::Command { message, code: 126 },
        EngineError::Answer { status: 409, message } if message.contains(" is paused") => {
            ExecError::Worker(PAUSED.to_owned())
        }
        error => ExecError::Worker(error.to_string()),
    })?;
    let options = StartExecOptions { output_capacity: Some(READ_BYTES), ..StartExecOptions::default() };
    let (frames, input) = match docker.start_exec(&id.id, Some(options)).await.map_err(|e| host.error(&e)) {
        Ok(StartExecResults::Attached { output, input }) => (output, Some(input)),
        Err(EngineError::Answer { message, .. }) => return Err(not_started(&message)),
        Err(EngineError::NoConnection(why)) => return Err(ExecError::Worker(why)),
        // It may have started.
        Ok(StartExecResults::Detached) => return Ok(lost(id.id, "the engine did not attach to it".to_owned())),
        Err(EngineError::NoAnswer(why)) => return Ok(lost(id.id, why)),
    };
    let writer = input.zip(stdin);
    let writer = writer.map(|(input, stdin)| AbortOnDropHandle::new(tokio::spawn(write(input, stdin))));
    let begun = Begun { id: id.id, first: None, frames, writer, code: None, lost: None };
    begun.started(host, docker).await
}

fn lost(id: String, why: String) -> Begun {
    Begun { id, first: None, frames: Box::pin(futures::stream::empty()), writer: None, code: None, lost: Some(why) }
}

/// Writes all, then closes: the task sees the end of its input. A task may close it first.
async fn write(mut input: Pin<Box<dyn AsyncWrite + Send>>, mut stdin: Input) {
    // An input that cannot be read ends there.
    if copy(&mut stdin, &mut input).await.is_ok() {
        let _ = input.shutdown().await;
    }
    // Dropping it closes nothing: the other half of the connection is still read from.
}

/// Copies piece by piece, without waiting for more than there is.
async fn copy(from: &mut Input, to: &mut Pin<Box<dyn AsyncWrite + Send>>) -> std::io::Result<()> {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    while from.read_buf(&mut buffer).await.unwrap_or_default() > 0 {
        to.write_all(&buffer).await?;
        to.flush().await?;
        buffer.clear();
    }
    Ok(())
}

impl Begun {
    /// The engine attaches first and starts then, and sends why it could not as if it were output. Only the pid tells. The
    /// engine is asked once something came, or nothing for a while.
    async fn started(mut self, host: &Host, docker: &Docker) -> Result<Self, ExecError> {
        let (mut pause, mut ended, mut looks) = (MAX_START_PAUSE, false, 0);
        loop {
            tokio::select! {
                biased;
                frame = self.frames.next(), if self.first.is_none() && !ended => {
                    match frame {
                        Some(Ok(frame)) => self.first = Some(frame),
                        // A stream that broke says no more when it is read again: this is for the looks to tell.
                        Some(Err(_)) | None => ended = true,
                    }
                    pause = MIN_PAUSE;
                }
                () = tokio::time::sleep(pause) => pause = (2 * pause).min(MAX_START_PAUSE),
            }
            match docker.inspect_exec(&self.id).await.map_err(|e| host.error(&e)) {
                Ok(exec) if exec.pid.unwrap_or_default() > 0 => {
                    self.code = code_of(&exec);
                    return Ok(self);
                }
                Ok(exec) if code_of(&exec).is_some() => return Err(not_started(&self.words().await)),
                Ok(_) if ended && looks >= MAX_LOOKS => {
                    self.lost = Some(format!("the Docker Engine at {} does not say whether it ran", host.endpoint));
                    return Ok(self);
                }
                Ok(_) => looks += u32::from(ended),
                // As long as the stream is open, its engine has the exec, whichever engine answered here. The look at its end
                // tells whether it ever started.
                Err(_) if !ended => return Ok(self),
                Err(error) => {
                    self.lost = Some(error.to_string());
                    return Ok(self);
                }
            }
        }
    }

    /// All that comes from it: the engine's words, if it was not started.
    async fn words(&mut self) -> String {
        let mut words = BytesMut::new();
        let mut next = self.first.take();
        loop {
            if let Some(frame) = next {
                words.extend_from_slice(frame.as_ref());
            }
            next = match self.frames.next().await {
                Some(Ok(frame)) => Some(frame),
                _ => return String::from_utf8_lossy(&words).trim_end().to_owned(),
            }
        }
    }
}

/// The exit code of one that has ended.
fn code_of(exec: &ExecInspectResponse) -> Option<i32> {
    let code = exec.exit_code.filter(|_| exec.running == Some(false))?;
    Some(i32::try_from(code).unwrap_or_default())
}

/// Whether it was the command's fault, from the words of runc or crun; the engine gives one code for all.
fn not_started(words: &str) -> ExecError {
    let lower = words.to_lowercase();
    let directory = lower.contains("chdir");
    let command = lower.contains("exec: \"") || lower.contains("executable file");
    if !directory && !command && !lower.contains("permission denied") {
        return ExecError::Worker(words.to_owned());
    }
    let missing = ["not found", "no such file"].iter().any(|words| lower.contains(words));
    ExecError::Command { message: words.to_owned(), code: if missing && !directory { 127 } else { 126 } }
}

/// The two streams, piece by piece, as they are asked for.
fn output(mut begun: Begun, ended: oneshot::Sender<Result<(), String>>) -> BoxStream<'static, Output> {
    Box::pin(async_stream::stream! {
        let mut next = begun.first.take().map(Ok);
        let end = loop {
            let frame = match next.take() {
                Some(frame) => Some(frame),
                None => begun.frames.next().await,
            };
            match frame {
                Some(Ok(LogOutput::StdOut { message })) => yield Output::Stdout(message),
                Some(Ok(LogOutput::StdErr { message })) => yield Output::Stderr(message),
                // Our own input is not echoed; what has no header is the rest of a frame that was cut off.
                Some(Ok(LogOutput::StdIn { .. } | LogOutput::Console { .. })) => {
                    break Err("its output was cut off".to_owned());
                }
                Some(Err(error)) => break Err(format!("its output broke off: {error}")),
                None => break Ok(()),
            }
        };
        drop(begun.writer.take());
        // There is no receiver if the task's end is of no interest.
        let _ = ended.send(begun.lost.take().map_or(end, Err));
    })
}

/// Where an exec is.
struct Exec {
    host: Arc<Host>,
    docker: Docker,
    id: String,
    container: String,
    /// Its exit code, if that is known already.
    code: Option<i32>,
}

impl Exec {
    fn end(self, output: oneshot::Receiver<Result<(), String>>) -> BoxFuture<'static, TaskEnd> {
        Box::pin(async move {
            match output.await {
                Ok(Ok(())) => self.ended().await.unwrap_or_else(|why| TaskEnd::Lost(why.to_string())),
                Ok(Err(why)) => TaskEnd::Lost(why),
                Err(_) => TaskEnd::hung_up(),
            }
        })
    }

    /// How it ended, now that its output has. The engine may learn of the exit later, and a task may run on after
    /// closing its output.
    async fn ended(&self) -> Result<TaskEnd, EngineError> {
        let answered = AtomicBool::new(false);
        let Ok(code) = tokio::time::timeout(SILENCE, self.code(&answered)).await else {
            let endpoint = &self.host.endpoint;
            let (seconds, name) = (SILENCE.as_secs(), &self.host.name);
            return Ok(TaskEnd::Lost(match answered.into_inner() {
                true => {
                    format!("its output ended {seconds} s ago, but the Docker Engine at {endpoint} says that it runs")
                }
                false => format!("the Docker Engine at {endpoint} (host {name}) did not answer for {seconds} s"),
            }));
        };
        let code = code?;
        if code == NOT_EXECUTABLE && !self.exited_with(code).await? {
            return Ok(TaskEnd::Lost("the Docker Engine lost contact with its client while the task ran".to_owned()));
        }
        let died = match code {
            KILLED => self.died_with_the_container().await?,
            _ => !self.container_lives().await?,
        };
        Ok(if died {
            TaskEnd::Lost(format!("container {} ended while the task ran in it", self.container))
        } else {
            TaskEnd::Exited(code)
        })
    }

    /// Waits for the exit code. `answered` is set once the engine says that there is none yet.
    async fn code(&self, answered: &AtomicBool) -> Result<i32, EngineError> {
        if let Some(code) = self.code {
            return Ok(code);
        }
        let mut pause = MIN_PAUSE;
        loop {
            let exec = self.docker.inspect_exec(&self.id).await.map_err(|e| self.host.error(&e))?;
            match code_of(&exec) {
                Some(code) if exec.pid.unwrap_or_default() > 0 => return Ok(code),
                Some(_) => {
                    let endpoint = &self.host.endpoint;
                    let message = format!("the Docker Engine at {endpoint} says that the command never started");
                    return Err(EngineError::NoAnswer(message));
                }
                None => {}
            }
            answered.store(true, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(MAX_END_PAUSE);
        }
    }

    /// True if the process itself ended so: only then has the engine announced it. Where something between us and the
    /// engine cuts the stream, it gives the exec this code and lets the process run on.
    async fn exited_with(&self, code: i32) -> Result<bool, EngineError> {
        let filters = HashMap::from([("event", vec!["exec_die"]), ("container", vec![self.container.as_str()])]);
        let options = EventsOptionsBuilder::default().since("1").filters(&filters).build();
        let mut events = std::pin::pin!(self.docker.events(Some(options)));
        let announced = async {
            while let Some(event) = events.next().await {
                let event = event.map_err(|e| self.host.error(&e))?;
                let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
                if attributes.get("execID") == Some(&self.id) {
                    return Ok(attributes.get("exitCode") == Some(&code.to_string()));
                }
            }
            Ok(false)
        };
        tokio::time::timeout(ANNOUNCEMENT, announced).await.unwrap_or(Ok(false))
    }

    async fn container_lives(&self) -> Result<bool, EngineError> {
        match self.docker.inspect_container(&self.container, None).await.map_err(|e| self.host.error(&e)) {
            Ok(found) => Ok(found.state.and_then(|state| state.running).unwrap_or_default()),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// When a container's first process ends, the kernel kills the others before it lets the first be reaped: a task
    /// that died with its container is always seen to end before the container is. So of a killed one the kernel is
    /// asked: where nothing can be started any more, not even to learn that the program is missing, it was the end.
    async fn died_with_the_container(&self) -> Result<bool, EngineError> {
        if !self.container_lives().await? {
            return Ok(true);
        }
        let probe = Task { argv: vec![NO_PROGRAM.to_owned()], ..Task::default() };
        if let Err(ExecError::Command { message, .. }) =
            begin(&self.host, &self.docker, &self.container, probe, None).await
            && message.contains(NO_PROGRAM)
        {
            return Ok(false);
        }
        let death = async {
            let mut pause = MIN_PAUSE;
            while self.container_lives().await? {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(MAX_END_PAUSE);
            }
            Ok(true)
        };
        // One that refuses execs and lives on, like a paused one: whether the task was ended by it is not known.
        tokio::time::timeout(DEATH_WAIT, death).await.unwrap_or(Ok(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(words: &str) -> Option<i32> {
        match not_started(words) {
            ExecError::Command { code, message } => {
                assert_eq!(message, words);
                Some(code)
            }
            ExecError::Worker(_) => None,
        }
    }

    #[test]
    fn the_words_of_runc_and_crun_tell_what_was_wrong() {
        let runc = "OCI runtime exec failed: exec failed: unable to start container process: ";
        let of = |rest: &str| code(&format!("{runc}{rest}: unknown"));
        assert_eq!(of(r#"exec: "nope": executable file not found in $PATH"#), Some(127));
        assert_eq!(of(r#"exec: "/nope": stat /nope: no such file or directory"#), Some(127));
        assert_eq!(of(r#"exec: "/etc/passwd": permission denied"#), Some(126));
        assert_eq!(of(r#"chdir to cwd ("/nope") set in config.json failed: no such file or directory"#), Some(126));
        assert_eq!(code("crun: executable file `nope` not found in $PATH: No such file or directory"), Some(127));
        assert_eq!(code("cannot exec in a stopped container: unknown"), None);
        assert_eq!(code("task 4be1 not found: not found"), None);
        assert_eq!(code("container 4be1 is not running"), None);
    }
}
