//! Bodies of requests: of any type, and not larger than kube-apiserver takes.
use bytes::Bytes;
use futures::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use poolkeeper::local::{History, LocalService};
use poolkeeper_testkit::gadget::*;
use serde_json::{Value, json};
use tower::{BoxError, ServiceExt};

const LIMIT: usize = 3 * 1024 * 1024;
const PATH: &str = "/apis/test.poolkeeper.dev/v1/namespaces/n/gadgets";

/// A gadget's JSON of exactly that many bytes.
fn padded(name: &str, size: usize) -> Vec<u8> {
    let mut body = serde_json::to_vec(&gadget(name, json!({"max": 5}))).unwrap();
    body.resize(size, b' ');
    body
}

async fn send<B>(service: LocalService, request: Request<B>) -> (u16, Value)
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let response = service.oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn too_large_a_body_is_refused() {
    let (env, _) = subject(History::Full);
    env.create("a", json!({"max": 5})).await;
    let one = format!("{GADGETS}/a");
    let (code, _, _) = env.send("POST", GADGETS, "application/json", padded("b", LIMIT)).await;
    assert_eq!(code, 201);
    for (method, path, content_type) in [
        ("POST", GADGETS, "application/json"),
        ("PUT", &one, "application/json"),
        ("PATCH", &one, "application/merge-patch+json"),
        ("DELETE", &one, "application/json"),
        ("DELETE", GADGETS, "application/json"),
    ] {
        let (code, _, body) = env.send(method, path, content_type, padded("c", LIMIT + 1)).await;
        let status: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((code, status["code"].as_u64()), (413, Some(413)), "{method}");
        assert_eq!(status["reason"], "RequestEntityTooLarge");
        assert_eq!(status["message"], "Request entity too large: limit is 3145728");
    }
    // A request that needs no body does not care about its size.
    let (code, _, _) = env.send("GET", &one, "", padded("c", LIMIT + 1)).await;
    assert_eq!(code, 200);
    let left = env.gadgets().list(&Default::default()).await.unwrap().items;
    assert_eq!(left.into_iter().map(|g| g.metadata.name.unwrap()).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn a_body_may_have_any_type() {
    let service = local(History::Full).service();
    let body = serde_json::to_vec(&gadget("a", json!({"max": 5}))).unwrap();
    let (code, _) = send(service.clone(), Request::post(PATH).body(Full::new(Bytes::from(body))).unwrap()).await;
    assert_eq!(code, 201);
    let (code, _) = send(service.clone(), Request::get(format!("{PATH}/a")).body(String::new()).unwrap()).await;
    assert_eq!(code, 200);
    // In pieces, as from a socket.
    let body = serde_json::to_vec(&gadget("b", json!({"max": 5}))).unwrap();
    let pieces: Vec<_> =
        body.chunks(7).map(|piece| Ok::<_, BoxError>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    let body = StreamBody::new(stream::iter(pieces));
    let (code, made) = send(service.clone(), Request::post(PATH).body(body).unwrap()).await;
    assert_eq!((code, &made["metadata"]["name"]), (201, &json!("b")));
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let api = local(History::Full);
    let body = serde_json::to_vec(&gadget("a", json!({"max": 5}))).unwrap();
    let pieces = [Ok(Frame::data(Bytes::from(body))), Err(BoxError::from("connection reset"))];
    let request = Request::post(PATH).body(StreamBody::new(stream::iter(pieces))).unwrap();
    let error = api.service().oneshot(request).await.unwrap_err();
    assert_eq!(error.to_string(), "connection reset");
    assert!(api.history().is_empty());
}

/// The server stops reading at the limit: a body without an end is no danger.
#[tokio::test]
async fn a_body_without_an_end_is_refused() {
    let service = local(History::Full).service();
    let piece = Bytes::from(vec![b' '; 64 * 1024]);
    let pieces = stream::repeat_with(move || Ok::<_, BoxError>(Frame::data(piece.clone())));
    let (code, _) = send(service, Request::post(PATH).body(StreamBody::new(pieces)).unwrap()).await;
    assert_eq!(code, 413);
}
