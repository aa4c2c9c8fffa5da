//! The helper in a Pod: one task, whose client is at the other end of an exec in the worker's container.
//!
//! An exec has no environment of its own, shows its words to the audit log and outlives its client. So it runs this program,
//! and all of the task travels inside: command, environment, input, output, result. The task ends with its client, unless the client
//! asks for a task that outlives it: then it belongs to a [`keeper`].

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures::StreamExt;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::container::{TMP, tmp, worker};
use super::{keeper, task};
use crate::runtime::process::protocol::{Codec, ExecRequest, Frame, SILENCE};
use crate::runtime::process::system;

/// Name of the program in its directory.
pub const PROGRAM: &str = "poolkeeper";

/// Runs one task. To be called outside of any async runtime, before any thread is started.
#[allow(clippy::disallowed_methods)] // A program of its own, with its own output.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "poolkeeper task: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Copies this program into a directory, for other containers of the Pod, and makes a directory for temporary files there.
///
/// # Errors
/// It cannot be written.
pub fn install(dir: &Path) -> io::Result<()> {
    let program = dir.join(PROGRAM);
    fs::copy(std::env::current_exe()?, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let tmp = dir.join(TMP);
    match fs::create_dir(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // As /tmp is: any user may write, and remove only what is their own.
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777))
}

fn run() -> io::Result<()> {
    system::adopt_orphans()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(tmp()?));
    // A thread may sit in a read of standard input that never returns.
    runtime.shutdown_background();
    ended
}

#[allow(clippy::disallowed_methods)] // Its standard streams are the connection.
async fn serve(tmp: PathBuf) -> io::Result<()> {
    let (mut read, mut write) =
        (FramedRead::new(tokio::io::stdin(), Codec), FramedWrite::new(tokio::io::stdout(), Codec));
    if !task::greets(&mut read, &mut write).await {
        return Ok(());
    }
    let Some(Ok(Frame::Exec(request))) = read.next().await else { return Ok(()) };
    match serde_json::from_slice(&request) {
        Ok(ExecRequest { keep: Some(keep), .. }) => keeper::front::serve(&tmp, &keep, request, read, write).await,
        _ => task::serve(worker(&tmp)?, read, write, &request, Some(SILENCE)).await,
    }
    Ok(())
}
