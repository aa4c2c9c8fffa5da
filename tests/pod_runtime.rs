//! What only runtime Pod has: the words of a scheduler, a kubelet and a quota. On a real node, where there is one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use poolkeeper::api::pool::{Credential, Resources, SecretKeyRef};
use poolkeeper::runtime::{InstanceSpec, InstanceState, Observation, StartError};
use poolkeeper_testkit::subject::{Subject, next, state_of};
use serde_json::{Value, json};

fn template(value: Value) -> Option<serde_json::Map<String, Value>> {
    value.as_object().cloned()
}

fn shell(subject: &Subject, script: &str) -> InstanceSpec {
    subject.spec(["sh", "-c", script].map(str::to_owned).to_vec())
}

fn is_not_ready(state: &InstanceState) -> bool {
    state.why_not_ready().is_some()
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_in_the_kubelets_words() {
    let Some(subject) = Subject::pod().await else { return };
    let mut observations = subject.runtime.observe(&subject.host);
    let spec = InstanceSpec { image: Some("127.0.0.1:1/no/such:image".to_owned()), ..subject.idle() };
    subject.runtime.start(&spec).await.unwrap();
    let state = state_of(&mut observations, &spec.key, is_not_ready).await;
    assert!(
        matches!(&state, InstanceState::NotReady { why, held: false } if why.contains("no/such:image")),
        "{state:?}"
    );
    subject.finish().await;
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named() {
    let Some(subject) = Subject::pod().await else { return };
    let mut observations = subject.runtime.observe(&subject.host);
    let secret_key_ref = Some(SecretKeyRef { name: "no-such-secret".to_owned(), key: "a".to_owned() });
    let credential =
        Credential { name: "a".to_owned(), env: "TOKEN".to_owned(), secret_key_ref, ..Credential::default() };
    let spec = InstanceSpec { credential: Some(credential), ..subject.idle() };
    subject.runtime.start(&spec).await.unwrap();
    let state = state_of(&mut observations, &spec.key, is_not_ready).await;
    assert!(state.why_not_ready().unwrap().contains("no-such-secret"), "{state:?}");
    subject.finish().await;
}

#[tokio::test]
async fn a_pod_without_room_is_held() {
    let Some(subject) = Subject::pod().await else { return };
    let mut observations = subject.runtime.observe(&subject.host);
    let requests = BTreeMap::from([("cpu".to_owned(), IntOrString::Int(100_000))]);
    let resources = Some(Resources { requests, ..Resources::default() });
    let spec = InstanceSpec { resources, ..subject.idle() };
    subject.runtime.start(&spec).await.unwrap();
    let state = state_of(&mut observations, &spec.key, is_not_ready).await;
    assert!(
        matches!(&state, InstanceState::NotReady { why, held: true } if why.contains("Unschedulable")),
        "{state:?}"
    );
    subject.finish().await;
}

#[tokio::test]
async fn a_quota_puts_a_start_off() {
    let Some(subject) = Subject::pod().await else { return };
    let namespace = subject.namespace.as_ref().unwrap();
    let api: Api<ResourceQuota> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    api.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    // It holds once its status has been computed.
    while api.get("none").await.unwrap().status.and_then(|s| s.hard).is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let put_off = subject.runtime.start(&subject.idle()).await;
    assert!(matches!(&put_off, Err(StartError::NotNow(why)) if why.contains("exceeded quota: none")), "{put_off:?}");
    subject.finish().await;
}

#[tokio::test]
async fn what_the_api_server_rejects_is_refused_in_its_words() {
    let Some(subject) = Subject::pod().await else { return };
    for (laid, words) in [
        (json!({"spec": {"nodeSelectr": {"gpu": "yes"}}}), "unknown field \"spec.nodeSelectr\""),
        (json!({"spec": {"dnsPolicy": "Sometimes"}}), "spec.dnsPolicy"),
    ] {
        let spec = InstanceSpec { pod_template: template(laid), ..subject.idle() };
        let refused = subject.runtime.start(&spec).await;
        assert!(matches!(&refused, Err(StartError::Refused(why)) if why.contains(words)), "{refused:?}");
        assert_eq!(subject.runtime.check(&subject.host, &spec.key).await, Ok(None));
    }
    subject.finish().await;
}

#[tokio::test]
async fn too_much_memory_is_told_as_such() {
    let Some(subject) = Subject::pod().await else { return };
    let mut observations = subject.runtime.observe(&subject.host);
    let limits = BTreeMap::from([("memory".to_owned(), IntOrString::String("16Mi".to_owned()))]);
    let resources = Some(Resources { limits, ..Resources::default() });
    let spec = InstanceSpec { resources, ..shell(&subject, "x=a; while :; do x=$x$x; done") };
    subject.runtime.start(&spec).await.unwrap();
    let state = state_of(&mut observations, &spec.key, |s| matches!(s, InstanceState::Exited(_))).await;
    assert!(matches!(&state, InstanceState::Exited(exit) if exit.out_of_memory), "{state:?}");
    subject.finish().await;
}

#[tokio::test]
async fn a_pod_that_somebody_deletes_is_not_ready_then_ended_then_gone() {
    let Some(subject) = Subject::pod().await else { return };
    let mut observations = subject.runtime.observe(&subject.host);
    let spec = subject.idle();
    let instance = subject.brought_up(&spec).await;
    let namespace = subject.namespace.as_ref().unwrap();
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), &namespace.name);
    pods.delete(&instance.key.instance_name(), &DeleteParams::default()).await.unwrap();
    state_of(&mut observations, &spec.key, is_not_ready).await;
    while next(&mut observations).await != Observation::Gone(spec.key.clone()) {}
    assert_eq!(subject.runtime.check(&subject.host, &spec.key).await, Ok(None));
    subject.finish().await;
}

#[tokio::test]
async fn a_worker_that_ended_beside_a_sidecar_fails_its_checks() {
    let Some(subject) = Subject::pod().await else { return };
    let mut observations = subject.runtime.observe(&subject.host);
    let sidecar = json!({"spec": {"containers": [
        {"name": "sidecar", "image": subject.image, "command": ["sleep", "300"]},
    ]}});
    let spec = InstanceSpec { pod_template: template(sidecar), ..shell(&subject, "sleep 1; exit 4") };
    subject.runtime.start(&spec).await.unwrap();
    let state = state_of(&mut observations, &spec.key, is_not_ready).await;
    assert!(state.why_not_ready().unwrap().contains("exited with code 4"), "{state:?}");
    assert!(subject.runtime.check(&subject.host, &spec.key).await.is_err());
    subject.finish().await;
}
