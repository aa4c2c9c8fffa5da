//! The Events of one object, as people read them.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::api::core::v1;
use serde::Serialize;

/// How many are shown.
pub const MOST: usize = 5;

/// An Event, or a series of equal ones.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ShownEvent {
    /// When it was seen last, by the clock of the program that reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// True if something is wrong.
    pub warning: bool,
    /// In one word.
    pub reason: String,
    /// In words.
    pub message: String,
    /// How often it was seen.
    pub count: i32,
}

/// The newest ones, the newest first.
pub fn newest(events: Vec<v1::Event>) -> Vec<ShownEvent> {
    let mut all: Vec<ShownEvent> = events.into_iter().map(event).collect();
    all.sort_by_key(|event| Reverse(event.at));
    all.truncate(MOST);
    all
}

fn event(event: v1::Event) -> ShownEvent {
    // Programs write Events of the newer form, with a series, or of the older one, with a count.
    let series = event.series.as_ref();
    let last = series.and_then(|series| series.last_observed_time.as_ref()).or(event.event_time.as_ref()).map(|t| t.0);
    let older = event.last_timestamp.or(event.first_timestamp).or(event.metadata.creation_timestamp).map(|t| t.0);
    ShownEvent {
        at: last.max(older),
        warning: event.type_.as_deref() == Some("Warning"),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default().trim().to_owned(),
        count: series.and_then(|series| series.count).or(event.count).unwrap_or(1).max(1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(events: &[serde_json::Value]) -> Vec<ShownEvent> {
        let meta = json!({"name": "x", "creationTimestamp": "2026-11-30T09:00:00Z"});
        let full = |event: &serde_json::Value| {
            let mut event = event.clone();
            event["metadata"] = meta.clone();
            event["involvedObject"] = json!({"kind": "Worker", "name": "agents-0"});
            serde_json::from_value(event).unwrap()
        };
        newest(events.iter().map(full).collect())
    }

    #[test]
    fn the_newest_come_first_and_a_series_counts_from_its_last_event() {
        let at = |minute: u32| format!("2026-11-30T12:{minute:02}:00Z");
        let mut all = vec![
            json!({"reason": "Series", "type": "Warning", "message": " it failed\n", "eventTime": at(1),
                "series": {"count": 7, "lastObservedTime": at(30)}}),
            json!({"reason": "Older", "type": "Normal", "message": "m", "count": 3, "firstTimestamp": at(2), "lastTimestamp": at(20)}),
            json!({"reason": "New", "type": "Normal", "message": "m", "eventTime": at(40)}),
        ];
        let seen: Vec<_> = read(&all).into_iter().map(|e| (e.reason, e.warning, e.message, e.count)).collect();
        let is = |reason: &str, warning, message: &str, count| (reason.to_owned(), warning, message.to_owned(), count);
        assert_eq!(seen, [is("New", false, "m", 1), is("Series", true, "it failed", 7), is("Older", false, "m", 3)]);
        all.extend((0..9).map(|n| json!({"reason": "More", "eventTime": at(n)})));
        assert_eq!(read(&all).len(), MOST);
    }

    #[test]
    fn one_without_anything_is_no_error() {
        let one = &read(&[json!({})])[0];
        assert_eq!(
            (one.at.map(|t| t.to_string()).as_deref(), one.count, &*one.reason),
            (Some("2026-11-30T09:00:00Z"), 1, "")
        );
    }
}
