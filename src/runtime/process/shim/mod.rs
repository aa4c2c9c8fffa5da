//! The shim: the process that is a worker.
//!
//! It has a session of its own and is the subreaper of all that it starts, so nothing that runs in the worker can
//! leave its tree, and a worker in which no child is left is empty for certain. It reads its setup from
//! standard input, where no other process sees a credential, and writes to standard output whether it could
//! start. Then it listens on its socket until one of three things ends it: its command ended, it got SIGTERM, or no
//! controller was connected for a while.

pub mod by_mark;
mod child;
mod container;
pub mod in_pod;
pub mod keeper;
mod reaper;
mod tail;
mod task;

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::limits;
use super::procfs::ProcessId;
use super::protocol::{Codec, Frame};
use super::record::{Record, WorkerDir};
use super::system;
use crate::runtime::Exit;
use crate::runtime::credentials::{Login, Secret};
use child::Worker;
use reaper::Reaper;
use tail::Tail;

/// What a shim needs to know. It comes on standard input; it holds the credential, so it has no `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Setup {
    /// Program and arguments of the worker. Empty: the worker is the shim alone.
    pub argv: Vec<String>,
    /// Variables for all that runs in the worker.
    pub env: Vec<(String, String)>,
    /// The variable of the credential. Its value must not show in what is reported of the output.
    pub credential: Option<SecretVariable>,
    /// The directory with a login that the worker has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<HeldLogin>,
    /// Working directory of all that runs in the worker.
    pub working_dir: PathBuf,
    /// How long to live without a controller, in milliseconds.
    pub owner_grace_ms: u64,
    /// Time between SIGTERM and SIGKILL, in milliseconds.
    pub kill_grace_ms: u64,
    /// How many files all that runs in the worker may have open, unless it asks for more. None: as many as this process.
    pub open_files: Option<u64>,
}

/// A directory with a login. The shim holds it for as long as the worker lives, against other installations too.
#[derive(Serialize, Deserialize)]
pub struct HeldLogin {
    /// The directory.
    pub path: PathBuf,
    /// True if no other worker may have it.
    pub alone: bool,
}

/// A variable with a credential.
#[derive(Serialize, Deserialize)]
pub struct SecretVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(serialize_with = "exposed", deserialize_with = "hidden")]
    pub value: Secret,
    /// The path of a file that has the value: the variable names it. None: the variable has the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl SecretVariable {
    /// What the variable is set to.
    fn content(&self) -> String {
        self.file.clone().unwrap_or_else(|| self.value.expose().to_owned())
    }
}

fn exposed<S: Serializer>(value: &Secret, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(value.expose())
}

fn hidden<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    Ok(Secret::new(&Zeroizing::new(String::deserialize(from)?)))
}

/// Whether the worker could start. Goes to its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It listens, and its command runs.
    Ready,
    /// It does not, for this reason.
    Refused(String),
}

/// How often a shim looks whether its files are still there.
const LOOK: Duration = Duration::from_secs(2);

/// Why a worker ends.
enum End {
    Command(i32),
    /// Its directory was removed, so nothing can reach it any more.
    Removed,
    Signal(i32),
    Abandoned,
}

/// Runs a shim in the directory of a worker. Returns when nothing of the worker is left but that.
#[allow(clippy::disallowed_methods)] // A program of its own, with its own output.
pub fn main(dir: &Path) -> ExitCode {
    match run(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Goes to the worker's shim.log, which is what the controller quotes if there was no answer.
            let _ = writeln!(io::stderr(), "poolkeeper shim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &Path) -> io::Result<()> {
    // Fails for the leader of a process group, as which a controller never starts one.
    rustix::process::setsid()?;
    system::adopt_orphans()?;
    std::env::set_current_dir(dir)?;
    // The kernel named it `exe`, after the link that it was started by.
    let _ = std::fs::write("/proc/self/comm", "poolkeeper");
    let mut setup = Zeroizing::new(Vec::new());
    io::stdin().read_to_end(&mut setup)?;
    let setup: Setup = serde_json::from_slice(&setup)?;
    if let Some(limit) = setup.open_files {
        limits::lower_open_files(limit)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(WorkerDir::at(dir), setup))
}

async fn serve(dir: WorkerDir, setup: Setup) -> io::Result<()> {
    let mut signals = EndSignals::new()?;
    let reaper = Reaper::start()?;
    let mut listener = listen()?;
    let mut record = dir.read_record()?.ok_or_else(|| io::Error::other("its record is missing"))?;
    let owner_grace = Duration::from_millis(setup.owner_grace_ms);
    let kill_grace = Duration::from_millis(setup.kill_grace_ms);
    let mut env = vec![("TMPDIR".to_owned(), dir.tmp().to_string_lossy().into_owned())];
    env.extend(setup.env);
    // Last, so no other variable of that name hides it.
    env.extend(setup.credential.as_ref().map(|c| (c.name.clone(), c.content())));
    let tail = Tail::new(setup.credential.map(|credential| credential.value));
    let held = setup.login.as_ref().map(|login| Login::hold(&login.path, login.alone)).transpose()?;
    if let (Some(None), Some(login)) = (&held, &setup.login) {
        return answer(&Answer::Refused(format!("another worker uses the directory {}", login.path.display())));
    }
    let worker = Arc::new(Worker { reaper: reaper.clone(), env, working_dir: setup.working_dir, kill_grace });
    let command = match setup.argv.is_empty() {
        true => None,
        false => match worker.spawn_command(&setup.argv, &tail).await {
            Ok(command) => Some(command),
            Err(refusal) => return answer(&Answer::Refused(refusal.message)),
        },
    };
    answer(&Answer::Ready)?;

    let (owners, owned) = watch::channel(0_usize);
    let owners = Arc::new(owners);
    let mut connections = JoinSet::new();
    let abandoned = abandoned(owned, owner_grace);
    tokio::pin!(abandoned);
    let ended = async {
        match command {
            Some(exit) => exit.await.unwrap_or(-1),
            None => std::future::pending().await,
        }
    };
    tokio::pin!(ended);
    let look = tokio::time::sleep(LOOK);
    tokio::pin!(look);
    let end = loop {
        tokio::select! {
            biased;
            signal = signals.next() => break End::Signal(128 + signal),
            code = &mut ended => break End::Command(code),
            () = &mut abandoned => break End::Abandoned,
            Some(_) = connections.join_next() => {}
            () = &mut look => {
                look.set(tokio::time::sleep(LOOK));
                if !dir.is_current_dir() {
                    break End::Removed;
                }
                restore(&dir, &mut record, &mut listener);
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(worker.clone(), owners.clone(), stream));
                }
                // Out of descriptors: those of tasks come free when these end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    };
    // First the connections, so no task seems to have ended by itself; then all that runs.
    drop(listener);
    connections.shutdown().await;
    reaper.end_all(kill_grace).await;
    match end {
        End::Abandoned => dir.remove(ProcessId::own()?),
        End::Removed => Err(io::Error::other(format!("{} was removed", dir.path().display()))),
        End::Command(code) | End::Signal(code) => {
            let exit = Exit { code: Some(code), tail: tail.finish().await, ..Exit::default() };
            dir.write_exit(&exit.into())?;
            // After the word that it ended: what a task put there may not be this user's to remove.
            dir.remove_scratch()
        }
    }
}

/// Listens on the worker's socket. By a relative path, which is always short enough.
fn listen() -> io::Result<UnixListener> {
    let listener = UnixListener::bind("socket")?;
    std::fs::set_permissions("socket", std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes again what a cleaner of temporary files removed from the directory.
fn restore(dir: &WorkerDir, record: &mut Record, listener: &mut UnixListener) {
    // A controller that adopts the worker writes it anew.
    if let Ok(Some(found)) = dir.read_record() {
        *record = found;
    }
    // What cannot be made now can perhaps be made at the next look.
    let _ = dir.repair(record);
    if !dir.socket().exists()
        && let Ok(again) = listen()
    {
        *listener = again;
    }
}

/// The signals that end a shim. It has no terminal, so the others were sent by hand.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Number of the next one.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        }
    }
}

/// Reports whether it could start, and closes the streams: the controller waits for their end.
#[allow(clippy::disallowed_methods)] // A program of its own, with its own output.
fn answer(answer: &Answer) -> io::Result<()> {
    let mut out = io::stdout();
    serde_json::to_writer(&mut out, answer)?;
    out.flush()?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(rustix::stdio::dup2_stdout(&null)?)
}

/// Returns when there was no owner for `grace`.
async fn abandoned(mut owners: watch::Receiver<usize>, grace: Duration) {
    loop {
        let none = *owners.borrow_and_update() == 0;
        let changed = owners.changed();
        if !none {
            let _ = changed.await;
        } else if tokio::time::timeout(grace, changed).await.is_err() {
            return;
        }
    }
}

async fn connection(worker: Arc<Worker>, owners: Arc<watch::Sender<usize>>, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let (mut read, mut write) = (FramedRead::new(read, Codec), FramedWrite::new(write, Codec));
    if !task::greets(&mut read, &mut write).await {
        return;
    }
    match read.next().await {
        Some(Ok(Frame::Own)) => {
            let _owner = Owner::new(owners);
            while let Some(Ok(_)) = read.next().await {}
        }
        Some(Ok(Frame::Ping)) => drop(write.send(Frame::Pong).await),
        Some(Ok(Frame::Exec(request))) => task::serve(worker, read, write, &request, None).await,
        _ => {}
    }
}

/// Counts one owner while it lives.
struct Owner(Arc<watch::Sender<usize>>);

impl Owner {
    fn new(owners: Arc<watch::Sender<usize>>) -> Self {
        owners.send_modify(|count| *count += 1);
        Self(owners)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
