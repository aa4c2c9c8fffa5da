//! Serves the probes and the metrics: `/livez`, `/readyz`, `/metrics`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::controller::health::Health;
use crate::controller::metrics::Metrics;

/// Connections at a time. One more closes the oldest: any program may connect, and a probe must not wait for it.
const CONNECTIONS: usize = 64;
/// How long the controller may take to make a page.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest life of a connection, whatever it does.
const LIFE: Duration = Duration::from_secs(15);

/// The sources of the pages.
#[derive(Clone)]
pub struct Pages {
    /// The state that the probes report.
    pub health: Health,
    /// The metrics.
    pub metrics: Metrics,
    /// Gives the age of the loop's last turn.
    pub clock: Arc<dyn Clock>,
}

/// Serves the pages until it is dropped.
pub async fn serve(listener: TcpListener, pages: Pages) {
    let mut connections: VecDeque<JoinHandle<()>> = VecDeque::with_capacity(CONNECTIONS);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most often the process has no file descriptors left, which may change.
                tracing::warn!(%error, "a connection to the probes was not accepted");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        connections.retain(|connection| !connection.is_finished());
        if connections.len() >= CONNECTIONS
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        connections.push_back(tokio::spawn(serve_one(stream, pages.clone())));
    }
}

/// Answers one request.
async fn serve_one(stream: impl AsyncRead + AsyncWrite + Unpin, pages: Pages) {
    let answer = service_fn(|request: Request<Incoming>| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(pages.answer(request.method(), request.uri().path()).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
    if let Ok(Err(error)) = tokio::time::timeout(LIFE, connection).await {
        tracing::debug!(%error, "a connection to the probes ended");
    }
}

impl Pages {
    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return page(StatusCode::METHOD_NOT_ALLOWED, "GET only".to_owned());
        }
        match path {
            "/livez" => probe(self.health.live(self.clock.mono())),
            "/readyz" => probe(self.health.ready()),
            "/metrics" => match tokio::time::timeout(ANSWER, self.metrics.render(&self.health, &*self.clock)).await {
                Ok(text) => {
                    let mut response = page(StatusCode::OK, text);
                    let kind = http::HeaderValue::from_static(Metrics::CONTENT_TYPE);
                    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
                    response
                }
                Err(_) => page(StatusCode::SERVICE_UNAVAILABLE, "the controller's loop does not answer".to_owned()),
            },
            _ => page(StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics".to_owned()),
        }
    }
}

fn probe(answer: Result<String, String>) -> Response<Full<Bytes>> {
    match answer {
        Ok(text) => page(StatusCode::OK, text),
        Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn page(code: StatusCode, mut text: String) -> Response<Full<Bytes>> {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::clock::SystemClock;

    fn pages() -> Pages {
        Pages { health: Health::default(), metrics: Metrics::default(), clock: Arc::new(SystemClock::new()) }
    }

    /// The complete answer to a probe whose client would reuse the connection.
    async fn probe(address: std::net::SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn open_connections_delay_no_probe() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, pages()));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut newest = silent.pop().unwrap();
        tokio::select! {
            biased;
            answer = probe(address) => assert!(answer.starts_with("HTTP/1.1 200"), "{answer}"),
            _ = newest.read_u8() => panic!("the probe waits until a place comes back by itself"),
        }
        server.abort();
    }

    #[tokio::test]
    async fn a_connection_is_for_one_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, pages()));
        let answer = probe(address).await;
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
        server.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_disconnected() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(3600), serve_one(server, pages())).await;
        assert!(ended.is_ok(), "it holds its place for ever");
    }
}
