//! The embedded API server on a loopback port, with the machine's clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poolkeeper::api::{GROUP, crd};
use poolkeeper::clock::{Ids, SystemClock};
use poolkeeper::local::{History, LocalApi, Options};
use serde_json::json;
use tower::ServiceExt;

/// A server that lives as long as the runtime in which it was started.
pub struct Server {
    pub client: kube::Client,
    pub kubeconfig: PathBuf,
    /// While this is set it answers on its socket what is about this project's kinds with 503, to come back in an hour.
    pub busy: Arc<AtomicBool>,
    /// How often it did.
    pub refused: Arc<AtomicU32>,
}

impl Server {
    pub async fn start(directory: &Path) -> Self {
        let (clock, ids) = (Arc::new(SystemClock::new()), Ids::random());
        let api = LocalApi::new(Options { crds: crd::all(), clock, ids, history: History::Full }).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = kubeconfig(directory, &format!("http://{}", listener.local_addr().unwrap()));
        let client = api.client("default");
        let (busy, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let this = Self { client, kubeconfig, busy: busy.clone(), refused: refused.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (service, busy, refused) = (api.service(), busy.clone(), refused.clone());
                let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (service, busy, refused) = (service.clone(), busy.clone(), refused.clone());
                    async move {
                        if busy.load(Ordering::SeqCst) && request.uri().path().contains(GROUP) {
                            refused.fetch_add(1, Ordering::SeqCst);
                            let refusal = http::Response::builder().status(503).header("retry-after", "3600");
                            return Ok(refusal
                                .body(http_body_util::Empty::new().map_err(Into::into).boxed_unsync())
                                .unwrap());
                        }
                        service.oneshot(request).await
                    }
                });
                // A client that goes ends its connection with an error.
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        this
    }
}

/// A kubeconfig for a server at this URL.
pub fn kubeconfig(directory: &Path, url: &str) -> PathBuf {
    let path = directory.join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
    });
    std::fs::write(&path, text.to_string()).unwrap();
    path
}
