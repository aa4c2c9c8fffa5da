//! What a client of a task that outlives it talks to: it starts the keeper, or finds the one that is there, and passes frames on.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::files::{LISTENS, marker, socket};
use crate::runtime::process::protocol::{Codec, Frame, Keep, Refusal, SILENCE, VERSION_DURABLE, connect};
use crate::runtime::process::shim::task::within;

/// How long a keeper may take to listen, and to end after the last word.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two looks for its socket.
const PAUSE: Duration = Duration::from_millis(50);

/// Passes on what a client and the keeper of its task say, until one of them has gone.
pub async fn serve<R, W>(
    tmp: &Path,
    keep: &Keep,
    request: Bytes,
    mut input: FramedRead<R, Codec>,
    mut output: FramedWrite<W, Codec>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (mut keeper, connection) = match reach(tmp, keep).await {
        Ok(found) => found,
        Err(error) => return refuse(&mut output, error.to_string()).await,
    };
    let (read, write) = connection.into_split();
    let (mut from, mut to) = (FramedRead::new(read, Codec), FramedWrite::new(write, Codec));
    let begun = async {
        to.feed(Frame::Hello(VERSION_DURABLE)).await?;
        to.send(Frame::Exec(request)).await
    };
    if let Err(error) = begun.await {
        return refuse(&mut output, error.to_string()).await;
    }
    let up = async {
        while let Some(Ok(frame)) = within(Some(SILENCE), input.next()).await.flatten() {
            if to.send(frame).await.is_err() {
                break;
            }
        }
    };
    let mut is_over = false;
    let down = async {
        while let Some(Ok(frame)) = from.next().await {
            is_over |= matches!(frame, Frame::Exited(_) | Frame::Refused(_));
            if output.send(frame).await.is_err() {
                return false;
            }
        }
        true
    };
    let keeper_has_gone = tokio::select! {
        biased;
        () = up => false,
        gone = down => gone,
    };
    if keeper_has_gone {
        if !is_over {
            // It serves one client, the newest.
            refuse(&mut output, "another client has attached to the task, or its keeper was killed".to_owned()).await;
        }
        if let Some(keeper) = &mut keeper {
            let _ = within(Some(PATIENCE), keeper.wait()).await;
        }
    }
}

/// Connects to the keeper of a task. It is started once for each key.
async fn reach(tmp: &Path, keep: &Keep) -> io::Result<(Option<Child>, UnixStream)> {
    if !keep.is_valid() {
        return Err(io::Error::other(format!("{:?} is no key of a task", keep.key)));
    }
    let file: io::Result<File> =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(marker(tmp, &keep.key));
    let keeper = match file {
        Ok(_) => Some(start(&keep.key).await?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
        Err(error) => return Err(io::Error::other(format!("{}: {error}", tmp.display()))),
    };
    let socket = socket(tmp, &keep.key);
    let looking = async {
        loop {
            match connect(&socket).await {
                Ok(connection) => return connection,
                // Another client is starting the keeper just now.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    let found = within(Some(PATIENCE), looking).await;
    let over = || io::Error::other("the task has no keeper any more: it was ended, because no client came in time");
    Ok((keeper, found.ok_or_else(over)?))
}

async fn start(key: &str) -> io::Result<Child> {
    let mut program = Command::new(std::env::current_exe()?);
    program.args(["task", "--keeper", key]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut keeper = program.spawn()?;
    let mut said = String::new();
    if let Some(stdout) = &mut keeper.stdout {
        let _ = within(Some(PATIENCE), stdout.read_to_string(&mut said)).await;
    }
    if said == LISTENS { Ok(keeper) } else { Err(io::Error::other(format!("the task has no keeper: {said}"))) }
}

async fn refuse<W: AsyncWrite + Unpin>(output: &mut FramedWrite<W, Codec>, message: String) {
    let json = serde_json::to_vec(&Refusal { code: 126, message, passing: true }).unwrap_or_default();
    let _ = output.send(Frame::Refused(json.into())).await;
}
