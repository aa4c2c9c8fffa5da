//! Serves the probes and the metrics: `/livez`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::health::Health;
use super::metrics::Metrics;
use crate::clock::Clock;

/// Connections at a time. More wait.
const CONNECTIONS: usize = 64;
/// A connection without a request for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// A request that is not answered within this time is dropped.
const ANSWER: Duration = Duration::from_secs(10);

/// What is served.
#[derive(Clone)]
pub struct Pages {
    /// For the probes.
    pub health: Health,
    /// For the metrics.
    pub metrics: Metrics,
    /// For the age of the loop's last turn.
    pub clock: Arc<dyn Clock>,
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, pages: Pages) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: it may pass.
                tracing::warn!(%error, "a connection to the probes was not accepted");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let pages = pages.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let pages = pages.clone();
                async move { Ok::<_, Infallible>(pages.answer(request.method(), request.uri().path()).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the probes ended");
            }
            drop(place);
        });
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
