//! The built-in kinds: Leases, Events (one kind seen through two groups), Namespaces and Secrets.
use serde_json::{Value, json};

use crate::local::options::LocalError;
use crate::local::schema::column::Column;
use crate::local::schema::kind::{BUILT_IN, Content, Kind, Traits, Unset, keys};
use crate::local::schema::{event, meta, secret};

/// core/v1 and events.k8s.io/v1 name the fields of the same Event differently.
const CORE_EVENT: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("source", "deprecatedSource"),
];

/// What is printed of an Event that does not have it, by events.k8s.io/v1 and core/v1.
const NEW_EVENT_PRINTED: &[(&str, Unset)] = &[
    ("eventTime", Unset::Null),
    ("deprecatedFirstTimestamp", Unset::Null),
    ("deprecatedLastTimestamp", Unset::Null),
    ("deprecatedSource", Unset::EmptyObject),
];
const CORE_EVENT_PRINTED: &[(&str, Unset)] = &[
    ("eventTime", Unset::Null),
    ("firstTimestamp", Unset::Null),
    ("lastTimestamp", Unset::Null),
    ("source", Unset::EmptyObject),
    ("involvedObject", Unset::EmptyObject),
    ("reportingComponent", Unset::EmptyText),
    ("reportingInstance", Unset::EmptyText),
];

/// The built-in kinds. Their stores are numbered from `store`.
///
/// # Errors
/// A schema that does not compile.
pub(crate) fn kinds(store: u16) -> Result<Vec<Kind>, LocalError> {
    let mut lease = Kind::built_in("coordination.k8s.io", "Lease", "leases", &lease_schema(), store)?;
    lease.traits.create_on_update = true;
    lease.columns = vec![Column::text("Holder", ".spec.holderIdentity", "Holder of the lease"), Column::age()];
    let mut new_event = Kind::built_in("events.k8s.io", "Event", "events", &event_schema(false), store + 1)?;
    new_event.traits =
        Traits { create_on_update: true, unconditional_update: true, printed: NEW_EVENT_PRINTED, ..BUILT_IN };
    new_event.short_names = vec!["ev".into()];
    new_event.columns = event::columns();
    new_event.selectable = event_fields("regarding", "reportingController");
    let mut core_event = Kind::built_in("", "Event", "events", &event_schema(true), store + 1)?;
    core_event.traits = Traits { renamed: CORE_EVENT, printed: CORE_EVENT_PRINTED, ..new_event.traits };
    core_event.columns = event::columns();
    core_event.short_names = new_event.short_names.clone();
    core_event.selectable = event_fields("involvedObject", "reportingComponent");
    let any = json!({"type": "object", "properties": {
        "spec": {"type": "object", "default": {}, "properties": {
            "finalizers": {"type": "array", "items": {"type": "string"}, "default": ["kubernetes"]},
        }},
        "status": {"type": "object", "default": {"phase": "Active"}, "properties": {"phase": {"type": "string"}}},
    }});
    let mut namespace = Kind::built_in("", "Namespace", "namespaces", &any, store + 2)?;
    namespace.namespaced = false;
    namespace.short_names = vec!["ns".into()];
    namespace.status = true;
    namespace.traits.unconditional_update = true;
    namespace.traits.short_name = true;
    namespace.traits.content =
        Some(Content { hidden: false, settle: settle_namespace, validate: |_, _| Vec::new(), unsupported: |_| None });
    namespace.selectable = vec![("status.phase".into(), keys("status.phase"))];
    namespace.columns = vec![Column::text("Status", ".status.phase", "Phase of the namespace"), Column::age()];
    let mut secret = Kind::built_in("", "Secret", "secrets", &secret_schema(), store + 3)?;
    secret.traits.unconditional_update = true;
    secret.traits.content = Some(Content {
        hidden: true,
        settle: secret::settle,
        validate: secret::validate,
        unsupported: secret::unsupported,
    });
    secret.selectable = vec![("type".into(), keys("type"))];
    secret.columns = vec![
        Column::text("Type", ".type", "Type of the Secret"),
        Column::count("Data", ".data", "Number of values in the Secret"),
        Column::age(),
    ];
    Ok(vec![lease, new_event, core_event, namespace, secret])
}

fn event_fields(regarding: &str, controller: &str) -> Vec<(String, Vec<String>)> {
    let parts = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];
    let of = |part| format!("{regarding}.{part}");
    let labels = parts.into_iter().map(of).chain(["reason".into(), "type".into(), controller.to_owned()]);
    labels.map(|l| (l.clone(), keys(&l))).collect()
}

fn secret_schema() -> Value {
    let of = json!({"type": "object", "additionalProperties": {"type": "string"}});
    json!({"type": "object", "description": "Secret holds secret data of a certain type.", "properties": {
        "data": of, "stringData": of, "immutable": {"type": "boolean"},
        "type": {"type": "string", "default": "Opaque"},
    }})
}

fn lease_schema() -> Value {
    let text = json!({"type": "string"});
    let time = json!({"type": "string", "format": "date-time"});
    json!({"type": "object", "properties": {"spec": {"type": "object", "default": {}, "properties": {
        "holderIdentity": text, "leaseDurationSeconds": {"type": "integer", "minimum": 0, "exclusiveMinimum": true, "x-go": true},
        "acquireTime": time, "renewTime": time, "leaseTransitions": {"type": "integer", "minimum": 0, "x-go": true},
        "strategy": text, "preferredHolder": text,
    }}}})
}

fn event_schema(core: bool) -> Value {
    let text = json!({"type": "string"});
    let whole = json!({"type": "integer"});
    let time = json!({"type": "string", "format": "date-time"});
    let reference = json!({"type": "object", "properties": {
        "kind": text, "namespace": text, "name": text, "uid": text, "apiVersion": text, "resourceVersion": text,
        "fieldPath": text,
    }});
    let mut properties = json!({
        "eventTime": time, "action": text, "reason": text, "type": text, "reportingInstance": text,
        "regarding": reference, "related": reference, "note": text, "reportingController": text,
        "series": {"type": "object", "properties": {"count": whole, "lastObservedTime": time}},
        "deprecatedCount": whole, "deprecatedFirstTimestamp": time, "deprecatedLastTimestamp": time,
        "deprecatedSource": {"type": "object", "properties": {"component": text, "host": text}},
    });
    if core {
        for (here, stored) in CORE_EVENT {
            properties[*here] = properties[*stored].take();
            if let Some(map) = properties.as_object_mut() {
                map.remove(*stored);
            }
        }
    }
    json!({"type": "object", "properties": properties})
}

/// Gives a namespace the label with its name, which selectors rely on.
fn settle_namespace(object: &mut Value) -> Result<(), String> {
    let name = meta::text(object, "name").to_owned();
    if !name.is_empty() {
        meta::of(object);
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
    }
    Ok(())
}
