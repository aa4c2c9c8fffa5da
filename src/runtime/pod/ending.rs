//! The output of an exec, which ends when the exec does.
//!
//! The client library ends its streams when the API server closes the connection, and not when the connection is cut. Its status
//! is over in both cases.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachedProcess;
use tokio::io::{AsyncRead, ReadBuf};

/// How an exec ended. None: the connection was cut.
pub(super) type Ended = Shared<BoxFuture<'static, Option<Status>>>;

/// The end of an exec. To be asked for once.
pub(super) fn ended(exec: &mut AttachedProcess) -> Ended {
    let status = exec.take_status();
    let ended = async move {
        match status {
            Some(status) => status.await,
            None => None,
        }
    };
    ended.boxed().shared()
}

/// A stream that ends with its exec at the latest.
pub(super) struct Output<R> {
    stream: R,
    ended: Option<Ended>,
}

impl<R> Output<R> {
    /// Of an exec with this end.
    pub(super) const fn new(stream: R, ended: Ended) -> Self {
        Self { stream, ended: Some(ended) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Output<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(ended) = this.ended.as_mut().filter(|_| read.is_pending()) else {
            return if read.is_pending() { Poll::Ready(Ok(())) } else { read };
        };
        if Pin::new(ended).poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.ended = None;
        // What came since is still to be read. Nothing comes after it.
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Pending => Poll::Ready(Ok(())),
            read @ Poll::Ready(_) => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_cut_ends_the_stream_after_all_that_came() {
        let (read, mut write) = tokio::io::simplex(64);
        let (cut, end) = oneshot::channel::<Status>();
        let mut output = Output::new(read, async move { end.await.ok() }.boxed().shared());
        write.write_all(b"one").await.unwrap();
        let mut buffer = [0; 3];
        output.read_exact(&mut buffer).await.unwrap();
        let reading = tokio::spawn(async move {
            let mut rest = Vec::new();
            output.read_to_end(&mut rest).await.unwrap();
            rest
        });
        write.write_all(b" two").await.unwrap();
        // The writer is not closed.
        drop(cut);
        assert_eq!(reading.await.unwrap(), b" two");
        drop(write);
    }
}
