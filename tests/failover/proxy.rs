//! What lies between a controller and the API server, and what can go wrong there.
//!
//! Plain HTTP on loopback at one end, the API server at the other. What was sent is on its way: it arrives, if it does, even
//! if its sender has been killed since.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// How likely each fault is for one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Takes up to a second to arrive.
    pub slow: f64,
    /// Never arrives.
    pub dropped: f64,
    /// Takes effect, and its answer is lost.
    pub answer_lost: f64,
    /// Answered with 409 and not done; what is created is there already.
    pub conflict: f64,
    /// A list or a watch is answered with 410.
    pub expired: f64,
    /// Answered with 429 and not done.
    pub throttled: f64,
    /// Answered with 500, done or not.
    pub broken: f64,
}

/// How a watch ends before its time.
#[derive(Clone, Copy, Debug, Default)]
pub enum Cut {
    /// Its body ends.
    #[default]
    End,
    /// Its connection breaks.
    Error,
    /// An ERROR event with code 410.
    Expired,
}

#[derive(Clone, Debug, Default)]
struct Weather {
    rules: Rules,
    frozen: Vec<&'static str>,
    cuts: u64,
    how: Cut,
}

/// Clones are the same one.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    client: Client,
    seed: u64,
    weather: watch::Sender<Weather>,
    /// How often each request was made: its chance is drawn from that and the seed.
    requests: Mutex<BTreeMap<String, u64>>,
    tally: Mutex<BTreeMap<String, u64>>,
}

/// A sequence of chances in [0, 1).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Half of the time none, else up to so long.
    fn silence(&mut self, most: Duration) -> Duration {
        if self.roll() < 0.5 { Duration::ZERO } else { most.mul_f64(self.roll()) }
    }
}

impl Proxy {
    /// Starts one; its kubeconfig is made in the directory.
    pub async fn start(client: &Client, seed: u64, dir: &Path) -> (Self, PathBuf) {
        let inner = Inner {
            client: client.clone(),
            seed,
            weather: watch::channel(Weather::default()).0,
            requests: Mutex::default(),
            tally: Mutex::default(),
        };
        let this = Self(Arc::new(inner));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(this.clone().serve(listener));
        let path = dir.join("kubeconfig");
        std::fs::write(&path, kubeconfig(address)).unwrap();
        (this, path)
    }

    pub fn set(&self, rules: Rules) {
        self.0.weather.send_modify(|w| w.rules = rules);
    }

    /// Watches on these plurals show nothing any more; none: they go on with all that was missed.
    pub fn freeze(&self, plurals: &[&'static str]) {
        self.0.weather.send_modify(|w| w.frozen = plurals.to_vec());
    }

    /// Ends all watches.
    pub fn cut(&self, how: Cut) {
        self.0.weather.send_modify(|w| {
            w.cuts += 1;
            w.how = how;
        });
    }

    pub fn tally(&self) -> BTreeMap<String, u64> {
        self.0.tally.lock().unwrap().clone()
    }

    pub fn count(&self, what: &str) {
        *self.0.tally.lock().unwrap().entry(format!("fault: {what}")).or_default() += 1;
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let this = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| this.clone().answer(request));
                // An error of the service breaks the connection, as is meant.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    fn dice(&self, request: &Request<Bytes>) -> Dice {
        let name = format!("{} {}", request.method(), request.uri().path());
        let mut requests = self.0.requests.lock().unwrap();
        let nth = requests.entry(name.clone()).or_default();
        *nth += 1;
        let hash = name.bytes().chain(nth.to_le_bytes()).fold(self.0.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Dice(hash)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, body.collect().await?.to_bytes());
        // Its sender may go; it does not.
        tokio::spawn(self.carry(request)).await?
    }

    async fn carry(self, request: Request<Bytes>) -> Result<Response<Body>, BoxError> {
        let (mut dice, rules) = (self.dice(&request), self.0.weather.borrow().rules);
        let is_read = *request.method() == Method::GET;
        let kind = if is_read { "read" } else { "write" };
        let mut happens = |p: f64| dice.roll() < p;
        if happens(rules.dropped) {
            self.count(&format!("{kind} dropped"));
            sleep(dice.silence(Duration::from_secs(4))).await;
            return Err("dropped".into());
        }
        if is_read && happens(rules.expired) {
            self.count("410");
            return Ok(refusal(410, "Expired", "too old resource version: injected"));
        }
        if happens(rules.throttled) {
            self.count("429");
            let mut answer = refusal(429, "TooManyRequests", "injected");
            answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            return Ok(answer);
        }
        if happens(rules.broken) {
            self.count("500");
            if happens(0.5) {
                let _ = self.forward(request).await;
            }
            return Ok(refusal(500, "InternalError", "etcdserver: request timed out: injected"));
        }
        if !is_read && happens(rules.conflict) {
            self.count("409");
            let reason = if *request.method() == Method::POST {
                let _ = self.forward(request).await;
                "AlreadyExists"
            } else {
                "Conflict"
            };
            return Ok(refusal(409, reason, "injected"));
        }
        if happens(rules.slow) {
            self.count(&format!("{kind} delayed"));
            sleep(Duration::from_secs(1).mul_f64(dice.roll())).await;
        }
        if !is_read && dice.roll() < rules.answer_lost {
            self.count("answer lost");
            self.forward(request).await?;
            sleep(dice.silence(Duration::from_secs(4))).await;
            return Err("the answer is lost".into());
        }
        let is_watch = request.uri().query().is_some_and(|q| q.contains("watch=true"));
        let plural = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let answer = self.forward(request).await?;
        if !is_watch || !answer.status().is_success() {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let stream = faulty(body, plural, self.0.weather.subscribe(), self.clone());
        Ok(Response::from_parts(parts, BodyExt::boxed_unsync(StreamBody::new(stream))))
    }

    async fn forward(&self, request: Request<Bytes>) -> Result<Response<Body>, BoxError> {
        let mut onward =
            Request::builder().method(request.method()).uri(request.uri().path_and_query().unwrap().as_str());
        for name in [header::CONTENT_TYPE, header::ACCEPT, header::USER_AGENT] {
            if let Some(value) = request.headers().get(&name) {
                onward = onward.header(name, value);
            }
        }
        let body = kube::client::Body::from(request.into_body().to_vec());
        let (parts, body) = self.0.client.send(onward.body(body)?).await?.into_parts();
        let mut answer = Response::new(body.map_err(BoxError::from).boxed_unsync());
        *answer.status_mut() = parts.status;
        if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
            answer.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
        }
        Ok(answer)
    }
}

/// A watch's body, as far as the faults let it through.
fn faulty(
    mut body: Body,
    plural: String,
    mut weather: watch::Receiver<Weather>,
    proxy: Proxy,
) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
    async_stream::stream! {
        let born = weather.borrow_and_update().cuts;
        let is_through = |w: &Weather| w.cuts > born || !w.frozen.contains(&plural.as_str());
        loop {
            let frame = tokio::select! {
                biased;
                _ = weather.wait_for(|w| w.cuts > born) => None,
                frame = body.frame() => frame,
            };
            if frame.is_some() && !is_through(&weather.borrow()) {
                proxy.count("watch frozen");
                let _ = weather.wait_for(is_through).await.map(drop);
            }
            let now = weather.borrow().clone();
            if now.cuts > born {
                proxy.count("watch cut");
                match now.how {
                    Cut::End => {}
                    Cut::Error => yield Err("cut".into()),
                    Cut::Expired => {
                        let event = json!({"type": "ERROR", "object": status(410, "Expired", "injected")});
                        yield Ok(Frame::data(Bytes::from(format!("{event}\n"))));
                    }
                }
                return;
            }
            match frame {
                Some(frame) => yield frame,
                None => return,
            }
        }
    }
}

fn status(code: u16, reason: &str, message: &str) -> serde_json::Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn refusal(code: u16, reason: &str, message: &str) -> Response<Body> {
    let body = Full::from(Bytes::from(status(code, reason, message).to_string()));
    let mut answer = Response::new(body.map_err(|e| match e {}).boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

fn kubeconfig(address: SocketAddr) -> String {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "proxy", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
    });
    config.to_string()
}
