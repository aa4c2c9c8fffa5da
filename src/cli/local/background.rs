//! The server without a terminal: how it is started, when it is ready, and its log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::server;
use crate::cli::exit::{Exit, Failure};
use crate::standalone::resident::DockerHost;
use crate::standalone::resident::home::Home;
use crate::standalone::resident::requests::ServerStatus;

/// How long a server may take until it is ready. A store of 100 MB takes about a second.
const READY: Duration = Duration::from_mins(2);
/// The pause between two looks whether it is ready.
const PAUSE: Duration = Duration::from_millis(25);
/// The size above which a log is put aside. One that was put aside before goes.
const LOG: u64 = 8 * 1024 * 1024;
/// The time between two looks at its size.
const LOOK: Duration = Duration::from_secs(10);

/// Starts a server in the background, and waits until it is ready.
///
/// # Errors
/// It ended, for the reason that it gives.
pub(super) async fn start(
    home: &Home,
    port: Option<u16>,
    docker: Option<&DockerHost>,
) -> Result<ServerStatus, Failure> {
    let failed = |e: io::Error| Failure::poolkeeper("starting the server", e);
    home.make().map_err(|e| Failure::new(Exit::Failed, format!("the directory {}: {e}", home.path().display())))?;
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(home.log()).map_err(failed)?;
    let before = log.metadata().map_err(failed)?.len();
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["local", "up", "--foreground", "--detach"]);
    if let Some(port) = port {
        command.args(["--port", &port.to_string()]);
    }
    if let Some(host) = docker {
        command.args(["--docker-host", &host.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    let mut child = command.spawn().map_err(failed)?;
    let ready = async {
        loop {
            let ended = child.try_wait().map_err(failed)?;
            // It may be another one, which was started at the same time. Then the own one ends, and this waits for that: it would
            // become the server of a directory that is purged before it has looked.
            if home.holder().is_some() {
                if let Ok(status) = server::status(home).await
                    && (status.pid == child.id() || ended.is_some())
                {
                    return Ok(status);
                }
            } else if let Some(ended) = ended {
                return Err(why(home, before, ended.code()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let late = |_| Err(server::unreachable(home, "it is not ready after 2 minutes"));
    tokio::time::timeout(READY, ready).await.unwrap_or_else(late)
}

/// Why a server ended: the last message in its log since it was started.
fn why(home: &Home, before: u64, code: Option<i32>) -> Failure {
    let mut said = String::new();
    let read = File::open(home.log()).and_then(|mut log| {
        log.seek(SeekFrom::Start(before))?;
        log.read_to_string(&mut said)
    });
    let message = said.rsplit_once("poolkeeper: ").map(|(_, message)| message.trim_end().replace("\n  ", "\n"));
    let message = message.filter(|_| read.is_ok());
    let message = message.unwrap_or_else(|| format!("the server ended at once; its log is {}", home.log().display()));
    let exits = [Exit::Usage, Exit::NotFound, Exit::Conflict, Exit::Unreachable, Exit::Forbidden, Exit::Poolkeeper];
    let exit = exits.into_iter().find(|exit| Some(i32::from(exit.code())) == code);
    Failure::new(exit.unwrap_or(Exit::Failed), message)
}

/// Keeps the log of this process small, for as long as it is polled.
pub(super) async fn bound_log(home: Home) {
    loop {
        tokio::time::sleep(LOOK).await;
        // Its writers append, so they go on at the beginning. What they write in between is lost.
        if fs::metadata(home.log()).is_ok_and(|log| log.len() > LOG) && fs::copy(home.log(), home.old_log()).is_ok() {
            let _ = OpenOptions::new().write(true).open(home.log()).and_then(|log| log.set_len(0));
        }
    }
}
