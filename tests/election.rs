//! Several controllers and one Lease, over the in-process API, on virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use poolkeeper::clock::{Clock, Ids, SystemClock};
use poolkeeper::controller::election::{Election, lead};
use poolkeeper::controller::health::{Health, Standing};
use poolkeeper::core::election::Timing;
use poolkeeper::local::{History, LocalApi, Options};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const NAME: &str = "poolkeeper";

/// What happened, in order: which candidate began or ended a term, and with which installation's id.
type Log = Arc<Mutex<Vec<(String, &'static str, String)>>>;

struct World {
    api: LocalApi,
    clock: Arc<dyn Clock>,
    log: Log,
}

struct One {
    stop: CancellationToken,
    health: Health,
    handle: JoinHandle<Result<(), String>>,
}

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options =
            Options { crds: Vec::new(), clock: clock.clone(), ids: Ids::seeded(1), history: History::Window(100) };
        Self { api: LocalApi::new(options).unwrap(), clock, log: Log::default() }
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.api.client("ns"), "ns")
    }

    /// Starts a candidate whose controller takes `end` to end.
    fn candidate(&self, identity: &'static str, contested: bool, end: Duration) -> One {
        let (stop, health) = (CancellationToken::new(), Health::default());
        let election = Election {
            namespace: "ns".to_owned(),
            name: NAME.to_owned(),
            identity: identity.to_owned(),
            timing: Timing::default(),
            contested,
            clock: self.clock.clone(),
            ids: Ids::seeded(identity.len() as u64),
            health: health.clone(),
        };
        let log = self.log.clone();
        let begin = move |term: poolkeeper::controller::election::Term| {
            let log = log.clone();
            async move {
                let tell = |what| log.lock().unwrap().push((identity.to_owned(), what, term.installation.clone()));
                tell("begins");
                term.stop.cancelled().await;
                sleep(end).await;
                tell("ends");
                Ok(())
            }
        };
        let handle = tokio::spawn(lead(self.api.client("ns"), election, stop.clone(), begin));
        One { stop, health, handle }
    }

    fn terms(&self) -> Vec<(String, &'static str)> {
        self.log.lock().unwrap().iter().map(|(who, what, _)| (who.clone(), *what)).collect()
    }

    /// Waits until so much has happened; how long that took.
    async fn until(&self, events: usize) -> Duration {
        let start = Instant::now();
        let waited = timeout(Duration::from_secs(600), async {
            while self.log.lock().unwrap().len() < events {
                sleep(Duration::from_millis(50)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("not {events}: {:?}", self.terms()));
        start.elapsed()
    }

    async fn lease(&self) -> Lease {
        self.leases().get(NAME).await.unwrap()
    }
}

fn event(who: &str, what: &'static str) -> (String, &'static str) {
    (who.to_owned(), what)
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_after_the_lease_and_one_that_stops_at_once() {
    let world = World::new();
    let a = world.candidate("a", true, Duration::ZERO);
    world.until(1).await;
    let b = world.candidate("bb", true, Duration::ZERO);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.terms(), [event("a", "begins")], "it renews");
    assert_eq!(b.health.standing(), Standing::Standby(Some("a".to_owned())));
    assert_eq!(b.health.ready().unwrap(), "standby: a leads");

    a.handle.abort();
    let gap = world.until(2).await;
    assert!(gap >= Duration::from_secs(13) && gap <= Duration::from_secs(17), "{gap:?}");
    assert_eq!(world.terms()[1], event("bb", "begins"));
    let spec = world.lease().await.spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("bb"), Some(1)));
    assert_eq!((spec.lease_duration_seconds, spec.acquire_time.is_some()), (Some(15), true));

    let c = world.candidate("ccc", true, Duration::ZERO);
    sleep(Duration::from_secs(10)).await;
    b.stop.cancel();
    let gap = world.until(4).await;
    assert!(gap <= Duration::from_secs(3), "it was released: {gap:?}");
    assert_eq!(world.terms()[2..], [event("bb", "ends"), event("ccc", "begins")]);
    b.handle.await.unwrap().unwrap();
    c.stop.cancel();
    c.handle.await.unwrap().unwrap();
    let lease = world.lease().await;
    let spec = lease.spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_duration_seconds), (Some(""), Some(1)));

    let ids: Vec<String> = world.log.lock().unwrap().iter().map(|(_, _, id)| id.clone()).collect();
    assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "one installation: {ids:?}");
    assert_eq!(lease.metadata.annotations.unwrap()["poolkeeper.dev/installation"], ids[0]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_controller_and_renews_meanwhile() {
    let world = World::new();
    let a = world.candidate("a", true, Duration::from_secs(18));
    world.until(1).await;
    let b = world.candidate("bb", true, Duration::ZERO);
    sleep(Duration::from_secs(5)).await;
    a.stop.cancel();
    world.until(3).await;
    assert_eq!(world.terms(), [event("a", "begins"), event("a", "ends"), event("bb", "begins")]);
    a.handle.await.unwrap().unwrap();
    b.handle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_does_not_end_is_dropped() {
    let world = World::new();
    let a = world.candidate("a", true, Duration::from_secs(3600));
    world.until(1).await;
    let start = Instant::now();
    a.stop.cancel();
    a.handle.await.unwrap().unwrap();
    assert!(start.elapsed() <= Duration::from_secs(45), "{:?}", start.elapsed());
    assert_eq!(world.lease().await.spec.unwrap().holder_identity.as_deref(), Some(""));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_else_took_ends_the_term_and_is_won_again() {
    let world = World::new();
    let a = world.candidate("a", true, Duration::ZERO);
    world.until(1).await;
    let other = json!({"spec": {"holderIdentity": "stranger", "leaseDurationSeconds": 30}});
    world.leases().patch(NAME, &PatchParams::default(), &Patch::Merge(other)).await.unwrap();
    let gap = world.until(2).await;
    assert!(gap <= Duration::from_secs(3), "{gap:?}");
    let gap = world.until(3).await;
    assert!(gap >= Duration::from_secs(29) && gap <= Duration::from_secs(33), "its lease is longer: {gap:?}");
    assert_eq!(world.terms(), [event("a", "begins"), event("a", "ends"), event("a", "begins")]);
    a.handle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_comes_back_with_the_installations_id() {
    let world = World::new();
    let a = world.candidate("a", true, Duration::ZERO);
    world.until(1).await;
    world.leases().delete(NAME, &kube::api::DeleteParams::default()).await.unwrap();
    world.until(3).await;
    let log = world.log.lock().unwrap().clone();
    assert_eq!(log[0].2, log[2].2);
    a.handle.abort();
}

#[tokio::test(start_paused = true)]
async fn without_an_election_the_lease_only_holds_the_id() {
    let world = World::new();
    let (a, b) = (world.candidate("a", false, Duration::ZERO), world.candidate("bb", false, Duration::ZERO));
    world.until(2).await;
    assert_eq!((a.health.standing(), b.health.standing()), (Standing::Alone, Standing::Alone));
    let before = world.lease().await;
    assert!(before.spec.clone().unwrap_or_default().holder_identity.is_none());
    sleep(Duration::from_secs(600)).await;
    assert_eq!(world.lease().await.metadata.resource_version, before.metadata.resource_version, "no writes");
    for one in [a, b] {
        one.stop.cancel();
        one.handle.await.unwrap().unwrap();
    }
    assert_eq!(world.lease().await.metadata.resource_version, before.metadata.resource_version, "no release");
    let ids: Vec<String> = world.log.lock().unwrap().iter().map(|(_, _, id)| id.clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_controller_returns_ends_it_and_releases_the_lease() {
    let world = World::new();
    let election = Election {
        namespace: "ns".to_owned(),
        name: NAME.to_owned(),
        identity: "a".to_owned(),
        timing: Timing::default(),
        contested: true,
        clock: world.clock.clone(),
        ids: Ids::seeded(1),
        health: Health::default(),
    };
    let begin = |_| async { Err("no runtime".to_owned()) };
    let ended = lead(world.api.client("ns"), election, CancellationToken::new(), begin).await;
    assert_eq!(ended, Err("no runtime".to_owned()));
    assert_eq!(world.lease().await.spec.unwrap().holder_identity.as_deref(), Some(""));
}
