use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::channel::mpsc;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::runtime::InstanceKey;

type Body = StreamBody<mpsc::UnboundedReceiver<Result<Frame<Bytes>, std::io::Error>>>;
/// The server's end of a watch: bytes, or that the connection breaks.
type Watch = mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

/// One Pod of ours, as it was written with this version.
fn pod(version: &str, ready: &str) -> Value {
    json!({"metadata": {"name": "p-0-1", "namespace": "n", "uid": "u", "resourceVersion": version,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"poolkeeper.dev/worker": "p-0", "poolkeeper.dev/worker-uid": "1"}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "worker", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {}}}]}})
}

/// The same Pod as installation `i` made it, or another.
fn made_by(installation: &str, version: &str) -> Value {
    let mut pod = pod(version, "True");
    pod["metadata"]["labels"]["poolkeeper.dev/installation"] = installation.into();
    pod
}

/// An API server with one Pod. Every watch on it is handed to the test.
struct Server {
    lists: Arc<AtomicUsize>,
    /// Which labels the Pods must have that are asked for.
    selectors: Arc<Mutex<BTreeSet<String>>>,
    watches: mpsc::UnboundedReceiver<Watch>,
    observed: mpsc::UnboundedReceiver<Observation>,
    seen: Arc<Seen>,
}

impl Server {
    async fn followed() -> Self {
        let lists = Arc::new(AtomicUsize::new(0));
        let (opened, watches) = mpsc::unbounded();
        let (says, observed) = mpsc::unbounded();
        let selectors = Arc::new(Mutex::new(BTreeSet::new()));
        let (counted, selected) = (lists.clone(), selectors.clone());
        let answer = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (sender, receiver) = mpsc::unbounded();
            let query = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
            selected.lock().unwrap().extend(query.filter(|(k, _)| k == "labelSelector").map(|(_, v)| v.into_owned()));
            if request.uri().query().is_some_and(|q| q.contains("watch=true")) {
                let _ = opened.unbounded_send(sender);
            } else {
                counted.fetch_add(1, Ordering::SeqCst);
                let list = json!({"metadata": {"resourceVersion": "5"}, "items": [pod("5", "True")]});
                let _ = sender.unbounded_send(Ok(Frame::data(list.to_string().into())));
            }
            let body: Body = StreamBody::new(receiver);
            async { Ok::<_, std::io::Error>(http::Response::new(body)) }
        });
        let seen = Arc::new(Seen::default());
        let mut observations = observe(Api::all(kube::Client::new(answer, "n")), "i".into(), seen.clone());
        tokio::spawn(async move {
            while let Some(observation) = observations.next().await {
                let _ = says.unbounded_send(observation);
            }
        });
        let mut this = Self { lists, selectors, watches, observed, seen };
        this.lists().await;
        this
    }

    /// All is listed, and the next observation is that listing.
    async fn lists(&mut self) {
        let observed =
            tokio::time::timeout(Duration::from_secs(3600), self.observed.next()).await.expect("nothing is reported");
        assert!(matches!(&observed, Some(Observation::Listed(pods)) if pods.len() == 1), "{observed:?}");
        assert!(self.answers_checks());
    }

    async fn watch(&mut self) -> Watch {
        self.watches.next().await.unwrap()
    }

    fn answers_checks(&self) -> bool {
        self.seen.checked(&InstanceKey { namespace: "n".into(), worker: "p-0".into(), uid: "1".into() }).is_some()
    }
}

fn cut(watch: &Watch) {
    watch.unbounded_send(Err(std::io::ErrorKind::ConnectionReset.into())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_was_cut_goes_on_with_the_next_change() {
    let mut server = Server::followed().await;
    cut(&server.watch().await);
    let watch = server.watch().await;
    assert!(!server.answers_checks(), "what it showed may be old");
    let line = format!("{}\n", json!({"type": "MODIFIED", "object": pod("6", "False")}));
    watch.unbounded_send(Ok(Frame::data(line.into()))).unwrap();
    assert!(matches!(server.observed.next().await, Some(Observation::Changed(_))));
    assert!(server.answers_checks());
    assert_eq!(server.lists.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_was_cut_and_says_nothing_is_begun_again() {
    let mut server = Server::followed().await;
    for _ in 0..3 {
        // That it was cut before is no reason to call the server unreachable.
        cut(&server.watch().await);
        let _silent = server.watch().await;
        server.lists().await;
    }
    assert_eq!(server.lists.load(Ordering::SeqCst), 4);
}

/// The id of an installation is lost with its Lease. Its Workers are there, and their Pods run.
#[tokio::test(start_paused = true)]
async fn pods_of_every_installation_are_reported_with_their_owner() {
    let mut server = Server::followed().await;
    let selectors = server.selectors.lock().unwrap().clone();
    assert!(selectors.iter().all(|s| s == "poolkeeper.dev/worker-uid"), "{selectors:?}");
    let watch = server.watch().await;
    for (n, (installation, own)) in [("i", true), ("j", false)].into_iter().enumerate() {
        let pod = made_by(installation, &(6 + n).to_string());
        let line = format!("{}\n", json!({"type": "MODIFIED", "object": pod}));
        watch.unbounded_send(Ok(Frame::data(line.into()))).unwrap();
        let observed = server.observed.next().await;
        assert!(matches!(&observed, Some(Observation::Changed(i)) if i.own == own), "{installation}: {observed:?}");
    }
}

/// As for a controller whose role lacks the verb: no change will be reported, however often all is listed.
#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_is_reported_at_once_and_retried_with_backoff() {
    let answer = tower::service_fn(|request: http::Request<kube::client::Body>| {
        let (code, body) = if request.uri().query().is_some_and(|q| q.contains("watch=true")) {
            (
                403,
                json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no watch", "code": 403}),
            )
        } else {
            (200, json!({"metadata": {"resourceVersion": "5"}, "items": [pod("5", "True")]}))
        };
        let body = kube::client::Body::from(body.to_string().into_bytes());
        let response = http::Response::builder().status(code).body(body).unwrap();
        async { Ok::<_, std::io::Error>(response) }
    });
    let (seen, clock) = (Arc::new(Seen::default()), SystemClock::new());
    let mut observed = observe(Api::all(kube::Client::new(answer, "n")), "i".into(), seen);
    for round in 0..20 {
        assert!(matches!(observed.next().await, Some(Observation::Listed(_))));
        let lost = observed.next().await;
        assert!(matches!(&lost, Some(Observation::Unreachable(why)) if why.contains("no watch")), "{lost:?}");
        assert!(round > 0 || clock.mono().is_zero(), "that it cannot be followed is known with the first answer");
    }
    assert!(clock.mono() > MAX_PAUSE * 10, "20 listings within {:?}", clock.mono());
}
