//! One task of one client.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::ChildStdin;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::child::{Started, Worker};
use crate::runtime::process::protocol::{CHUNK, Codec, ExecRequest, Frame, Refusal, WINDOW};

/// How long a program that a task left behind may hold the task's streams open. What the task itself wrote is
/// not bound by this.
const LINGER: Duration = Duration::from_millis(500);

type Client = Mutex<FramedWrite<OwnedWriteHalf, Codec>>;

/// Runs a task for as long as its client stays.
pub async fn serve(
    worker: Arc<Worker>,
    input: FramedRead<OwnedReadHalf, Codec>,
    output: FramedWrite<OwnedWriteHalf, Codec>,
    request: &[u8],
) {
    let client = Mutex::new(output);
    let (queue, queued) = mpsc::unbounded_channel();
    let hung_up = hung_up(input, queue);
    tokio::pin!(hung_up);
    let start = async {
        match serde_json::from_slice::<ExecRequest>(request) {
            Ok(request) => worker.spawn_task(&request).await,
            Err(error) => Err(Refusal { code: 126, message: format!("not understood: {error}"), passing: false }),
        }
    };
    let started = tokio::select! {
        biased;
        // It may run elsewhere by now: it must not start here any more.
        () = &mut hung_up => return,
        started = start => started,
    };
    let Started { leader, stdin, stdout, stderr, exit } = match started {
        Ok(started) => started,
        Err(refusal) => {
            let json = serde_json::to_vec(&refusal).unwrap_or_default();
            let _ = send(&client, Frame::Refused(json.into())).await;
            return;
        }
    };
    let (ended, end) = watch::channel(false);
    let work = async {
        send(&client, Frame::Started).await?;
        let exit = async {
            let code = exit.await.unwrap_or(-1);
            let _ = ended.send(true);
            Ok(code)
        };
        let out = pump(stdout, Frame::Stdout, &client, end.clone());
        let err = pump(stderr, Frame::Stderr, &client, end.clone());
        let (code, (), ()) = tokio::try_join!(exit, out, err)?;
        send(&client, Frame::Exited(code)).await
    };
    let feed = feed(stdin, queued, &client);
    let finished = tokio::select! {
        biased;
        () = hung_up => false,
        done = work => done.is_ok(),
        // Ends only if the client cannot be written to.
        _ = feed => false,
    };
    if !finished {
        worker.end_task(leader).await;
    }
}

/// Reads what the client sends, until it hangs up or breaks the rules. Never waits for the task.
async fn hung_up(mut input: FramedRead<OwnedReadHalf, Codec>, queue: mpsc::UnboundedSender<Bytes>) {
    let mut queue = Some(queue);
    while let Some(Ok(frame)) = input.next().await {
        match (frame, &queue) {
            // The window bounds what is queued: a client that sends more in one frame is not ours.
            (Frame::Stdin(data), Some(queue)) if data.len() <= WINDOW => drop(queue.send(data)),
            (Frame::StdinEnd, _) => queue = None,
            _ => return,
        }
    }
}

/// Hands standard input to the task. What a task no longer reads is thrown away, as a pipe would not, but the
/// client must not wait for it.
async fn feed(stdin: ChildStdin, mut queued: mpsc::UnboundedReceiver<Bytes>, client: &Client) -> io::Result<()> {
    let mut stdin = Some(stdin);
    while let Some(data) = queued.recv().await {
        if let Some(open) = &mut stdin
            && open.write_all(&data).await.is_err()
        {
            stdin = None;
        }
        send(client, Frame::StdinTaken(u32::try_from(data.len()).unwrap_or(u32::MAX))).await?;
    }
    drop(stdin);
    std::future::pending().await
}

/// Sends a stream to the client, no faster than that reads. Ends with the stream; or, after the task has ended,
/// when all that was in the pipe then is sent and `LINGER` is over.
async fn pump<R: AsyncRead + AsFd + Unpin>(
    mut stream: R,
    frame: fn(Bytes) -> Frame,
    client: &Client,
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
                send(client, frame(buffer.split().freeze())).await?;
            }
        }
    }
}

async fn over(ended: &mut watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

async fn send(client: &Client, frame: Frame) -> io::Result<()> {
    client.lock().await.send(frame).await
}
