//! What lies between a client and the API server, and what can go wrong there.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use poolkeeper::local::{LocalApi, LocalService, ResponseBody};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

use poolkeeper_testkit::audit::evidence::Mark;
use poolkeeper_testkit::watched::Watched;

/// More requests than this in one round of a run mean an endless loop.
const TOO_MANY: u64 = 60_000;

/// What all wires of a run write down.
pub struct Ledger {
    pub start: Instant,
    pub marks: Mutex<BTreeMap<u64, Mark>>,
    pub tally: Mutex<BTreeMap<String, u64>>,
    pub trace: Mutex<Vec<String>>,
    requests: Mutex<u64>,
    rounds: u64,
}

impl Ledger {
    pub fn new(rounds: u64) -> Self {
        Self {
            rounds,
            start: Instant::now(),
            marks: Mutex::default(),
            tally: Mutex::default(),
            trace: Mutex::default(),
            requests: Mutex::default(),
        }
    }

    pub fn count(&self, what: &str) {
        *self.tally.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub fn say(&self, text: impl AsRef<str>) {
        let line = format!("{:9.3} {}", self.start.elapsed().as_secs_f64(), text.as_ref());
        self.trace.lock().unwrap().push(line);
    }

    pub fn has_too_many_requests(&self) -> bool {
        *self.requests.lock().unwrap() > TOO_MANY * self.rounds
    }
}

/// How likely each fault is for one request, now.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// A write takes this long at most to arrive.
    pub delay: Option<(f64, Duration)>,
    /// A write never arrives.
    pub drop: f64,
    /// A write takes effect, and its answer is lost.
    pub answer_lost: f64,
    /// A write is answered with 409 and not done.
    pub conflict: f64,
    /// A read fails.
    pub read_fails: f64,
    /// A watch is answered with 410.
    pub gone: f64,
}

/// How a watch ends before its time.
#[derive(Clone, Copy, Debug, Default)]
pub enum Cut {
    /// The body ends.
    #[default]
    End,
    /// The connection breaks.
    Error,
    /// An ERROR event with code 410.
    Gone,
}

#[derive(Clone, Debug, Default)]
struct Watches {
    frozen: BTreeSet<String>,
    cuts: u64,
    how: Cut,
}

/// The faults of one client's way to the server; they outlive the client.
pub struct Wires {
    pub rules: Mutex<Rules>,
    watches: Watched<Watches>,
    rng: Mutex<StdRng>,
}

impl Wires {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            rules: Mutex::default(),
            watches: Watched::default(),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        })
    }

    /// Watches on these plurals show nothing any more, or go on with all that was missed.
    pub fn freeze(&self, plurals: &[&str], frozen: bool) {
        self.watches.change(|w| {
            for p in plurals {
                if frozen {
                    w.frozen.insert((*p).to_owned());
                } else {
                    w.frozen.remove(*p);
                }
            }
        });
    }

    /// Ends all watches.
    pub fn cut(&self, how: Cut) {
        self.watches.change(|w| {
            w.cuts += 1;
            w.how = how;
        });
    }

    fn roll(&self) -> f64 {
        self.rng.lock().unwrap().random()
    }

    fn within(&self, most: Duration) -> Duration {
        most.mul_f64(self.roll())
    }
}

/// Death at a write.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// How many writes it still does.
    pub writes: u32,
    /// Only writes to the status of this plural count.
    pub of: Option<&'static str>,
    /// Whether the last one still takes effect.
    pub after: bool,
}

/// One client's connection. Clones are the same one.
#[derive(Clone)]
pub struct Net {
    pub name: String,
    api: LocalApi,
    inner: LocalService,
    wires: Arc<Wires>,
    ledger: Arc<Ledger>,
    death: Arc<Mutex<Option<Death>>>,
    pub dead: CancellationToken,
}

enum Fate {
    Normal,
    Delay(Duration),
    Drop(Duration),
    AnswerLost(Duration),
    Conflict,
    Fail(Duration),
    Gone,
    Die,
    DieAfter,
}

impl Net {
    pub fn new(name: impl Into<String>, api: &LocalApi, wires: &Arc<Wires>, ledger: &Arc<Ledger>) -> Self {
        Self {
            name: name.into(),
            api: api.clone(),
            inner: api.service(),
            wires: wires.clone(),
            ledger: ledger.clone(),
            death: Arc::default(),
            dead: CancellationToken::new(),
        }
    }

    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "sim")
    }

    /// Kills the controller at this end, at a write.
    pub fn die_at(&self, death: Death) {
        *self.death.lock().unwrap() = Some(death);
    }

    fn is_watch(request: &Request<kube::client::Body>) -> bool {
        request.uri().query().is_some_and(|q| q.contains("watch=true") || q.contains("watch=1"))
    }

    fn fate(&self, request: &Request<kube::client::Body>) -> Fate {
        let (rules, wires) = (self.wires.rules.lock().unwrap().clone(), &self.wires);
        let silence =
            |wires: &Wires| if wires.roll() < 0.5 { Duration::ZERO } else { wires.within(Duration::from_secs(30)) };
        if *request.method() == Method::GET {
            if Self::is_watch(request) {
                return if wires.roll() < rules.gone { Fate::Gone } else { Fate::Normal };
            }
            return if wires.roll() < rules.read_fails { Fate::Fail(silence(wires)) } else { Fate::Normal };
        }
        let path = request.uri().path();
        let counts = |d: &Death| d.of.is_none_or(|plural| path.ends_with("/status") && path.contains(plural));
        if let Some(death) = self.death.lock().unwrap().as_mut().filter(|d| counts(d)) {
            if death.writes == 0 {
                return if death.after { Fate::DieAfter } else { Fate::Die };
            }
            death.writes -= 1;
        }
        if wires.roll() < rules.drop {
            Fate::Drop(silence(wires))
        } else if wires.roll() < rules.answer_lost {
            Fate::AnswerLost(silence(wires))
        } else if wires.roll() < rules.conflict {
            Fate::Conflict
        } else if let Some((p, most)) = rules.delay
            && wires.roll() < p
        {
            Fate::Delay(wires.within(most))
        } else {
            Fate::Normal
        }
    }

    /// Has the server do it, now.
    fn apply(&self, request: Request<kube::client::Body>) -> Result<Response<ResponseBody>, BoxError> {
        let before = self.api.revision();
        // The server answers without waiting for anything, so no other write comes in between.
        let answer = self.inner.clone().call(request).now_or_never().unwrap();
        let mark = Mark { mono: self.ledger.start.elapsed(), writer: self.name.clone() };
        let mut marks = self.ledger.marks.lock().unwrap();
        for revision in before + 1..=self.api.revision() {
            marks.insert(revision, mark.clone());
        }
        answer
    }

    async fn travel(&self) {
        sleep(Duration::from_micros(300) + self.wires.within(Duration::from_millis(5))).await;
    }

    async fn answer(self, request: Request<kube::client::Body>) -> Result<Response<ResponseBody>, BoxError> {
        if self.dead.is_cancelled() {
            return futures::future::pending().await;
        }
        *self.ledger.requests.lock().unwrap() += 1;
        if self.ledger.has_too_many_requests() {
            return futures::future::pending().await;
        }
        let fate = self.fate(&request);
        let what = format!("{} {} {}", self.name, request.method(), request.uri().path());
        if *request.method() == Method::GET {
            return self.read(request, fate, &what).await;
        }
        // What was sent is on its way, whatever becomes of the sender.
        tokio::spawn(async move { self.write(request, fate, &what).await }).await?
    }

    async fn write(
        self,
        request: Request<kube::client::Body>,
        fate: Fate,
        what: &str,
    ) -> Result<Response<ResponseBody>, BoxError> {
        let fault = |kind: &str| {
            self.ledger.count(&format!("fault: {kind}"));
            self.ledger.say(format!("{kind}: {what}"));
        };
        self.travel().await;
        match fate {
            Fate::Die => {
                fault("killed before a write");
                self.dead.cancel();
                return futures::future::pending().await;
            }
            Fate::DieAfter => {
                fault("killed after a write");
                let _ = self.apply(request);
                self.dead.cancel();
                return futures::future::pending().await;
            }
            Fate::Drop(silence) => {
                fault("write dropped");
                sleep(silence).await;
                return Err("connection reset".into());
            }
            Fate::AnswerLost(silence) => {
                fault("answer lost");
                let answer = self.apply(request)?;
                self.ledger.say(format!("  it was {}", answer.status()));
                sleep(silence).await;
                return Err("connection reset".into());
            }
            Fate::Conflict => {
                fault("409");
                // A create that a proxy sent twice finds what it made itself.
                let reason = if *request.method() == Method::POST {
                    let _ = self.apply(request)?;
                    "AlreadyExists"
                } else {
                    "Conflict"
                };
                return Ok(failure(409, reason, "injected"));
            }
            Fate::Delay(time) => {
                fault("write delayed");
                sleep(time).await;
            }
            _ => {}
        }
        let answer = self.apply(request)?;
        self.ledger.say(format!("{} {what}", answer.status().as_u16()));
        self.travel().await;
        Ok(answer)
    }

    async fn read(
        self,
        request: Request<kube::client::Body>,
        fate: Fate,
        what: &str,
    ) -> Result<Response<ResponseBody>, BoxError> {
        self.travel().await;
        match fate {
            Fate::Fail(silence) => {
                self.ledger.count("fault: read failed");
                self.ledger.say(format!("read failed: {what}"));
                sleep(silence).await;
                return Ok(failure(503, "ServiceUnavailable", "injected"));
            }
            Fate::Gone => {
                self.ledger.count("fault: 410");
                self.ledger.say(format!("410: {what}"));
                if self.wires.roll() < 0.5 {
                    return Ok(failure(410, "Expired", "too old resource version: injected"));
                }
                return Ok(Response::new(Full::from(gone_event()).map_err(|e| match e {}).boxed_unsync()));
            }
            _ => {}
        }
        let is_watch = Self::is_watch(&request);
        let plural = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let answer = self.inner.clone().call(request).await?;
        self.travel().await;
        if !is_watch {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let stream = faulty(body, plural, self.wires.watches.clone());
        Ok(Response::from_parts(parts, BodyExt::boxed_unsync(StreamBody::new(stream))))
    }
}

/// A watch's body, as far as the faults let it through.
fn faulty(
    mut body: ResponseBody,
    plural: String,
    watches: Watched<Watches>,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
    async_stream::stream! {
        let born = watches.read(|w| w.cuts);
        loop {
            let frame = tokio::select! {
                biased;
                () = watches.wait_for(|w| w.cuts > born) => None,
                frame = body.frame() => frame,
            };
            if frame.is_some() {
                watches.wait_for(|w| w.cuts > born || !w.frozen.contains(&plural)).await;
            }
            let now = watches.read(Clone::clone);
            if now.cuts > born {
                match now.how {
                    Cut::End => {}
                    Cut::Error => yield Err("connection reset".into()),
                    Cut::Gone => yield Ok(Frame::data(gone_event())),
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
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

fn gone_event() -> Bytes {
    let event = json!({"type": "ERROR", "object": status(410, "Expired", "too old resource version: injected")});
    Bytes::from(format!("{event}\n"))
}

fn failure(code: u16, reason: &str, message: &str) -> Response<ResponseBody> {
    let body = Full::from(Bytes::from(status(code, reason, message).to_string()));
    let mut answer = Response::new(body.map_err(|e| match e {}).boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}

impl Service<Request<kube::client::Body>> for Net {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}
