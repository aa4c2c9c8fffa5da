//! Kubernetes Events, written as `events.k8s.io/v1`.
//!
//! kube's `Recorder` is not used: it asks the machine for the time, and merges Events with different messages.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};

use crate::api::{GROUP, VERSION, names};
use crate::clock::Ids;
use crate::core::{Event, EventType};

/// Records one Event, and says whether it could. A failure is logged; nothing depends on an Event.
pub(super) async fn record(client: Client, ids: Ids, event: Event) -> bool {
    let uid = ids.uid();
    let object = v1::Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{}", event.key.name, &uid[..8])),
            namespace: Some(event.key.namespace.to_string()),
            ..ObjectMeta::default()
        },
        action: Some(event.reason.to_string()),
        event_time: Some(MicroTime(event.at)),
        note: Some(event.text.clone()),
        reason: Some(event.reason.to_string()),
        regarding: Some(ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some(event.kind.to_owned()),
            name: Some(event.key.name.to_string()),
            namespace: Some(event.key.namespace.to_string()),
            uid: Some(event.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(format!("{GROUP}/{}", names::MANAGER)),
        reporting_instance: Some(names::MANAGER.to_owned()),
        type_: Some(match event.type_ {
            EventType::Normal => "Normal".to_owned(),
            EventType::Warning => "Warning".to_owned(),
        }),
        ..v1::Event::default()
    };
    let api: Api<v1::Event> = Api::namespaced(client, &event.key.namespace);
    let recorded = api.create(&PostParams::default(), &object).await;
    if let Err(error) = &recorded {
        tracing::warn!(reason = %event.reason, key = %event.key, %error, "an Event could not be recorded");
    }
    recorded.is_ok()
}
