//! What the local server can be asked besides the API: how it is, a copy of its store, and to go.
//!
//! | request | answer |
//! |---|---|
//! | `GET /poolkeeper.local/status` | [`ServerStatus`] |
//! | `GET /poolkeeper.local/backup` | a copy of the store |
//! | `POST /poolkeeper.local/down` | when all workers are stopped; 409 if attempts are open |
//! | the same with `?force=true` | the same, with open attempts too |
//! | the same with `?wait=true` | the same, once no attempt is open; nothing is assigned while this request waits |
//! | `POST /poolkeeper.local/rotate` | when the token and the authority are other ones |
//! | `POST /poolkeeper.local/leave` | at once; the workers stay |

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_stream::stream;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};
use tower::{BoxError, Service};

use super::current_access::CurrentAccess;
use super::home::Home;
use super::kubectl;
use super::parts::Parts;
use super::refusal::Refusal;
use crate::https::ResponseBody;
use crate::local::{DiskCopier, LocalService};

/// Where these requests go.
pub const PREFIX: &str = "/poolkeeper.local/";

/// How the server is.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// What its user has to know, if it started with a restored copy of its store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<String>,
}

/// What a client asked of the server.
pub(super) enum Order {
    Leave,
    Down(Down),
}

/// A request to stop all workers.
pub(super) struct Down {
    /// Also if attempts are open.
    pub force: bool,
    /// Once no attempt is open.
    pub wait: bool,
    pub answer: oneshot::Sender<Result<(), Refusal>>,
}

impl Down {
    /// True if the client is gone.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    pub fn refuse(self, refusal: Refusal) {
        // A client that is gone needs no answer.
        let _ = self.answer.send(Err(refusal));
    }
}

/// The service that clients reach: these requests, what kubectl asks besides, and all others for the API.
#[derive(Clone)]
pub(super) struct Front {
    api: LocalService,
    copier: DiskCopier,
    home: Home,
    access: Arc<CurrentAccess>,
    orders: mpsc::Sender<Order>,
    started: Timestamp,
    restored: Option<String>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;

impl Front {
    pub fn new(
        parts: &Parts,
        access: Arc<CurrentAccess>,
        orders: mpsc::Sender<Order>,
        started: Timestamp,
        restored: Option<String>,
    ) -> Self {
        let (api, copier, home) = (parts.api.service(), parts.copier.clone(), parts.home.clone());
        Self { api, copier, home, access, orders, started, restored }
    }

    async fn answer(self, method: Method, what: String, query: String) -> Result<Response<ResponseBody>, BoxError> {
        match (method, what.as_str()) {
            (Method::GET, "status") => {
                let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION").to_owned());
                let (started, restored) = (self.started, self.restored.clone());
                Ok(json_response(200, &serde_json::to_value(ServerStatus { pid, version, started, restored })?))
            }
            (Method::GET, "backup") => self.backup().await,
            (Method::POST, "rotate") => Ok(match self.access.rotate() {
                Ok(()) => json_response(200, &json!({})),
                Err(error) => refused(&Refusal::failed(error.to_string())),
            }),
            (Method::POST, "leave") => {
                self.orders.send(Order::Leave).await?;
                Ok(json_response(200, &json!({})))
            }
            (Method::POST, "down") => {
                let (answer, answered) = oneshot::channel();
                let (force, wait) = (query == "force=true", query == "wait=true");
                self.orders.send(Order::Down(Down { force, wait, answer })).await?;
                Ok(match answered.await? {
                    Ok(()) => json_response(200, &json!({})),
                    Err(refusal) => refused(&refusal),
                })
            }
            (Method::GET | Method::POST, _) => {
                let message = format!("the server has nothing at {PREFIX}{what}");
                Ok(refused(&Refusal { code: 404, message }))
            }
            _ => Ok(refused(&Refusal { code: 405, message: "only GET and POST are supported".to_owned() })),
        }
    }

    /// A copy of the store, which is made on the disk first: the store may be larger than memory likes.
    async fn backup(&self) -> Result<Response<ResponseBody>, BoxError> {
        let copy = self.home.path().join(format!("backup.{}", uuid()));
        let (copier, path) = (self.copier.clone(), copy.clone());
        tokio::task::spawn_blocking(move || copier.copy_to(&path)).await??;
        let mut file = tokio::fs::File::open(&copy).await?;
        // It is open, so its content stays until it is closed.
        tokio::fs::remove_file(&copy).await?;
        let frames = stream! {
            loop {
                let mut part = BytesMut::with_capacity(64 * 1024);
                match file.read_buf(&mut part).await {
                    Ok(0) => return,
                    Ok(_) => yield Ok(Frame::data(part.freeze())),
                    Err(error) => {
                        yield Err(BoxError::from(error));
                        return;
                    }
                }
            }
        };
        Ok(Response::new(StreamBody::new(frames).boxed_unsync()))
    }
}

/// A name that no other copy has.
fn uuid() -> String {
    crate::clock::Ids::random().uid()
}

impl Service<Request<Full<Bytes>>> for Front {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let path = request.uri().path();
        if let Some(refusal) = kubectl::refusal(path) {
            return Box::pin(async move { Ok(refused(&refusal)) });
        }
        if path == kubectl::KINDS && request.method() == Method::GET {
            let kinds = self.api.call(request);
            return Box::pin(async move {
                let kinds = kinds.await?.into_body().collect().await?.to_bytes();
                Ok(json_response(200, &kubectl::with_pods(serde_json::from_slice(&kinds)?)))
            });
        }
        match path.strip_prefix(PREFIX) {
            Some(what) => {
                let query = request.uri().query().unwrap_or_default().to_owned();
                Box::pin(self.clone().answer(request.method().clone(), what.to_owned(), query))
            }
            None => self.api.call(request),
        }
    }
}

fn refused(refusal: &Refusal) -> Response<ResponseBody> {
    let reason = match refusal.code {
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        501 => "NotImplemented",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": refusal.message,
        "reason": reason, "code": refusal.code,
    });
    json_response(refusal.code, &status)
}

fn json_response(code: u16, body: &serde_json::Value) -> Response<ResponseBody> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
