//! Kubernetes Events as a user sees them.

use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use poolkeeper_testkit::fake::Fault;
use serde_json::json;

use crate::world::{NS, World};

async fn events(w: &World, reason: &str) -> Vec<Event> {
    let api: Api<Event> = Api::namespaced(w.client.clone(), NS);
    let all = api.list(&ListParams::default()).await.unwrap().items;
    all.into_iter().filter(|e| e.reason.as_deref() == Some(reason)).collect()
}

#[tokio::test(start_paused = true)]
async fn equal_events_are_one_series_and_others_are_not() {
    let w = World::new();
    for why in ["no space", "no space", "no space", "no network"] {
        w.fake.fail_next_start(Fault::Refused(why.to_owned()));
    }
    w.pool("p", json!({"min": 1, "max": 1})).await;
    w.until_pool("p", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    let mut all = events(&w, "StartFailed").await;
    all.sort_by_key(|e| e.event_time.clone().map(|t| t.0));
    let shown: Vec<_> = all.iter().map(|e| (e.note.clone().unwrap(), e.series.as_ref().map(|s| s.count))).collect();
    assert_eq!(shown, [("p-0: no space".to_owned(), Some(3)), ("p-0: no network".to_owned(), None)]);
    let series = all[0].series.clone().unwrap();
    assert!(series.last_observed_time.0 > all[0].event_time.clone().unwrap().0);
    assert!(series.last_observed_time.0 < all[1].event_time.clone().unwrap().0);
}
