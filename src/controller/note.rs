//! Kubernetes Events, written as `events.k8s.io/v1`.
//!
//! Not kube's `Recorder`: it asks the machine for the time, and takes Events with other texts for the same.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};

use crate::api::{GROUP, VERSION, names};
use crate::clock::Ids;
use crate::core::{Note, NoteType};

/// Records one Event. That it could not be is logged; nothing depends on it. False: it could not be.
pub(super) async fn record(client: Client, ids: Ids, note: Note) -> bool {
    let uid = ids.uid();
    let event = Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{}", note.key.name, &uid[..8])),
            namespace: Some(note.key.namespace.to_string()),
            ..ObjectMeta::default()
        },
        action: Some(note.reason.to_string()),
        event_time: Some(MicroTime(note.at)),
        note: Some(note.text.clone()),
        reason: Some(note.reason.to_string()),
        regarding: Some(ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some(note.kind.to_owned()),
            name: Some(note.key.name.to_string()),
            namespace: Some(note.key.namespace.to_string()),
            uid: Some(note.uid),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(format!("{GROUP}/{}", names::MANAGER)),
        reporting_instance: Some(names::MANAGER.to_owned()),
        type_: Some(match note.type_ {
            NoteType::Normal => "Normal".to_owned(),
            NoteType::Warning => "Warning".to_owned(),
        }),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(client, &note.key.namespace);
    let recorded = api.create(&PostParams::default(), &event).await;
    if let Err(error) = &recorded {
        tracing::warn!(reason = %note.reason, key = %note.key, %error, "an Event could not be recorded");
    }
    recorded.is_ok()
}
