//! Kubernetes Events, written as `events.k8s.io/v1`. Equal Events are one series: the first is created, and each later one
//! raises its count. `kubectl describe` then shows `x7 over 31s`.
//!
//! kube's `Recorder` is not used: it asks the machine for the time, and merges Events with different messages.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::api::vocabulary::EventReason;
use crate::api::{GROUP, VERSION, names};
use crate::clock::Ids;
use crate::core::{Event, EventType};

/// A series without a new Event for this long is over, and the next Event begins another one. The API server stores an Event
/// for an hour.
const SERIES_ENDS: Duration = Duration::from_secs(6 * 60);
/// Series that are remembered. If there are more, the Events of those that were forgotten begin new ones.
const MOST: usize = 1024;

/// Records Events, and remembers the series that are not over.
#[derive(Default)]
pub(super) struct Recorder {
    series: HashMap<Alike, Series>,
    /// Monotonic time at which those that are over were last forgotten.
    swept: Duration,
    /// Namespaces that refuse Events because they are being deleted.
    closed: Closed,
}

type Closed = Arc<Mutex<BTreeSet<String>>>;

/// Events that are equal in all this are one series.
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    uid: String,
    warning: bool,
    reason: EventReason,
    text: String,
}

struct Series {
    /// Monotonic time of its newest Event.
    newest: Duration,
    stored: Arc<tokio::sync::Mutex<Stored>>,
}

/// What the API server has of a series. Locked while one of its Events is being written, so the first one is created before
/// the others count.
#[derive(Default)]
struct Stored {
    name: Option<String>,
    count: i32,
}

impl Recorder {
    /// Records one Event at a monotonic time, and says whether it could. A failure is logged; nothing depends on an Event.
    pub fn record(
        &mut self,
        client: Client,
        ids: Ids,
        event: Event,
        now: Duration,
    ) -> impl Future<Output = bool> + use<> {
        let alike = Alike {
            uid: event.uid.clone(),
            warning: event.type_ == EventType::Warning,
            reason: event.reason,
            text: event.text.clone(),
        };
        let lasts = |s: &Series| now.saturating_sub(s.newest) < SERIES_ENDS;
        if self.series.len() >= MOST || now.saturating_sub(self.swept) >= SERIES_ENDS {
            self.series.retain(|_, s| lasts(s));
            self.swept = now;
        }
        if self.series.len() >= MOST {
            self.series.clear();
        }
        let new = || Series { newest: now, stored: Arc::default() };
        let series = self.series.entry(alike).or_insert_with(new);
        if !lasts(series) {
            *series = new();
        }
        series.newest = now;
        write(client, ids, event, series.stored.clone(), self.closed.clone())
    }

    /// How many series are remembered.
    pub fn len(&self) -> usize {
        self.series.len()
    }
}

async fn write(
    client: Client,
    ids: Ids,
    event: Event,
    stored: Arc<tokio::sync::Mutex<Stored>>,
    closed: Closed,
) -> bool {
    let api: Api<v1::Event> = Api::namespaced(client, &event.key.namespace);
    let mut stored = stored.lock().await;
    let again = match &stored.name {
        Some(name) => count(&api, name, stored.count + 1, &event).await,
        None => Ok(false),
    };
    let result = match again {
        Ok(true) => {
            stored.count += 1;
            Ok(())
        }
        Ok(false) => create(&api, &ids, &event).await.map(|name| *stored = Stored { name: Some(name), count: 1 }),
        Err(error) => Err(error),
    };
    let namespace = &event.key.namespace;
    match &result {
        Ok(()) => {
            closed.lock().unwrap_or_else(PoisonError::into_inner).remove(&**namespace);
        }
        Err(error) if is_closing(error) => {
            // Each object of the namespace would have a line otherwise.
            if closed.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_string()) {
                tracing::debug!(%namespace, "Events are not recorded: the namespace is being deleted");
            }
        }
        Err(error) => {
            tracing::warn!(reason = %event.reason, key = %event.key, %error, "an Event could not be recorded");
        }
    }
    result.is_ok()
}

/// Raises the count of a series. False: its Event is gone, or the rights of this controller are of a version that had no
/// series. Then there is another Event.
async fn count(api: &Api<v1::Event>, name: &str, count: i32, event: &Event) -> Result<bool, kube::Error> {
    let series = json!({"series": {"count": count, "lastObservedTime": MicroTime(event.at)}});
    match api.patch(name, &PatchParams::default(), &Patch::Merge(series)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn create(api: &Api<v1::Event>, ids: &Ids, event: &Event) -> Result<String, kube::Error> {
    let uid = ids.uid();
    let name = format!("{}.{}", event.key.name, &uid[..8]);
    let object = v1::Event {
        metadata: ObjectMeta {
            name: Some(name.clone()),
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
    api.create(&PostParams::default(), &object).await.map(|_| name)
}

/// True if the namespace takes no new object because it is being deleted.
fn is_closing(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|d| &d.causes);
    status.code == 403 && causes.into_iter().any(|c| c.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use kube::client::Body;

    use super::*;
    use crate::core::ObjectKey;

    fn event(text: &str) -> Event {
        Event {
            kind: "ContainerPool",
            key: ObjectKey::new("ns", "p"),
            uid: "u".to_owned(),
            type_: EventType::Warning,
            reason: EventReason::StartFailed,
            text: text.to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// A client, and the methods of its requests with the count that each names. Every answer has this code and body.
    fn server(code: u16, body: serde_json::Value) -> (Client, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = seen.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (requests, body) = (requests.clone(), body.to_string());
            async move {
                let (head, sent) = request.into_parts();
                let sent: serde_json::Value = serde_json::from_slice(&sent.collect_bytes().await.unwrap()).unwrap();
                requests.lock().unwrap().push(format!("{} {}", head.method, sent["series"]["count"]));
                let answer = http::Response::builder().status(code).body(Body::from(body.into_bytes()));
                Ok::<_, std::io::Error>(answer.unwrap())
            }
        });
        (Client::new(service, "ns"), seen)
    }

    #[tokio::test]
    async fn equal_events_count_even_if_the_first_is_not_answered_and_a_series_ends() {
        let stored = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "p.1"}});
        let (client, seen) = server(200, stored);
        let mut recorder = Recorder::default();
        let at = Duration::from_secs;
        let mut begin = |text, now| recorder.record(client.clone(), Ids::random(), event(text), now);
        let all =
            vec![begin("a", at(0)), begin("a", at(1)), begin("b", at(2)), begin("a", at(200)), begin("a", at(600))];
        assert_eq!(recorder.len(), 1, "a series that is over is forgotten");
        assert_eq!(join_all(all).await, [true; 5]);
        let mut seen = seen.lock().unwrap().clone();
        seen.sort();
        assert_eq!(seen, ["PATCH 2", "PATCH 3", "POST null", "POST null", "POST null"]);
    }

    #[tokio::test]
    async fn a_namespace_that_is_being_deleted_is_noted_once() {
        let refusal = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "unable to create new content in namespace ns because it is being terminated",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "being terminated", "field": "metadata.namespace"}]}});
        let (client, _) = server(403, refusal);
        let mut recorder = Recorder::default();
        for text in ["a", "b"] {
            assert!(!recorder.record(client.clone(), Ids::random(), event(text), Duration::ZERO).await);
        }
        assert_eq!(*recorder.closed.lock().unwrap(), BTreeSet::from(["ns".to_owned()]));
    }
}
