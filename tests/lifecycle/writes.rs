//! What a dispatch costs the API server: it is what limits a cluster, so it is counted exactly.

use std::collections::BTreeSet;
use std::time::Duration;

use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::local::{Change, Record};
use poolkeeper_testkit::writes::{Writes, count};
use serde_json::json;

use crate::world::{World, phase};

/// A pool whose workers are ready, and how many records there are by then.
async fn ready(w: &World, workers: usize) -> usize {
    w.pool("agents", json!({"min": workers, "max": workers, "dispatch": {"history": {"ttl": "10m"}}})).await;
    w.until_workers("ready", |ws| {
        ws.len() == workers && ws.iter().all(|w| w.status.as_ref().is_some_and(|s| s.phase == WorkerPhase::Ready))
    })
    .await;
    // What belongs to their start is written by then.
    tokio::time::sleep(Duration::from_secs(30)).await;
    w.api.history().len()
}

/// Reports success on whatever is assigned, each time after a pause, until all of these are final.
async fn supervise(w: &World, pause: Duration, mut open: BTreeSet<String>) {
    while !open.is_empty() {
        for name in open.clone() {
            let d = w.dispatches().get(&name).await.unwrap();
            if phase(&d).is_final() {
                open.remove(&name);
            } else if phase(&d) == DispatchPhase::Assigned && d.spec.result.is_none() {
                w.report(&name, json!({"outcome": "Succeeded"})).await;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

const SOON: Duration = Duration::from_millis(100);

fn counted(w: &World, from: usize) -> Writes {
    count(&w.api.history(), from)
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_alone_costs_four_writes_no_event_and_one_delete() {
    let w = World::new();
    let from = ready(&w, 2).await;
    w.dispatch("t", "agents", json!({})).await;
    supervise(&w, SOON, ["t".to_owned()].into()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let writes = counted(&w, from);
    let want = Writes { reserve: 1, publish: 1, close: 1, free: 1, supervisor: 2, ..Writes::default() };
    assert_eq!(Writes { roll_ups: 0, ..writes }, want);
    assert!(writes.roll_ups <= 2, "one while it ran, one after it: {writes:?}");
    // Its history ends with one delete, and nothing is written for it before.
    let then = w.api.history().len();
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    let later = counted(&w, then);
    assert_eq!(Writes { roll_ups: 0, ..later }, Writes { deleted: 1, ..Writes::default() });
    assert!(later.roll_ups <= 1, "its place in `recent`: {later:?}");
}

#[tokio::test(start_paused = true)]
async fn under_load_a_dispatch_costs_three_writes() {
    let (w, workers, tasks) = (World::new(), 4, 60);
    let from = ready(&w, workers).await;
    let names: BTreeSet<String> = (0..tasks).map(|n| format!("t{n}")).collect();
    for name in &names {
        w.dispatch(name, "agents", json!({})).await;
    }
    supervise(&w, SOON, names).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let writes = counted(&w, from);
    assert_eq!((writes.publish, writes.close), (tasks, tasks));
    assert_eq!((writes.events, writes.other, writes.supervisor), (0, 0, 2 * tasks), "{writes:?}");
    // Each dispatch is reserved once: by the write that frees its worker, except for the first of each worker.
    assert_eq!(writes.reserve + writes.reuse, tasks);
    assert_eq!(writes.reserve, writes.free);
    assert!(writes.cycle() <= 3 * tasks + 2 * workers, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_rolled_up_once_in_five_seconds() {
    let w = World::new();
    let from = ready(&w, 4).await;
    let names: BTreeSet<String> = (0..200).map(|n| format!("t{n}")).collect();
    for name in &names {
        w.dispatch(name, "agents", json!({})).await;
    }
    supervise(&w, Duration::from_secs(1), names).await;
    tokio::time::sleep(Duration::from_secs(30)).await; // its end is reported too
    let records = w.api.history();
    let is_roll_up = |r: &&Record| r.resource.plural == "containerpools" && r.change == Change::Modified;
    let times: Vec<jiff::Timestamp> = records[from..].iter().filter(is_roll_up).map(|r| r.time).collect();
    assert!(times.len() >= 2, "the run was long enough to tell: {times:?}");
    for pair in times.windows(2) {
        assert!(pair[1].duration_since(pair[0]) >= jiff::SignedDuration::from_secs(5), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_costs_one_write_for_each_of_the_first_21() {
    let w = World::new();
    let from = ready(&w, 1).await;
    for n in 0..50 {
        w.dispatch(&format!("t{n}"), "agents", json!({})).await;
    }
    w.until_pool("agents", "counted", |p| p.status.as_ref().is_some_and(|s| s.queued == 49)).await;
    let then = w.api.history().len();
    assert!(then > from);
    // Why they wait is written once, to those that are next. The rest of the hour costs nothing.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(counted(&w, then), Writes { waits: 21, ..Writes::default() });
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_less_than_ten_seconds_costs_no_write() {
    let w = World::new();
    let from = ready(&w, 1).await;
    w.dispatch("hold", "agents", json!({})).await;
    w.until_assigned("hold").await;
    w.dispatch("t", "agents", json!({})).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    w.report("hold", json!({"outcome": "Succeeded"})).await;
    supervise(&w, SOON, ["t".to_owned()].into()).await;
    assert_eq!(counted(&w, from).waits, 0);
}
