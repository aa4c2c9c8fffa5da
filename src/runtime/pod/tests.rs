use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

fn key(uid: &str) -> InstanceKey {
    InstanceKey { namespace: "n".into(), worker: "p-0".into(), uid: uid.into() }
}

/// The uid of a worker whose Pod has lost the label with the worker's name.
const UNLABELLED: &str = "x";

fn pod(uid: &str) -> Value {
    let mut labels = json!({"poolkeeper.dev/installation": "i", "poolkeeper.dev/worker-uid": uid});
    if uid != UNLABELLED {
        labels["poolkeeper.dev/worker"] = "p-0".into();
    }
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p-0-{uid}"), "namespace": "n", "uid": uid, "labels": labels}})
}

fn spec(uid: &str) -> InstanceSpec {
    InstanceSpec {
        key: key(uid),
        pool: "p".into(),
        host: LOCAL_HOST.into(),
        image: Some("i".into()),
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        working_dir: None,
        resources: None,
        mounts: Vec::new(),
        credential: None,
        grace: None,
        protected_for: None,
        pool_uid: "p-1".to_owned(),
        pod_template: None,
    }
}

/// The id of an installation is lost with its Lease. Its Workers are there, and their Pods run.
#[tokio::test(start_paused = true)]
async fn a_workers_pod_is_its_own_whichever_installation_made_it() {
    let runtime = PodRuntime { installation: "j".into(), ..runtime(Deleted::Goes) };
    let found = runtime.check(LOCAL_HOST, &key("1")).await.unwrap().expect("it is there");
    assert!(!found.own, "without its Worker it is not to be touched");
    assert_eq!(runtime.start(&spec("1")).await.unwrap().handle, found.handle);
    assert_eq!(runtime.stop(LOCAL_HOST, &key("1")).await, Ok(()));
    assert_eq!(runtime.check(LOCAL_HOST, &key("1")).await, Ok(None), "it was deleted, and then it was gone");
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_labels_do_not_say_whose_it_is_is_not_gone() {
    let runtime = runtime(Deleted::Stays);
    let unknown = runtime.check(LOCAL_HOST, &key(UNLABELLED)).await;
    assert!(matches!(&unknown, Err(RuntimeError::Refused(why)) if why.contains("label")), "{unknown:?}");
}

/// What becomes of Pods that are deleted.
#[derive(Clone, Copy)]
enum Deleted {
    /// They are there once more, then the watch tells that they are gone.
    Goes,
    Stays,
}

/// A runtime whose API server has every Pod that is asked for.
fn runtime(deleted: Deleted) -> PodRuntime {
    let seen = Arc::new(Seen::default());
    let (watch, going, gone) = (seen.clone(), Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let answer = tower::service_fn(move |request: http::Request<Body>| {
        let uid = request.uri().path().rsplit('-').next().unwrap().to_owned();
        let mut going = going.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = gone.lock().unwrap_or_else(PoisonError::into_inner);
        let (code, body) = if request.method() == http::Method::POST {
            (409, json!({"kind": "Status", "status": "Failure", "reason": "AlreadyExists", "message": "", "code": 409}))
        } else if gone.contains(&uid) {
            (404, json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "gone", "code": 404}))
        } else {
            (200, pod(&uid))
        };
        if request.method() == http::Method::DELETE {
            going.insert(uid);
        } else if matches!(deleted, Deleted::Goes) && going.remove(&uid) {
            watch.remove(&key(&uid));
            gone.insert(uid);
        }
        let response = http::Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
        async { Ok::<_, std::io::Error>(response.unwrap()) }
    });
    PodRuntime { seen, ..PodRuntime::new(Client::new(answer, "n"), "i".into(), None) }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_of_pods_that_are_gone() {
    let runtime = runtime(Deleted::Goes);
    for n in 0..20 {
        assert_eq!(runtime.stop(LOCAL_HOST, &key(&n.to_string())).await, Ok(()));
    }
    assert_eq!(runtime.seen.waited_for(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_of_a_pod_that_stays() {
    let runtime = runtime(Deleted::Stays);
    for _ in 0..3 {
        let late = runtime.stop(LOCAL_HOST, &key("1")).await;
        assert!(matches!(&late, Err(RuntimeError::Unreachable(why)) if why.contains("still there")), "{late:?}");
    }
    assert_eq!(runtime.seen.waited_for(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_of_a_stop_that_is_broken_off() {
    let runtime = runtime(Deleted::Stays);
    let one = key("1");
    let mut stop = runtime.stop(LOCAL_HOST, &one);
    let pause = ASK_AGAIN * 3;
    assert!(tokio::time::timeout(pause, &mut stop).await.is_err(), "it waits for the Pod to go");
    assert_eq!(runtime.seen.waited_for(), 1);
    drop(stop);
    assert_eq!(runtime.seen.waited_for(), 0);
}

#[test]
fn every_waiter_for_a_pod_is_notified_once() {
    let (seen, one) = (Seen::default(), key("1"));
    let (mut first, second, mut third) = (seen.going(&one), seen.going(&one), seen.going(&one));
    drop(second);
    assert_eq!(first.notified().now_or_never(), None);
    seen.remove(&key("2"));
    assert_eq!(first.notified().now_or_never(), None);
    seen.remove(&one);
    assert_eq!((first.notified().now_or_never(), third.notified().now_or_never()), (Some(()), Some(())));
    assert_eq!(first.notified().now_or_never(), None);
    drop(first);
    assert_eq!(seen.waited_for(), 1);
    seen.remove(&one);
    assert_eq!(third.notified().now_or_never(), Some(()));
    drop(third);
    assert_eq!(seen.waited_for(), 0);
}

/// A runtime that protects, on an API server that lets it list nodes or not. What was created comes out.
fn protecting(nodes: u16) -> (PodRuntime, Arc<Mutex<Vec<Value>>>) {
    let created = Arc::new(Mutex::new(Vec::new()));
    let all = created.clone();
    let answer = tower::service_fn(move |request: http::Request<Body>| {
        let all = all.clone();
        async move {
            let (parts, body) = request.into_parts();
            let watches = parts.uri.query().is_some_and(|q| q.contains("watch=true"));
            if watches {
                std::future::pending::<()>().await;
            }
            let (code, answer) = if parts.method == http::Method::POST {
                let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
                let mut object: Value = serde_json::from_slice(&body).unwrap();
                all.lock().unwrap_or_else(PoisonError::into_inner).push(object.clone());
                object["metadata"]["uid"] = "made".into();
                (201, object)
            } else if nodes != 200 && parts.uri.path().ends_with("/nodes") {
                (
                    nodes,
                    json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no", "code": nodes}),
                )
            } else {
                (200, json!({"metadata": {"resourceVersion": "5"}, "items": []}))
            };
            let response = http::Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, std::io::Error>(response.unwrap())
        }
    });
    let runtime = PodRuntime::new(Client::new(answer, "n"), "i".into(), None).protecting();
    let mut observed = runtime.observe(LOCAL_HOST);
    tokio::spawn(async move { while observed.next().await.is_some() {} });
    (runtime, created)
}

#[tokio::test(start_paused = true)]
async fn a_pool_has_a_budget_before_its_first_pod() {
    let (runtime, created) = protecting(200);
    for uid in ["1", "2"] {
        let spec = InstanceSpec { protected_for: Some(Duration::from_secs(60)), ..spec(uid) };
        runtime.start(&spec).await.unwrap();
    }
    let created = created.lock().unwrap().clone();
    let kinds: Vec<_> = created.iter().map(|o| o["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["PodDisruptionBudget", "Pod", "Pod"]);
    let (budget, pod) = (&created[0], &created[1]);
    assert_eq!(budget["metadata"]["name"], "poolkeeper-p-p1");
    assert_eq!(budget["metadata"]["ownerReferences"][0]["kind"], "ContainerPool");
    for (label, value) in budget["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(pod["metadata"]["labels"][label], *value, "it selects the Pod");
    }
}

/// Without nodes no idle worker would leave one that is drained, and the drain would wait for it.
#[tokio::test(start_paused = true)]
async fn without_the_right_to_nodes_no_worker_is_protected() {
    let (runtime, created) = protecting(403);
    runtime.start(&InstanceSpec { protected_for: Some(Duration::from_secs(60)), ..spec("1") }).await.unwrap();
    let created = created.lock().unwrap().clone();
    assert_eq!(created.len(), 1);
    assert_eq!(created[0]["metadata"]["labels"].get("poolkeeper.dev/protected"), None);
}
