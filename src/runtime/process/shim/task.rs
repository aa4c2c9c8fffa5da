//! One task of one client.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::child::{Started, Worker};
use crate::runtime::process::protocol::{
    BETWEEN, CHUNK, Codec, ExecRequest, Frame, Refusal, VERSION, VERSION_DURABLE, WINDOW,
};
use crate::runtime::process::result_file;

/// How long a program that a task left behind may hold the task's streams open. What the task itself wrote is
/// not bound by this.
const LINGER: Duration = Duration::from_millis(500);

type Client<W> = Mutex<FramedWrite<W, Codec>>;

/// True if the client speaks this version of the protocol. A client of another version gets a refusal.
pub async fn greets<R, W>(input: &mut FramedRead<R, Codec>, output: &mut FramedWrite<W, Codec>) -> bool
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    match input.next().await {
        Some(Ok(Frame::Hello(VERSION | VERSION_DURABLE))) => true,
        Some(Ok(Frame::Hello(other))) => {
            let message = format!(
                "this worker speaks version {VERSION} of its protocol, and the program that asks version {other}"
            );
            let json = serde_json::to_vec(&Refusal { code: 126, message, passing: true }).unwrap_or_default();
            drop(output.send(Frame::Refused(json.into())).await);
            false
        }
        _ => false,
    }
}

/// What a client wants after a task.
enum Then {
    /// Nothing. The task has ended, or was ended.
    Nothing,
    /// Perhaps another task. With what it has said of that.
    More(Option<Frame>),
}

/// Runs a task for as long as its client stays, and those that it asks for after that. A client that says nothing for as long as
/// `silence` has gone.
pub async fn serve<R, W>(
    worker: Arc<Worker>,
    mut input: FramedRead<R, Codec>,
    output: FramedWrite<W, Codec>,
    request: &[u8],
    silence: Option<Duration>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let client = Mutex::new(output);
    let mut request = Bytes::copy_from_slice(request);
    loop {
        let Then::More(said) = run(&worker, &mut input, &client, &request, silence).await else { return };
        let Some(next) = next(said, &mut input, &client).await else { return };
        request = next;
    }
}

/// Waits for the next task. None: there is none.
async fn next<R, W>(said: Option<Frame>, input: &mut FramedRead<R, Codec>, client: &Client<W>) -> Option<Bytes>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut said = said;
    loop {
        let frame = match said.take() {
            Some(frame) => frame,
            None => within(Some(BETWEEN), input.next()).await.flatten()?.ok()?,
        };
        match frame {
            Frame::Exec(request) => return Some(request),
            Frame::Ping => send(client, Frame::Pong).await.ok()?,
            // Of the task before.
            Frame::Stdin(_) | Frame::StdinEnd => {}
            _ => return None,
        }
    }
}

async fn run<R, W>(
    worker: &Worker,
    input: &mut FramedRead<R, Codec>,
    client: &Client<W>,
    request: &[u8],
    silence: Option<Duration>,
) -> Then
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (queue, queued) = mpsc::unbounded_channel();
    let after = After::default();
    let hung_up = hung_up(input, queue, client, silence, &after);
    tokio::pin!(hung_up);
    let request = serde_json::from_slice::<ExecRequest>(request);
    let more = request.as_ref().is_ok_and(|request| request.more);
    let start = async {
        match &request {
            Ok(request) => {
                if let Some(path) = &request.result {
                    // It is of an earlier task, if there is one.
                    let _ = tokio::fs::remove_file(path).await;
                }
                worker.spawn_task(request).await
            }
            Err(error) => Err(Refusal { code: 126, message: format!("not understood: {error}"), passing: false }),
        }
    };
    let started = tokio::select! {
        biased;
        // It may run elsewhere by now: it must not start here any more.
        () = &mut hung_up => return Then::Nothing,
        started = start => started,
    };
    let Started { leader, stdin, stdout, stderr, exit } = match started {
        Ok(started) => started,
        Err(refusal) => {
            let json = serde_json::to_vec(&refusal).unwrap_or_default();
            let _ = send(client, Frame::Refused(json.into())).await;
            return Then::Nothing;
        }
    };
    let (ended, end) = watch::channel(false);
    let work = async {
        send(client, Frame::Started).await?;
        let exit = async {
            let code = exit.await.unwrap_or(-1);
            let _ = ended.send(true);
            Ok(code)
        };
        let out = pump(stdout, |data| send(client, Frame::Stdout(data)), end.clone());
        let err = pump(stderr, |data| send(client, Frame::Stderr(data)), end.clone());
        let (code, (), ()) = tokio::try_join!(exit, out, err)?;
        if let Some(path) = request.as_ref().ok().and_then(|request| request.result.as_ref()) {
            match result_file::take(Path::new(path)).await {
                Ok(content) => send(client, Frame::Result(Ok(content.into()))).await?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => send(client, Frame::Result(Err(error.to_string()))).await?,
            }
        }
        after.may_follow.store(more, Relaxed);
        send(client, Frame::Exited(code)).await
    };
    let feed = feed(stdin, queued, |count| send(client, Frame::StdinTaken(count)));
    let finished = tokio::select! {
        biased;
        () = hung_up => false,
        done = work => done.is_ok(),
        // Ends only if the client cannot be written to.
        _ = feed => false,
    };
    if !finished {
        worker.end_task(leader).await;
        return Then::Nothing;
    }
    if more { Then::More(after.said.get().cloned()) } else { Then::Nothing }
}

/// What comes after a task. Its client may have read the end, and answered it, before the write of the end is known to be done here.
#[derive(Default)]
struct After {
    /// True once the end is being written, if more may follow.
    may_follow: AtomicBool,
    /// The first thing that was said since.
    said: OnceLock<Frame>,
}

/// Reads what the client sends, until it hangs up, is silent for too long, or breaks the rules. Never waits for the task.
async fn hung_up<R, W>(
    input: &mut FramedRead<R, Codec>,
    queue: mpsc::UnboundedSender<Bytes>,
    client: &Client<W>,
    silence: Option<Duration>,
    after: &After,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut queue = Some(queue);
    while let Some(Ok(frame)) = within(silence, input.next()).await.flatten() {
        if after.may_follow.load(Relaxed) {
            let _ = after.said.set(frame);
            return std::future::pending().await;
        }
        match (frame, &queue) {
            (Frame::Ping, _) if send(client, Frame::Pong).await.is_ok() => {}
            // The window bounds what is queued: a client that sends more in one frame is not ours.
            (Frame::Stdin(data), Some(queue)) if data.len() <= WINDOW => drop(queue.send(data)),
            (Frame::StdinEnd, _) => queue = None,
            _ => return,
        }
    }
}

/// Hands standard input to the task. What a task no longer reads is thrown away, as a pipe would not, but the
/// client must not wait for it.
pub(super) async fn feed<F: Future<Output = io::Result<()>>>(
    stdin: ChildStdin,
    mut queued: mpsc::UnboundedReceiver<Bytes>,
    mut taken: impl FnMut(u32) -> F,
) -> io::Result<()> {
    let mut stdin = Some(stdin);
    while let Some(data) = queued.recv().await {
        if let Some(open) = &mut stdin
            && open.write_all(&data).await.is_err()
        {
            stdin = None;
        }
        taken(u32::try_from(data.len()).unwrap_or(u32::MAX)).await?;
    }
    drop(stdin);
    std::future::pending().await
}

/// Hands a stream on, no faster than that is done. Ends with the stream; or, after the task has ended,
/// when all that was in the pipe then is sent and `LINGER` is over.
pub(super) async fn pump<R: AsyncRead + AsFd + Unpin, F: Future<Output = io::Result<()>>>(
    mut stream: R,
    mut to: impl FnMut(Bytes) -> F,
    mut ended: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    let mut left: Option<u64> = None;
    let linger = tokio::time::sleep(LINGER);
    tokio::pin!(linger);
    loop {
        buffer.reserve(CHUNK);
        tokio::select! {
            biased;
            () = over(&mut ended), if left.is_none() => {
                left = Some(rustix::io::ioctl_fionread(&stream).unwrap_or(0));
                linger.set(tokio::time::sleep(LINGER));
            }
            () = &mut linger, if left == Some(0) => return Ok(()),
            count = stream.read_buf(&mut buffer) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                left = left.map(|left| left.saturating_sub(count as u64));
                to(buffer.split().freeze()).await?;
            }
        }
    }
}

async fn over(ended: &mut watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

async fn send<W: AsyncWrite + Unpin>(client: &Client<W>, frame: Frame) -> io::Result<()> {
    client.lock().await.send(frame).await
}

/// Waits no longer than `limit`, if there is one. None: that is over.
pub(super) async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}
