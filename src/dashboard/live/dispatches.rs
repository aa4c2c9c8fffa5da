//! The dispatches of the view.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::model::{Dispatch, Wait};
use super::store::Store;
use super::text::Text;
use crate::api;
use crate::api::dispatch::DispatchPhase;
use crate::api::pool::DispatchPolicy;
use crate::api::vocabulary::{DispatchAccepted, Reason as _};
use crate::core::questions::Held;
use crate::core::{Object, ObjectKey, attempt_deadline, dispatch_status, queue_deadline, queued_since, worker_status};

/// Open ones, then those that wait, in the order of their queues, then finished ones, the newest first. `waits`: what each pool
/// waits for.
pub(super) fn dispatches(store: &Store, waits: &BTreeMap<&ObjectKey, Wait>, now: Timestamp) -> Vec<Dispatch> {
    let workers = store.workers().values();
    let namers: HashMap<&str, &api::Worker> =
        workers.clone().filter_map(|w| Some((&*worker_status(w).dispatch.as_ref()?.uid, &**w))).collect();
    let uids: HashSet<&str> = workers.map(|w| w.uid_str()).collect();
    let missing: Text = DispatchAccepted::PoolNotFound.as_str().into();
    let mut all: Vec<Dispatch> = Vec::with_capacity(store.dispatches().len());
    for (key, object) in store.dispatches() {
        let pool = key.sibling(object.spec.pool.as_str());
        let policy = store.pools().get(&pool).map(|pool| &pool.spec.dispatch);
        let mut dispatch = plain(key, object, policy);
        if dispatch.phase == DispatchPhase::Pending {
            let held = Held::of(object, namers.get(object.uid_str()).copied(), |uid| uids.contains(uid), now);
            let queue = || waits.get(&pool).cloned();
            let in_queue = held.is_none();
            let held =
                held.map(|held| Wait { reason: held.reason.into(), words: held.words.into(), until: held.until });
            dispatch.wait = Some(held.or_else(queue).unwrap_or_else(|| Wait {
                reason: missing.clone(),
                words: format!("it waits for pool {:?}, which does not exist", object.spec.pool).into(),
                until: None,
            }));
            dispatch.place = in_queue.then_some(0);
        }
        all.push(dispatch);
    }
    all.sort_by(|a, b| order(a).cmp(&order(b)));
    number(&mut all);
    all
}

/// Without what follows from other objects.
fn plain(key: &ObjectKey, object: &api::Dispatch, policy: Option<&DispatchPolicy>) -> Dispatch {
    let status = dispatch_status(object);
    let (since, deadline) = match status.phase {
        DispatchPhase::Pending => (queued_since(object), policy.and_then(|policy| queue_deadline(object, policy))),
        DispatchPhase::Assigned => {
            let deadline = policy.and_then(|policy| attempt_deadline(object, policy));
            (status.assigned_at.as_ref().map(|t| t.0), deadline)
        }
        _ => (status.finished_at.as_ref().map(|t| t.0), None),
    };
    Dispatch {
        namespace: key.namespace.clone().into(),
        name: key.name.clone().into(),
        pool: object.spec.pool.clone(),
        phase: status.phase,
        attempt: status.attempt,
        priority: object.spec.priority,
        created: object.metadata.creation_timestamp.as_ref().map(|t| t.0),
        worker: status.worker.as_ref().map(|worker| worker.name.clone()),
        since,
        not_before: status.waits_before(),
        place: None,
        wait: None,
        deadline,
        outcome: status.last_result.as_ref().map(|last| last.outcome),
        message: status.message.clone().or_else(|| status.last_result.as_ref()?.message.clone()),
    }
}

/// The order of the view. Of a queue it is the order of the core.
fn order(d: &Dispatch) -> impl Ord + '_ {
    let group = match d.phase {
        DispatchPhase::Assigned => 0,
        DispatchPhase::Pending if d.place.is_some() => 1,
        DispatchPhase::Pending => 2,
        _ => 3,
    };
    let finished = Reverse(d.since.filter(|_| group == 3));
    let queue = (group == 1).then_some((&d.pool, Reverse(d.priority), d.created, &d.name));
    (group, finished, (group == 1).then_some(&d.namespace), queue, d.since, &d.namespace, &d.name)
}

/// Numbers those that are in a queue.
fn number(all: &mut [Dispatch]) {
    let mut last: Option<(Text, String, usize)> = None;
    for dispatch in all.iter_mut().filter(|dispatch| dispatch.place.is_some()) {
        let place = match &mut last {
            Some((namespace, pool, n)) if *namespace == dispatch.namespace && *pool == dispatch.pool => {
                *n += 1;
                *n
            }
            _ => {
                last = Some((dispatch.namespace.clone(), dispatch.pool.clone(), 1));
                1
            }
        };
        dispatch.place = Some(place);
    }
}
