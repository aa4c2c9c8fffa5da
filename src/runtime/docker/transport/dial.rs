//! The client of an engine, and when a connection counts as made.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Service;

use super::limits::{CONNECT, KEEP_ALIVE, MISSING, Problem};
use super::wire::Wire;
use super::{ssh, tls};
use crate::runtime::docker::endpoint::Endpoint;

/// Connections by TLS and ssh that wait for the next request, and for how long: each costs several turns of the network.
const SPARE: usize = 4;
const SPARE_TIME: Duration = Duration::from_secs(30);
/// The greeting. An engine answers it without a body.
const GREETING: &[u8] = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\nUser-Agent: poolkeeper\r\n\r\n";
/// The longest answer to it.
const LONGEST: usize = 16 * 1024;

/// A client of the engine at this address. Connects to nothing yet.
///
/// # Errors
/// The socket is not there.
pub fn client(endpoint: &Endpoint, timeout: Duration) -> Result<Docker, bollard::errors::Error> {
    let seconds = timeout.as_secs();
    let (address, spare) = match endpoint {
        Endpoint::Unix(path) => {
            return Docker::connect_with_unix(&path.to_string_lossy(), seconds, API_DEFAULT_VERSION);
        }
        Endpoint::Tcp(address) => (format!("http://{address}"), 0),
        // The connection is encrypted below.
        Endpoint::Tls(address, _) => (format!("http://{address}"), SPARE),
        Endpoint::Ssh(_) => ("http://docker".to_owned(), SPARE),
    };
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(SPARE_TIME).pool_max_idle_per_host(spare);
    let client = builder.build(Dialer::new(endpoint.clone()));
    let transport = move |request: BollardRequest| {
        let answer = client.request(request);
        async move { answer.await.map_err(bollard::errors::Error::from) }
    };
    Docker::connect_with_custom_transport(transport, Some(address), seconds, API_DEFAULT_VERSION)
}

/// Makes connections.
#[derive(Clone)]
struct Dialer {
    endpoint: Arc<Endpoint>,
    tcp: HttpConnector,
}

impl Dialer {
    fn new(endpoint: Endpoint) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(MISSING));
        // What was sent and is not acknowledged counts too. Only Linux can limit it.
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(KEEP_ALIVE * MISSING));
        Self { endpoint: Arc::new(endpoint), tcp }
    }

    async fn dial(endpoint: &Endpoint, mut tcp: HttpConnector, uri: Uri) -> io::Result<Wire> {
        match endpoint {
            Endpoint::Unix(path) => Ok(Wire::Unix(tokio::net::UnixStream::connect(path).await?)),
            Endpoint::Tcp(_) => Ok(Wire::Tcp(tcp.call(uri).await.map_err(|e| of_system(&e))?.into_inner())),
            Endpoint::Tls(address, files) => {
                let config = tls::config(files)?;
                let stream = tcp.call(uri).await.map_err(|e| of_system(&e))?.into_inner();
                let mut wire = Wire::Tls(Box::new(tls::handshake(config, address, stream, files).await?));
                greet(&mut wire).await.map_err(|error| tls::explain(error, files))?;
                Ok(wire)
            }
            Endpoint::Ssh(place) => {
                let mut wire = Wire::Ssh(Box::new(ssh::connect(place)?));
                match greet(&mut wire).await {
                    Ok(()) => Ok(wire),
                    Err(error) => Err(match wire {
                        Wire::Ssh(ssh) => ssh.explain(place, error).await,
                        _ => error,
                    }),
                }
            }
        }
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Wire>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (endpoint, tcp) = (self.endpoint.clone(), self.tcp.clone());
        async move {
            let dialed = tokio::time::timeout(CONNECT, Self::dial(&endpoint, tcp, uri)).await;
            let late = |_| Err(Problem(format!("it did not answer within {} s", CONNECT.as_secs())).into());
            dialed.unwrap_or_else(late).map(TokioIo::new)
        }
        .boxed()
    }
}

/// Waits until the engine answers on this connection.
async fn greet(wire: &mut Wire) -> io::Result<()> {
    wire.write_all(GREETING).await?;
    wire.flush().await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > LONGEST || wire.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    if answer.starts_with(b"HTTP/1.") && answer.ends_with(b"\r\n\r\n") {
        return Ok(());
    }
    if answer.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection was closed before the engine answered",
        ));
    }
    Err(Problem("another program than a Docker Engine answers there".to_owned()).into())
}

/// What the system says, out of the client's words around it.
fn of_system(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io::Error::new(io.kind(), io.to_string());
        }
        next = cause.source();
    }
    io::Error::other(error.to_string())
}
