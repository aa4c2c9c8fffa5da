//! An engine by the `ssh` of this machine: its user's configuration, agent and known hosts hold.
//!
//! As `docker` does it: `ssh HOST docker system dial-stdio`, whose standard input and output are the connection.

use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio_util::task::AbortOnDropHandle;

use super::limits::{CONNECT, KEEP_ALIVE, MISSING, Problem};
use crate::runtime::docker::endpoint::Ssh;

/// How much is stored of the end of what ssh says.
const TAIL: usize = 2048;
/// How long ssh may take to end after it closed the connection.
const END: Duration = Duration::from_secs(2);
/// The exit code of a shell that does not find the program.
const NOT_FOUND: i32 = 127;

/// A running ssh.
pub(super) struct SshStream {
    /// None: nothing more is written.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// How it ended; None once that was read. Kills it when dropped.
    end: Option<AbortOnDropHandle<io::Result<ExitStatus>>>,
    said: Arc<Mutex<Vec<u8>>>,
}

/// Starts ssh. It connects while the first bytes are waited for.
pub(super) fn connect(place: &Ssh) -> Result<SshStream, Problem> {
    let mut command = Command::new("ssh");
    // A question would wait for an answer for ever.
    command.args(["-T", "-o", "BatchMode=yes", "-o", &format!("ConnectTimeout={}", CONNECT.as_secs())]);
    command.args(["-o", &format!("ServerAliveInterval={}", KEEP_ALIVE.as_secs())]);
    command.args(["-o", &format!("ServerAliveCountMax={MISSING}")]);
    command.args(place.user.iter().flat_map(|user| ["-l", user]));
    command.args(place.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
    command.args(["--", &place.host, "docker"]);
    command.args(place.socket.iter().map(|socket| format!("--host=unix://{socket}")));
    command.args(["system", "dial-stdio"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C in this terminal is for Poolkeeper, which lets tasks end first.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| {
        Problem(match error.kind() {
            io::ErrorKind::NotFound => "the program `ssh` is not on the PATH; install the client of OpenSSH".to_owned(),
            _ => format!("ssh cannot be started: {error}"),
        })
    })?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Problem("ssh cannot be started: it has no output".to_owned()));
    };
    let (stdin, said) = (child.stdin.take(), Arc::<Mutex<Vec<u8>>>::default());
    tokio::spawn(listen(stderr, said.clone()));
    let end = AbortOnDropHandle::new(tokio::spawn(async move { child.wait().await }));
    Ok(SshStream { stdin, stdout, end: Some(end), said })
}

async fn listen(mut stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut piece = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut piece).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(piece.get(..count).unwrap_or_default());
        let over = said.len().saturating_sub(TAIL);
        said.drain(..over);
    }
}

impl SshStream {
    fn words(&self) -> String {
        let said = String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
        let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        // Neither a warning about keys nor a frame of signs is a reason.
        let lines: Vec<&str> = lines.filter(|line| !line.starts_with("Warning:") && !line.contains("@@@@")).collect();
        lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ")
    }

    /// Why no connection came about, from what ssh said and how it ended.
    pub(super) async fn explain(mut self, place: &Ssh, error: io::Error) -> io::Error {
        drop(self.stdin.take());
        let status = match self.end.take() {
            Some(end) => tokio::time::timeout(END, end).await.ok().and_then(Result::ok).and_then(Result::ok),
            None => None,
        };
        let said = self.words();
        let whole = String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
        if status.is_none() && said.is_empty() {
            return error;
        }
        let (login, host) = (place.login(), &place.host);
        Problem(if whole.contains("IDENTIFICATION HAS CHANGED") {
            format!("the host key of {host} is not the one that ssh knows: find out why before you accept it ({said})")
        } else if whole.contains("Host key verification failed") {
            format!("ssh does not know the host key of {host}: run `{login}` once, and compare it ({said})")
        } else if whole.contains("Permission denied (") {
            format!("{host} refuses the login: `{login}` must work without a password; `ssh-add -l` lists the keys of the agent ({said})")
        } else if status.and_then(|status| status.code()) == Some(NOT_FOUND) {
            format!("`docker` is not on the PATH of {host}; install it there ({said})")
        } else if said.is_empty() {
            format!("ssh ended without a word; try `{login} docker version`")
        } else {
            format!("ssh says: {said}")
        })
        .into()
    }
}

impl AsyncRead for SshStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.remaining();
        ready!(Pin::new(&mut self.stdout).poll_read(cx, buf))?;
        if buf.remaining() < before || before == 0 {
            return Poll::Ready(Ok(()));
        }
        // An end of the output is that of the connection only if ssh confirms it. Otherwise something was cut off.
        let Some(end) = &mut self.end else { return Poll::Ready(Ok(())) };
        let ended = ready!(end.poll_unpin(cx));
        self.end = None;
        match ended {
            Ok(Ok(status)) if status.success() => Poll::Ready(Ok(())),
            Ok(Ok(status)) => {
                Poll::Ready(Err(io::Error::other(format!("ssh lost its connection ({status}): {}", self.words()))))
            }
            Ok(Err(error)) => Poll::Ready(Err(error)),
            Err(error) => Poll::Ready(Err(io::Error::other(error.to_string()))),
        }
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, data),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes standard input: nothing else tells the other side that no more comes.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        drop(self.stdin.take());
        Poll::Ready(Ok(()))
    }
}
