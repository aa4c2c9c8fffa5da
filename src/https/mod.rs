//! HTTPS on this machine for any service, and for clients that hold the token. It knows nothing of the service.
//!
//! - Here: connections and their limits. [`identity`]: certificates. [`admission`]: which requests may pass.
//!
//! A connection has little time for its handshake and for the head of each request, and a request for its body. A response
//! has all the time there is, because watches are responses.

pub mod admission;
pub mod identity;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, ServiceExt};

use self::admission::Admission;

/// How long the handshake of a connection, the head of a request, and the body of a request may take, each.
const PATIENCE: Duration = Duration::from_secs(30);
/// The size of the largest body, as in kube-apiserver.
const BODY: usize = 3 * 1024 * 1024;
/// Connections at a time. Each watch of a client is one.
const CONNECTIONS: usize = 4096;
/// How long responses that have begun may take when the server ends. Those of watches never end by themselves.
const PARTING: Duration = Duration::from_millis(500);
/// Bytes that a connection holds for a client that reads nothing, and the size of the largest head of a request.
const BUFFER: usize = 64 * 1024;
/// The pause after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The body of a response.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// Listens on a port of 127.0.0.1. Port 0: any that is free.
///
/// # Errors
/// The port is taken or not allowed.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// Serves a service to clients that hold the token, until `stop`. Then all connections are closed, after a short time for
/// responses that have begun. The certificate of a new
/// connection is the newest of `tls`. What requests need is the newest of `admission`, and connections from before are
/// closed.
pub async fn serve<S>(
    listener: TcpListener,
    tls: watch::Receiver<TlsAcceptor>,
    admission: watch::Receiver<Arc<Admission>>,
    service: S,
    stop: CancellationToken,
) where
    S: Service<Request<Full<Bytes>>, Response = Response<ResponseBody>, Error = BoxError>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most often the process has no file descriptors left, which may change.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // One connection more than there may be is closed: those that are there may be watches.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (acceptor, admission, service) = (tls.borrow().clone(), admission.clone(), service.clone());
        let stop = stop.clone();
        connections.spawn(async move {
            connection(stream, acceptor, admission, service, stop).await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection<S>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    mut admission: watch::Receiver<Arc<Admission>>,
    service: S,
    stop: CancellationToken,
) where
    S: Service<Request<Full<Bytes>>, Response = Response<ResponseBody>, Error = BoxError>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    // Small writes, such as the events of a watch, must not wait for each other.
    let _ = stream.set_nodelay(true);
    let shake = stop.run_until_cancelled(timeout(PATIENCE, acceptor.accept(stream)));
    let Some(Ok(Ok(stream))) = shake.await else { return };
    let current = admission.borrow_and_update().clone();
    let answer = service_fn(move |request: Request<Incoming>| answer(current.clone(), service.clone(), request));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(BUFFER);
    let connection = http.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        // What came in with a token that no longer holds.
        Ok(()) = admission.changed() => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(PARTING, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Answers one request, if it may pass.
fn answer<S>(
    admission: Arc<Admission>,
    service: S,
    request: Request<Incoming>,
) -> BoxFuture<'static, io::Result<Response<UnsyncBoxBody<Bytes, io::Error>>>>
where
    S: Service<Request<Full<Bytes>>, Response = Response<ResponseBody>, Error = BoxError> + Send + 'static,
    S::Future: Send,
{
    let answered = async move {
        let (parts, body) = request.into_parts();
        if let Err(refusal) = admission.check(&parts.headers) {
            return Ok(refusal.response());
        }
        let body = match timeout(PATIENCE, Limited::new(body, BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Ok(admission::Refusal::too_large(BODY).response());
            }
            Ok(Err(error)) => return Err(io::Error::other(error)),
            Err(_) => return Ok(admission::Refusal::too_slow().response()),
        };
        service.oneshot(Request::from_parts(parts, Full::new(body))).await.map_err(io::Error::other)
    };
    async move { Ok(answered.await?.map(|body| body.map_err(io::Error::other).boxed_unsync())) }.boxed()
}
