//! The columns of Events. Their cells are made of what is stored, which is the form of events.k8s.io.
use jiff::Timestamp;
use serde_json::Value;

use crate::local::schema::column::{Column, age};

/// The columns. The name is not the first.
pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::made("Last Seen", "string", 0, "Time since the event was seen last", last_seen),
        Column::made("Type", "string", 0, "Type of the event", |event, _| text(event, "/type").into()),
        Column::made("Reason", "string", 0, "Reason of the event", |event, _| text(event, "/reason").into()),
        Column::made("Object", "string", 0, "Object that the event is about", object),
        Column::made("Subobject", "string", 1, "Part of the object", |event, _| {
            text(event, "/regarding/fieldPath").into()
        }),
        Column::made("Source", "string", 1, "Program that reported the event", source),
        Column::made("Message", "string", 0, "What happened", |event, _| text(event, "/note").trim().into()),
        Column::made("First Seen", "string", 1, "Time since the event was seen first", first_seen),
        Column::made("Count", "integer", 1, "How often the event was seen", count),
        Column::made("Name", "string", 1, "Name of the event", |event, _| text(event, "/metadata/name").into()),
    ]
}

fn text<'e>(event: &'e Value, path: &str) -> &'e str {
    event.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn first<'e>(event: &'e Value, paths: [&str; 2]) -> &'e str {
    paths.map(|path| text(event, path)).into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

fn since(time: &str, now: Timestamp) -> Value {
    time.parse().map_or_else(|_| "<unknown>".to_owned(), |time| age(time, now)).into()
}

fn first_seen(event: &Value, now: Timestamp) -> Value {
    since(first(event, ["/deprecatedFirstTimestamp", "/eventTime"]), now)
}

fn last_seen(event: &Value, now: Timestamp) -> Value {
    match first(event, ["/series/lastObservedTime", "/deprecatedLastTimestamp"]) {
        "" => first_seen(event, now),
        time => since(time, now),
    }
}

fn object(event: &Value, _: Timestamp) -> Value {
    let (kind, name) = (text(event, "/regarding/kind").to_lowercase(), text(event, "/regarding/name"));
    if name.is_empty() { kind.into() } else { format!("{kind}/{name}").into() }
}

fn source(event: &Value, _: Timestamp) -> Value {
    let component = first(event, ["/deprecatedSource/component", "/reportingController"]);
    match first(event, ["/deprecatedSource/host", "/reportingInstance"]) {
        "" => component.into(),
        instance => format!("{component}, {instance}").into(),
    }
}

fn count(event: &Value, _: Timestamp) -> Value {
    let number = |path: &str| event.pointer(path).and_then(Value::as_i64);
    let once = |count: &i64| *count != 0;
    number("/series/count").or_else(|| number("/deprecatedCount").filter(once)).unwrap_or(1).into()
}
