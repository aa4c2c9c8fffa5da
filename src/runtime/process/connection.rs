//! A connection to a worker, before a task runs on it and between two of them.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::protocol::{Codec, Frame};

/// What is read from a worker.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// What is written to a worker.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;
/// What is written to a worker, by more than one at a time.
pub(super) type Shared = Arc<Mutex<FramedWrite<Writer, Codec>>>;

/// A connection on which no task runs.
pub struct Connection {
    pub(super) read: FramedRead<Reader, Codec>,
    pub(super) write: Shared,
    /// How long either side may say nothing while a task runs. None: for ever.
    pub(super) silence: Option<Duration>,
    /// True once the version was said.
    pub(super) is_greeted: bool,
}

impl Connection {
    /// A new one. With `silence`, each side says something more often than that, and a side that says nothing for so long has gone.
    pub fn new(read: Reader, write: Writer, silence: Option<Duration>) -> Self {
        let write = Arc::new(Mutex::new(FramedWrite::new(write, Codec)));
        Self { read: FramedRead::new(read, Codec), write, silence, is_greeted: false }
    }

    /// True if a worker that has run a task on it is still there. One that has not is asked by the task.
    pub async fn answers(&mut self) -> bool {
        if !self.is_greeted {
            return true;
        }
        if self.write.lock().await.send(Frame::Ping).await.is_err() {
            return false;
        }
        loop {
            match self.read.next().await {
                Some(Ok(Frame::Pong)) => return true,
                // Of the task before.
                Some(Ok(Frame::StdinTaken(_))) => {}
                _ => return false,
            }
        }
    }
}
