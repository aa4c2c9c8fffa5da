//! The keeper of a task in a Pod: the task lives on in it while its client is away, and what the task prints waits for the client.
//!
//! - A client starts the helper by an exec, and the helper is a [`front`]: it passes frames on, and ends with its exec. The keeper is
//!   this program in a session of its own, which no exec ends.
//! - A file of the task's key is made before its keeper starts, and stays if the task was ended here. So a task is started once, however
//!   many clients ask for it, and whatever happened to those before.
//! - One client is served at a time: the newest. The one before hears that, and does not come back.
//! - The task is ended when no client came for as long as the request says. Its Pod goes earlier if the controller wants that.

mod files;
pub mod front;
mod state;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use rustix::process::setsid;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::codec::{FramedRead, FramedWrite};

use self::files::{LISTENS, marker, socket};
use self::state::State;
use super::child::{Started, Worker};
use super::container;
use super::task::{feed, greets, pump, within};
use crate::runtime::process::protocol::{Codec, ExecRequest, Frame, Keep, Refusal, WINDOW};
use crate::runtime::process::{result_file, system};

/// How long a client may take to say what it wants.
const GREETING: Duration = Duration::from_secs(10);

type Reader = FramedRead<OwnedReadHalf, Codec>;
type Writer = FramedWrite<OwnedWriteHalf, Codec>;
type Shared = Arc<watch::Sender<State>>;

/// Keeps the task of one key. To be called outside of any async runtime, before any thread is started.
#[allow(clippy::disallowed_methods)] // A program of its own, with its own output.
pub fn main(key: &str) -> ExitCode {
    match run(key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stdout(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(key: &str) -> io::Result<()> {
    if !(Keep { key: key.to_owned(), ..Keep::default() }).is_valid() {
        return Err(io::Error::other("not a key of a task"));
    }
    setsid()?;
    system::adopt_orphans()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(key))
}

/// A task that was started.
struct Task {
    leader: i32,
    state: Shared,
    keep: Keep,
}

/// A client that said what it wants.
struct Client {
    read: Reader,
    write: Writer,
    request: ExecRequest,
}

/// Why a client is not served any more.
enum Left {
    /// It knows how the task ended.
    Released,
    /// Its connection is gone.
    Gone,
}

async fn serve(key: &str) -> io::Result<()> {
    let tmp = container::tmp()?;
    let worker = container::worker(&tmp)?;
    let path = socket(&tmp, key);
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    say_that_it_listens()?;
    let ended = keep(&worker, &listener).await;
    drop(listener);
    fs::remove_file(&path)?;
    if let Left::Released = ended {
        fs::remove_file(marker(&tmp, key))?;
    }
    Ok(())
}

/// Runs one task for clients that come and go. `Gone`: none came for too long.
async fn keep(worker: &Arc<Worker>, listener: &UnixListener) -> Left {
    let mut task: Option<Task> = None;
    let mut greeting = JoinSet::new();
    let mut served = JoinSet::new();
    let away = tokio::time::sleep(GREETING);
    tokio::pin!(away);
    loop {
        tokio::select! {
            biased;
            Some(left) = served.join_next() => {
                if let Ok(Left::Released) = left {
                    return Left::Released;
                }
                // One that another client took the place of was not the last.
                if served.is_empty() {
                    away.set(tokio::time::sleep(seconds(task.as_ref())));
                }
            }
            Some(greeted) = greeting.join_next() => {
                let Some(Client { read, mut write, request }) = greeted.ok().flatten() else { continue };
                let answer = match &task {
                    Some(task) => attach(task, &request),
                    None => match start(worker, request).await {
                        Ok(started) => {
                            task = Some(started);
                            Ok(Frame::Started)
                        }
                        Err(refusal) => {
                            refuse(&mut write, &refusal).await;
                            return Left::Released;
                        }
                    },
                };
                match (answer, &task) {
                    (Ok(answer), Some(task)) => {
                        served.abort_all();
                        served.spawn(attend(task.state.clone(), read, write, answer));
                    }
                    (Err(message), _) => refuse(&mut write, &Refusal { code: 126, message, passing: true }).await,
                    (Ok(_), None) => {}
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(greeting.spawn(async move { within(Some(GREETING), greet(stream)).await.flatten() })),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            () = &mut away, if served.is_empty() => {
                if let Some(task) = task.filter(|task| !task.state.borrow().has_ended()) {
                    worker.end_task(task.leader).await;
                }
                return Left::Gone;
            }
        }
    }
}

fn seconds(task: Option<&Task>) -> Duration {
    task.map_or(GREETING, |task| Duration::from_secs(task.keep.seconds))
}

async fn greet(stream: UnixStream) -> Option<Client> {
    let (read, write) = stream.into_split();
    let (mut read, mut write) = (FramedRead::new(read, Codec), FramedWrite::new(write, Codec));
    if !greets(&mut read, &mut write).await {
        return None;
    }
    let Some(Ok(Frame::Exec(json))) = read.next().await else { return None };
    let request: ExecRequest = serde_json::from_slice(&json).ok()?;
    Some(Client { read, write, request })
}

fn attach(task: &Task, request: &ExecRequest) -> Result<Frame, String> {
    let have = request.keep.as_ref().map(|keep| keep.have).unwrap_or_default();
    let mut answer = Err(String::new());
    task.state.send_modify(|state| answer = state.attach(have));
    answer
}

/// Starts the task, and what carries its streams.
async fn start(worker: &Arc<Worker>, request: ExecRequest) -> Result<Task, Refusal> {
    if let Some(path) = &request.result {
        // It is of an earlier task, if there is one.
        let _ = tokio::fs::remove_file(path).await;
    }
    let Started { leader, stdin, stdout, stderr, exit } = worker.spawn_task(&request).await?;
    let (input, queued) = mpsc::unbounded_channel();
    let state = Arc::new(watch::Sender::new(State::new(input)));
    let fed = state.clone();
    tokio::spawn(feed(stdin, queued, move |count| {
        fed.send_modify(|state| state.take(count));
        std::future::ready(Ok(()))
    }));
    let (ended, end) = watch::channel(false);
    let (result, all) = (request.result, state.clone());
    tokio::spawn(async move {
        let exit = async {
            let code = exit.await.unwrap_or(-1);
            let _ = ended.send(true);
            code
        };
        let out = pump(stdout, |data| print(&all, 0, data), end.clone());
        let err = pump(stderr, |data| print(&all, 1, data), end.clone());
        let (code, _, _) = tokio::join!(exit, out, err);
        let file = match result {
            Some(path) => match result_file::take(Path::new(&path)).await {
                Ok(content) => Some(Ok(content.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => Some(Err(error.to_string())),
            },
            None => None,
        };
        all.send_modify(|state| state.end(code, file));
    });
    Ok(Task { leader, state, keep: request.keep.unwrap_or_default() })
}

/// Keeps a piece of output, as soon as there is room for it.
async fn print(state: &Shared, stream: state::Number, data: Bytes) -> io::Result<()> {
    // The sender is held here, so it is not gone.
    let _ = state.subscribe().wait_for(State::has_room).await.map(drop);
    state.send_modify(|state| state.print(stream, data));
    Ok(())
}

/// Serves a client until it has gone.
async fn attend(state: Shared, mut read: Reader, mut write: Writer, answer: Frame) -> Left {
    let mut changed = state.subscribe();
    let telling = async {
        write.send(answer).await?;
        loop {
            // The sender is held here, so it is not gone.
            let _ = changed.wait_for(State::has_frame).await.map(drop);
            let mut frame = None;
            state.send_modify(|state| frame = state.next_frame());
            if let Some(frame) = frame {
                write.send(frame).await?;
            }
        }
    };
    let hearing = async {
        while let Some(Ok(frame)) = read.next().await {
            let mut left = None;
            state.send_modify(|state| match frame {
                Frame::Ping => state.ping(),
                // The window bounds what is queued: a client that sends more in one frame is not ours.
                Frame::Stdin(data) if data.len() <= WINDOW => state.input(data),
                Frame::StdinEnd => state.end_input(),
                Frame::Have(have) => state.has(have),
                // To release a task that runs would leave it without an end.
                Frame::Release if state.has_ended() => left = Some(Left::Released),
                _ => left = Some(Left::Gone),
            });
            if let Some(left) = left {
                return left;
            }
        }
        Left::Gone
    };
    tokio::select! {
        biased;
        left = hearing => left,
        sent = telling => match sent {
            Err::<std::convert::Infallible, io::Error>(_) => Left::Gone,
        },
    }
}

async fn refuse(write: &mut Writer, refusal: &Refusal) {
    let json = serde_json::to_vec(refusal).unwrap_or_default();
    let _ = within(Some(GREETING), write.send(Frame::Refused(json.into()))).await;
}

/// Says that it listens, and closes its output: the front waits for the end of that.
#[allow(clippy::disallowed_methods)] // A program of its own, with its own output.
fn say_that_it_listens() -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(LISTENS.as_bytes())?;
    out.flush()?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(&null)?)
}
