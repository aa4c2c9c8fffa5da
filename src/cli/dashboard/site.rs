//! The HTTP side: the page, the exchange of a code for a token, and the views. It listens on 127.0.0.1 and changes nothing.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::events::Events;
use super::keys::{Keys, check};
use super::state::State;
use crate::clock::Clock;
use crate::dashboard::page;

/// Connections at a time. One more is closed.
const CONNECTIONS: usize = 64;
/// How long the head of a request, and its body, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The size of the largest body: a code.
const BODY: usize = 256;
/// How long a request for a view waits for something new.
const WAIT: Duration = Duration::from_secs(20);

/// What is served.
pub(super) struct Site {
    name: String,
    page: Bytes,
    policy: HeaderValue,
    keys: Mutex<Keys>,
    state: Arc<State>,
    events: Events,
    clock: Arc<dyn Clock>,
}

type Answer = Response<Full<Bytes>>;

impl Site {
    /// `name`: the address, as `127.0.0.1:PORT`.
    pub(super) fn new(name: String, keys: Keys, state: Arc<State>, events: Events, clock: Arc<dyn Clock>) -> Self {
        let policy = format!("{}; frame-ancestors 'none'", page::live_policy());
        // It is made of ASCII.
        let policy = HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
        Self { name, page: page::live().into(), policy, keys: Mutex::new(keys), state, events, clock }
    }

    /// A new address of the page. Its code serves once.
    pub(super) fn address(&self) -> String {
        let code = self.keys.lock().unwrap_or_else(PoisonError::into_inner).code(self.clock.mono());
        format!("http://{}/#code={code}", self.name)
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        if let Err((code, why)) = check(request.headers(), &self.name) {
            return text(code, why);
        }
        let path = request.uri().path().to_owned();
        match (request.method(), &*path) {
            (&Method::POST, "/session") => self.session(request).await,
            (&Method::GET, "/") => with(Response::new(Full::new(self.page.clone())), "text/html; charset=utf-8"),
            (&Method::GET, "/view" | "/events") if !self.knows(&request) => {
                text(StatusCode::UNAUTHORIZED, "this page has no valid token")
            }
            (&Method::GET, "/view") => self.view(&request).await,
            (&Method::GET, "/events") => json(self.events.answer(request.uri().query().unwrap_or_default()).await),
            (&Method::GET, _) => text(StatusCode::NOT_FOUND, "there is nothing here"),
            _ => {
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "the dashboard only reads");
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
                answer
            }
        }
    }

    /// Exchanges a code for a token.
    async fn session(&self, request: Request<Incoming>) -> Answer {
        // A browser adds the origin of its page, which was checked. Other programs have no page that misleads them.
        let body = tokio::time::timeout(PATIENCE, Limited::new(request.into_body(), BODY).collect()).await;
        let Ok(Ok(body)) = body else { return text(StatusCode::BAD_REQUEST, "the body is a code") };
        let now = self.clock.mono();
        let token = self.keys.lock().unwrap_or_else(PoisonError::into_inner).exchange(&body.to_bytes(), now);
        match token {
            Some(token) => text(StatusCode::OK, token),
            None => text(StatusCode::FORBIDDEN, "this address was used already, or is older than a minute"),
        }
    }

    /// Whether a request has a token.
    fn knows(&self, request: &Request<Incoming>) -> bool {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).knows(request.headers())
    }

    /// The newest view, once it differs from the one of the page.
    async fn view(&self, request: &Request<Incoming>) -> Answer {
        let has = request.headers().get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
        let has = has.and_then(|tag| tag.trim_matches('"').parse().ok()).unwrap_or_default();
        let Ok(version) = tokio::time::timeout(WAIT, self.state.other_than(has)).await else {
            return text(StatusCode::NOT_MODIFIED, "");
        };
        let query = request.uri().query().unwrap_or_default();
        let pool = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "pool").map(|(_, pool)| pool);
        let mut answer = json(self.state.answer(pool.as_deref()));
        if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
            answer.headers_mut().insert(header::ETAG, tag);
        }
        answer
    }

    /// The headers that every answer has.
    fn guarded(&self, mut answer: Answer) -> Answer {
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        for (name, value) in [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::CACHE_CONTROL, "no-store"),
            (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}

fn with(mut answer: Answer, kind: &'static str) -> Answer {
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn json(written: serde_json::Result<Vec<u8>>) -> Answer {
    match written {
        Ok(json) => with(Response::new(Full::new(json.into())), "application/json"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn text(code: StatusCode, words: impl Into<Bytes>) -> Answer {
    let mut answer = with(Response::new(Full::new(words.into())), "text/plain; charset=utf-8");
    *answer.status_mut() = code;
    answer
}

/// Serves the site until it is dropped.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Most often the process has no file descriptors left, which may change.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let site = site.clone();
        connections.spawn(async move {
            connection(stream, site).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.guarded(site.answer(request).await)) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 * 1024);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "a connection ended");
    }
}
