//! Requests that must not pass, and connections that must not hold anything up.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use http::Request;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use poolkeeper_testkit::local_server::Rig;

use crate::PROGRAM;

const POOLS: &str = "/apis/poolkeeper.dev/v1alpha1/namespaces/default/containerpools";

/// A client with another kubeconfig than the server wrote.
async fn changed(rig: &Rig, change: impl FnOnce(&mut Value)) -> Client {
    let mut config: Value = serde_json::from_slice(&std::fs::read(rig.kubeconfig()).unwrap()).unwrap();
    change(&mut config);
    let file: Kubeconfig = serde_json::from_value(config).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn answer(client: &Client, request: Request<Body>) -> (u16, Value) {
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_default())
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn nothing_passes_without_the_token() {
    let rig = Rig::new(PROGRAM);
    let good = rig.up().client().await;
    let unauthorized = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "Unauthorized",
        "reason": "Unauthorized", "code": 401,
    });
    for token in [Value::Null, json!("wrong"), json!("")] {
        let client = changed(&rig, |config| config["users"][0]["user"] = json!({"token": token})).await;
        for path in [POOLS, "/version", "/poolkeeper.local/status", "/poolkeeper.local/backup", "/nothing"] {
            assert_eq!(answer(&client, get(path)).await, (401, unauthorized.clone()), "{path}");
        }
        for path in ["/poolkeeper.local/down?force=true", "/poolkeeper.local/leave", POOLS] {
            let request = Request::post(path).body(Body::from(b"{}".to_vec())).unwrap();
            assert_eq!(answer(&client, request).await.0, 401, "{path}");
        }
    }
    assert_eq!(answer(&good, get(POOLS)).await.0, 200);
    assert_eq!(answer(&good, get("/poolkeeper.local/nothing")).await.0, 404);
    let request = Request::delete("/poolkeeper.local/down").body(Body::empty()).unwrap();
    assert_eq!(answer(&good, request).await.0, 405);
    // Another name that leads here, as a web page may have.
    let mut other = get(POOLS);
    other.headers_mut().insert("host", "evil.example".parse().unwrap());
    let (code, body) = answer(&good, other).await;
    assert_eq!((code, &body["reason"]), (403, &json!("Forbidden")));
}

#[tokio::test]
async fn bad_requests_get_the_errors_of_the_api() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let post =
        |body: Vec<u8>, media: &str| Request::post(POOLS).header("content-type", media).body(Body::from(body)).unwrap();
    assert_eq!(answer(&client, post(b"{".to_vec(), "application/json")).await.0, 400);
    assert_eq!(answer(&client, post(vec![b'x'; 3 * 1024 * 1024 + 1], "application/json")).await.0, 413);
    let (code, body) = answer(&client, post(vec![1], "application/vnd.kubernetes.protobuf")).await;
    assert_eq!((code, &body["reason"]), (415, &json!("UnsupportedMediaType")));
    for path in
        ["/..//../etc/passwd", "/api/v1/../../version", "/apis//v1", "/%2e%2e/version", "/poolkeeper.local/../version"]
    {
        let (code, _) = answer(&client, get(path)).await;
        assert_eq!(code, 404, "{path}");
    }
    let other = Request::get(POOLS).header("accept", "application/vnd.kubernetes.protobuf").body(Body::empty());
    assert_eq!(answer(&client, other.unwrap()).await.0, 406);
}

#[tokio::test]
async fn connections_that_say_nothing_stop_no_other() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let status: Value = serde_json::from_str(&rig.local(&["status", "-o", "json"]).exits(0).stdout).unwrap();
    let address = status["address"].as_str().unwrap().strip_prefix("https://").unwrap().to_owned();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // One that does not speak TLS is closed.
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    plain.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer_of_plain = Vec::new();
    let _ = plain.read_to_end(&mut answer_of_plain);
    assert!(!answer_of_plain.starts_with(b"HTTP"));
    assert_eq!(answer(&client, get(POOLS)).await.0, 200);
    drop(silent);
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    let (rig, other) = (Rig::new(PROGRAM), Rig::new(PROGRAM));
    rig.up();
    other.up();
    let foreign: Value = serde_json::from_slice(&std::fs::read(other.kubeconfig()).unwrap()).unwrap();
    let authority = &foreign["clusters"][0]["cluster"]["certificate-authority-data"];
    let client =
        changed(&rig, |config| config["clusters"][0]["cluster"]["certificate-authority-data"] = authority.clone())
            .await;
    assert!(client.send(get(POOLS)).await.is_err());
}

/// Bytes of memory that a process holds now.
fn resident_memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// How many watches are open at a time. In CI more than by hand.
fn watches() -> usize {
    std::env::var("POOLKEEPER_WATCHES").map_or(100, |watches| watches.parse().unwrap())
}

/// Some of the watches are never read, as by a client that was stopped: they hold up neither the others nor the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_watches_see_a_change_and_slow_ones_cost_little() {
    let watches = watches();
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let watch = format!("{POOLS}?watch=true");
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    for n in 0..watches {
        let response = client.send(get(&watch)).await.unwrap();
        assert_eq!(response.status(), 200, "watch {n}");
        if n % 10 == 0 { unread.push(response) } else { read.push(response.into_body()) }
    }
    let before = resident_memory(rig.pid());
    let pool = |n: usize| {
        let annotations = json!({"poolkeeper.example/padding": "x".repeat(100_000)});
        let pool = json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool",
            "metadata": {"name": format!("pool-{n}"), "annotations": annotations},
            "spec": {"runtime": "Process", "max": 1, "paused": true},
        });
        Request::post(POOLS).header("content-type", "application/json").body(Body::from(pool.to_string().into_bytes()))
    };
    // 2 MB of changes for each watch: of a thousand watches 2 GB, if the server prepared them for those that do not read.
    for n in 0..20 {
        assert_eq!(answer(&client, pool(n).unwrap()).await.0, 201);
        for body in &mut read {
            let frame = http_body_util::BodyExt::frame(body).await;
            assert!(frame.is_some_and(|frame| frame.is_ok()), "a watch ended");
        }
    }
    let grown = resident_memory(rig.pid()).saturating_sub(before);
    let most = (50 * 1024 + 200 * watches as u64) * 1024;
    assert!(grown < most, "the server grew by {grown} bytes");
    drop(unread);
    assert_eq!(answer(&client, get(POOLS)).await.0, 200);
}

/// Python 3.13 verifies by RFC 5280 to the letter, which others do not: extensions that are missing fail there alone.
#[test]
fn the_certificate_passes_the_strict_rules_of_python() {
    const SCRIPT: &str = r#"
import base64, json, ssl, sys, urllib.request
config = json.load(open(sys.argv[1]))
cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
context = ssl.create_default_context(cadata=authority)
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
request = urllib.request.Request(cluster["server"] + "/version", headers={"Authorization": "Bearer " + user["token"]})
print(urllib.request.urlopen(request, context=context).status)
"#;
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3");
        return;
    }
    let rig = Rig::new(PROGRAM);
    rig.up();
    let said = std::process::Command::new("python3").args(["-c", SCRIPT]).arg(rig.kubeconfig()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "200\n", "{}", String::from_utf8_lossy(&said.stderr));
}
