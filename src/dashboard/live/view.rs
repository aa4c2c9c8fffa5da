//! The view that follows from the objects and a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::credentials::credentials;
use super::dispatches::dispatches;
use super::model::{Counts, Dispatch, Host, Model, Pool, Standing, Wait, Worker};
use super::store::Store;
use super::workers::{Rests, workers};
use crate::api::ContainerPool;
use crate::api::dispatch::DispatchPhase;
use crate::core::questions::{PoolWait, Snapshot};
use crate::core::{Now, Object, ObjectKey, dispatch_status};

/// The view at a time of the server.
pub fn view(store: &Store, now: Timestamp) -> Model {
    let of_pools = queues(store);
    let mut snapshot = Snapshot::new(
        store.pools().values().cloned().collect(),
        store.workers().values().cloned().collect(),
        store.dispatches().values().filter(|d| !dispatch_status(d).phase.is_final()).cloned().collect(),
        store.default_runtime(),
        Now::new(now, Duration::ZERO),
    );
    let mut waits = BTreeMap::new();
    let mut rests = Rests::new();
    for (key, pool) in store.pools() {
        let (workers, queued) = of_pools.get(key).copied().unwrap_or_default();
        let wait = PoolWait::of(&mut snapshot, pool, workers, queued > 0);
        let until = wait.wait.until();
        waits.insert(key, Wait { reason: wait.reason.into(), words: wait.words.into(), until });
        let resting = snapshot.resting_credentials(pool);
        if !resting.is_empty() {
            rests.insert(key.clone(), resting);
        }
    }
    let workers = workers(store.workers().iter(), &rests, now);
    let dispatches = dispatches(store, &waits, now);
    let pools = pools(store, waits, &workers, &dispatches);
    Model {
        now,
        complete: store.is_complete(),
        lost: store.lost(),
        credentials: credentials(store.pools().iter(), &workers, &rests),
        pools,
        workers,
        dispatches,
    }
}

/// How many workers each pool has, and how many dispatches wait for it.
fn queues(store: &Store) -> BTreeMap<ObjectKey, (usize, usize)> {
    let mut all: BTreeMap<ObjectKey, (usize, usize)> = BTreeMap::new();
    for (key, worker) in store.workers() {
        all.entry(key.sibling(worker.spec.pool.as_str())).or_default().0 += 1;
    }
    for (key, dispatch) in store.dispatches() {
        if dispatch_status(dispatch).phase == DispatchPhase::Pending {
            all.entry(key.sibling(dispatch.spec.pool.as_str())).or_default().1 += 1;
        }
    }
    all
}

fn pools(
    store: &Store,
    mut waits: BTreeMap<&ObjectKey, Wait>,
    workers: &[Worker],
    dispatches: &[Dispatch],
) -> Vec<Pool> {
    let mut sums: BTreeMap<(&str, &str), (Counts, Option<Timestamp>)> = BTreeMap::new();
    for worker in workers {
        let (counts, _) = sums.entry((&worker.namespace, &worker.pool)).or_default();
        counts.workers += 1;
        *match worker.standing {
            Standing::Busy => &mut counts.busy,
            Standing::Ready => &mut counts.ready,
            Standing::Resting => &mut counts.resting,
            Standing::Starting => &mut counts.starting,
            Standing::Draining | Standing::Unavailable | Standing::Failed => &mut counts.unavailable,
        } += 1;
    }
    for dispatch in dispatches {
        let (counts, since) = sums.entry((&dispatch.namespace, &dispatch.pool)).or_default();
        match dispatch.phase {
            DispatchPhase::Assigned => {}
            DispatchPhase::Pending if dispatch.place.is_some() => {
                counts.queued += 1;
                if dispatch.place == Some(1) {
                    *since = dispatch.since;
                }
            }
            DispatchPhase::Pending => counts.delayed += 1,
            DispatchPhase::Succeeded => counts.succeeded += 1,
            DispatchPhase::Failed | DispatchPhase::Expired | DispatchPhase::Cancelled => counts.failed += 1,
        }
    }
    let one = |(key, object): (&ObjectKey, &Arc<ContainerPool>)| {
        let (counts, waits_since) = sums.get(&(&*key.namespace, &*key.name)).copied().unwrap_or_default();
        Some(pool(key, object, counts, waits.remove(key)?, waits_since))
    };
    store.pools().iter().filter_map(one).collect()
}

fn pool(key: &ObjectKey, object: &ContainerPool, counts: Counts, wait: Wait, waits_since: Option<Timestamp>) -> Pool {
    let spec = &object.spec;
    let status = object.status.as_ref();
    let hosts = status.iter().flat_map(|status| &status.hosts).map(|host| Host {
        name: host.name.clone(),
        workers: host.workers,
        unreachable: host.unreachable.clone(),
    });
    Pool {
        namespace: key.namespace.clone().into(),
        name: key.name.clone().into(),
        created: object.metadata.creation_timestamp.as_ref().map(|t| t.0),
        runtime: spec.runtime,
        image: spec.image.clone(),
        min: spec.min,
        max: spec.max,
        paused: spec.paused,
        deleting: object.is_deleting(),
        counts,
        wait,
        waits_since,
        conditions: status.map(|status| status.conditions.clone()).unwrap_or_default(),
        hosts: hosts.collect(),
    }
}
