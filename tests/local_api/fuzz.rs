//! Requests of any content: each gets an answer in the API's own form, and changes nothing that it must not.
//!
//! `PROPTEST_CASES` sets how many.
use std::sync::LazyLock;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use poolkeeper::local::{History, LocalService};
use poolkeeper_testkit::gadget::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// What paths are made of, right and wrong.
const SEGMENTS: [&str; 26] = [
    "api",
    "apis",
    "v1",
    "v1alpha1",
    "namespaces",
    "n",
    "gadgets",
    "a",
    "test.poolkeeper.dev",
    "status",
    "scale",
    "leases",
    "coordination.k8s.io",
    "openapi",
    "v3",
    "version",
    "..",
    ".",
    "",
    "%2e%2e",
    "%",
    "%00",
    "a%2Fb",
    "*",
    "finalize",
    "secrets",
];

const PARAMETERS: [&str; 16] = [
    "watch",
    "limit",
    "continue",
    "labelSelector",
    "fieldSelector",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "dryRun",
    "fieldManager",
    "fieldValidation",
    "propagationPolicy",
    "gracePeriodSeconds",
    "sendInitialEvents",
    "allowWatchBookmarks",
    "includeObject",
];

const VALUES: [&str; 22] = [
    "true",
    "false",
    "1",
    "0",
    "-1",
    "18446744073709551616",
    "All",
    "Strict",
    "Background",
    "Exact",
    "NotOlderThan",
    "a=b",
    "a!=b",
    "a in (b,c)",
    "!a",
    "metadata.name=a",
    "spec.x=",
    "eyJ2IjoxfQ",
    "%",
    "%ff",
    "\u{1f600}",
    "Object",
];

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"];

const MEDIA: [&str; 10] = [
    "",
    "application/json",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "text/plain; charset=\"",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
];

/// JSON that may be an object of the API.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        select(&VALUES[..]).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let keys = select(
        &[
            "metadata",
            "name",
            "namespace",
            "spec",
            "status",
            "max",
            "min",
            "tuning",
            "level",
            "uid",
            "resourceVersion",
            "labels",
            "annotations",
            "finalizers",
            "ownerReferences",
            "generateName",
            "apiVersion",
            "kind",
            "op",
            "path",
            "value",
            "from",
            "preconditions",
            "propagationPolicy",
            "$patch",
            "deletionTimestamp",
            "creationTimestamp",
        ][..],
    );
    let any_json = leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((keys.clone(), inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    });
    prop_oneof![
        1 => vec(any::<u8>(), 0..64),
        1 => (1..20_000usize).prop_map(|depth| b"[".repeat(depth)),
        4 => any_json.clone().prop_map(|json| serde_json::to_vec(&json).unwrap()),
        4 => any_json.prop_map(|json| {
            let mut gadget = json!({
                "apiVersion": "test.poolkeeper.dev/v1", "kind": "Gadget", "metadata": {"name": "b"}, "spec": {"max": 5},
            });
            json_patch::merge(&mut gadget, &json);
            serde_json::to_vec(&gadget).unwrap()
        }),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let right = select(
        &[
            "/apis/test.poolkeeper.dev/v1/namespaces/n/gadgets",
            "/apis/test.poolkeeper.dev/v1/namespaces/n/gadgets/a",
            "/apis/test.poolkeeper.dev/v1/namespaces/n/gadgets/a/status",
            "/apis/test.poolkeeper.dev/v1/gadgets",
            "/api/v1/namespaces/n",
            "/api/v1/namespaces/n/secrets/a",
            "/apis/coordination.k8s.io/v1/namespaces/n/leases",
            "/openapi/v3",
            "/apis/test.poolkeeper.dev/v1/namespaces/n/gadgets/a/scale",
        ][..],
    );
    prop_oneof![
        3 => right.prop_map(str::to_owned),
        1 => vec(select(&SEGMENTS[..]), 0..8).prop_map(|parts| format!("/{}", parts.join("/"))),
    ]
}

fn request() -> impl Strategy<Value = Request<Full<bytes::Bytes>>> {
    let query = vec((select(&PARAMETERS[..]), select(&VALUES[..])), 0..4);
    let media = (select(&MEDIA[..]), select(&MEDIA[..]));
    (select(&METHODS[..]), path(), query, media, body()).prop_filter_map(
        "not an address",
        |(method, path, query, (sent, wanted), body)| {
            let query: Vec<String> = query.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            let uri = format!("{path}?{}", query.join("&")).replace(' ', "+");
            let mut request = Request::builder().method(method).uri(uri);
            for (name, value) in [("content-type", sent), ("accept", wanted)] {
                if !value.is_empty() {
                    request = request.header(name, value);
                }
            }
            request.body(Full::new(body.into())).ok()
        },
    )
}

/// Sends a request. What an answer without an end would say is not waited for.
async fn answer(service: LocalService, request: Request<Full<bytes::Bytes>>) -> (u16, Value) {
    let watch = request.uri().query().is_some_and(|query| query.contains("watch"));
    let response: Response<_> = service.oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    if watch && code == 200 {
        return (code, Value::Null);
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    // A path that leads nowhere is no matter of the API: kube-apiserver says so in plain text.
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    (code, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(2000, |cases| cases.parse().unwrap())
}

/// One server for all requests: what one of them stores, the next may meet.
static SERVER: LazyLock<(Runtime, Subject)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let env = runtime.block_on(async { subject(History::Window(16)).0 });
    (runtime, env)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn every_request_gets_an_answer_of_the_api(request in request()) {
        let (runtime, env) = &*SERVER;
        runtime.block_on(async {
            let _ = env.try_create("a", json!({"max": 5})).await;
            let service = env.local.clone().unwrap().service();
            let said = format!("{request:?}");
            let head = request.method() == "HEAD";
            let (code, body) = answer(service, request).await;
            // kube-apiserver answers some wrong versions with 500 as well.
            let odd = code == 500 && body["message"].as_str().unwrap_or_default().contains("resourceVersion");
            prop_assert!((200..500).contains(&code) || code == 501 || odd, "{} {}: {}", code, body, said);
            if code >= 400 && !head && body != "404 page not found\n" {
                prop_assert_eq!(body["kind"].as_str(), Some("Status"), "{}: {}", code, said);
                prop_assert_eq!(body["code"].as_u64(), Some(code.into()), "{}", said);
            }
            // Whatever was stored can be read, and is valid.
            for gadget in env.gadgets().list(&Default::default()).await.unwrap().items {
                let (max, min) = (gadget.data["spec"]["max"].as_i64(), gadget.data["spec"]["min"].as_i64());
                prop_assert!(max >= min && max.is_some(), "{gadget:?}: {said}");
            }
            Ok(())
        })?;
    }
}
