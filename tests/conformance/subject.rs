//! The two servers under test, and a namespace for each test.
use std::io::Write;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Once;

use futures::FutureExt;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config};
use poolkeeper::clock::Ids;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub use poolkeeper_testkit::gadget::*;

/// Makes of each test, a function of a [`Subject`], one for either server.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test]
            async fn $test() {
                crate::subject::on_local(super::$test).await;
            })*
        }
        on_real! { $($test),* }
    };
}

/// Makes of each test one for the real server alone.
macro_rules! on_real {
    ($($test:ident),* $(,)?) => {
        mod real {
            $(#[tokio::test]
            async fn $test() {
                crate::subject::on_real(super::$test).await;
            })*
        }
    };
}

/// The collections that a test may write to.
pub const COLLECTIONS: [&str; 7] = [
    GADGETS,
    "/apis/poolkeeper.dev/v1alpha1/namespaces/NS/containerpools",
    "/apis/poolkeeper.dev/v1alpha1/namespaces/NS/workers",
    "/apis/poolkeeper.dev/v1alpha1/namespaces/NS/dispatches",
    "/apis/coordination.k8s.io/v1/namespaces/NS/leases",
    "/apis/events.k8s.io/v1/namespaces/NS/events",
    "/api/v1/namespaces/NS/secrets",
];

/// Runs a test against an embedded server of its own.
pub async fn on_local<F: Future<Output = ()>>(test: impl FnOnce(Subject) -> F) {
    let (subject, _) = poolkeeper_testkit::gadget::subject(poolkeeper::local::History::Full);
    make_namespace(&subject).await;
    test(subject).await;
}

/// Runs a test in a namespace of the real server, if there is one, and takes the namespace away again.
pub async fn on_real<F: Future<Output = ()>>(test: impl FnOnce(Subject) -> F) {
    let Some(subject) = real().await else { return };
    let outcome = AssertUnwindSafe(test(subject.clone())).catch_unwind().await;
    let tidied = AssertUnwindSafe(tidy(&subject)).catch_unwind().await;
    // What the test itself says comes first.
    if let Err(failed) = outcome.and(tidied) {
        resume_unwind(failed);
    }
}

/// The real server, with a new namespace; `None`, with one loud line on stderr, where none is asked for.
pub async fn real() -> Option<Subject> {
    static READY: OnceCell<()> = OnceCell::const_new();
    static TOLD: Once = Once::new();
    let Some(path) = std::env::var_os("POOLKEEPER_TEST_API") else {
        TOLD.call_once(|| {
            skipped("all comparison with a real API server: POOLKEEPER_TEST_API names no kubeconfig");
        });
        return None;
    };
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    // A refusal that could be retried is an answer like any other here.
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    READY.get_or_init(|| prepare(&client)).await;
    let subject = Subject { client, namespace: format!("test-{}", &Ids::random().uid()[..8]), local: None };
    make_namespace(&subject).await;
    Some(subject)
}

/// Says, past the test harness, that something was not tested.
pub fn skipped(what: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED: {what}").unwrap();
}

/// Installs the kinds.
async fn prepare(client: &Client) {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    for crd in crds() {
        let name = crd.metadata.name.clone().unwrap();
        match api.create(&PostParams::default(), &crd).await {
            Ok(_) => {}
            Err(kube::Error::Api(s)) if s.is_already_exists() => {
                // What an earlier version of the tests left, or the same: that is no write.
                let patch = json!({"spec": {"versions": value(&crd)["spec"]["versions"]}});
                api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
            }
            Err(e) => panic!("{e}"),
        }
        await_condition(api.clone(), &name, conditions::is_crd_established()).await.unwrap();
    }
    // Established is not yet served: the handlers follow.
    let subject = Subject { client: client.clone(), namespace: "default".to_owned(), local: None };
    for collection in &COLLECTIONS[..4] {
        while subject.raw("GET", collection, "", Value::Null).await.0 != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

async fn make_namespace(subject: &Subject) {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": subject.namespace}});
    let (code, answer) = subject.raw("POST", "/api/v1/namespaces", "application/json", body).await;
    assert_eq!(code, 201, "{answer}");
}

/// Removes the namespace and all that is in it, as far as a server without controllers can.
async fn tidy(subject: &Subject) {
    for collection in COLLECTIONS {
        subject.raw("DELETE", collection, "", Value::Null).await;
        let (_, left) = subject.raw("GET", collection, "", Value::Null).await;
        for object in left["items"].as_array().into_iter().flatten() {
            let path = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap());
            let free = json!({"metadata": {"finalizers": null}});
            subject.raw("PATCH", &path, "application/merge-patch+json", free).await;
        }
    }
    subject.raw("DELETE", "/api/v1/namespaces/NS", "", Value::Null).await;
    // Without a namespace controller nothing else marks it as empty.
    let empty = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": subject.namespace}, "spec": {}});
    subject.raw("PUT", "/api/v1/namespaces/NS/finalize", "application/json", empty).await;
}

/// True if dependents are garbage-collected. The embedded server does that; a real one needs a controller manager, which
/// makes a ServiceAccount in every namespace.
pub async fn collects_garbage(subject: &Subject) -> bool {
    static TOLD: Once = Once::new();
    if subject.local.is_some() {
        return true;
    }
    let accounts = Api::<ServiceAccount>::namespaced(subject.client.clone(), "default");
    let found = accounts.get_opt("default").await.unwrap().is_some();
    if !found {
        TOLD.call_once(|| skipped("garbage collection on the real API server: no controller manager runs there"));
    }
    found
}
