//! The workers of the view.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::model::{Rest, Standing, Worker};
use crate::api::pool::RestingCredential;
use crate::api::vocabulary::{WorkerHealthy, WorkerReady};
use crate::api::worker::WorkerPhase;
use crate::api::{self, Condition, names};
use crate::core::{Object, ObjectKey, worker_status};

/// The rests of credentials, by pool and by the name of the credential there.
pub(super) type Rests = BTreeMap<ObjectKey, Vec<RestingCredential>>;

/// The workers, by namespace, pool and ordinal.
pub(super) fn workers<'a>(
    objects: impl Iterator<Item = (&'a ObjectKey, &'a Arc<api::Worker>)>,
    rests: &Rests,
    now: Timestamp,
) -> Vec<Worker> {
    let mut all: Vec<Worker> = objects.map(|(key, object)| worker(key, object, rests, now)).collect();
    all.sort_by_cached_key(|w| {
        let ordinal = names::ordinal(&w.pool, &w.name);
        (w.namespace.clone(), w.pool.clone(), ordinal.is_none(), ordinal, w.name.clone())
    });
    all
}

fn worker(key: &ObjectKey, object: &api::Worker, rests: &Rests, now: Timestamp) -> Worker {
    let status = worker_status(object);
    let rest = rest(key, object, rests, now);
    let wrong = wrong(object);
    let standing = match status.phase {
        _ if status.dispatch.is_some() => Standing::Busy,
        _ if object.is_deleting() => Standing::Draining,
        WorkerPhase::Failed => Standing::Failed,
        WorkerPhase::Draining => Standing::Draining,
        WorkerPhase::Starting => Standing::Starting,
        WorkerPhase::Busy | WorkerPhase::Ready if wrong.is_some() => Standing::Unavailable,
        WorkerPhase::Busy | WorkerPhase::Ready if rest.is_some() => Standing::Resting,
        WorkerPhase::Busy | WorkerPhase::Ready => Standing::Ready,
    };
    let created = object.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let ready = Condition::find::<WorkerReady>(&status.conditions).map(|c| c.last_transition_time.0);
    let idle = status.idle_since.as_ref().map(|t| t.0);
    let since = match standing {
        Standing::Busy => status.dispatch.as_ref().map(|d| d.assigned_at.0),
        Standing::Ready | Standing::Resting => idle.or(ready),
        Standing::Starting => created,
        Standing::Draining => object.metadata.deletion_timestamp.as_ref().map(|t| t.0),
        Standing::Unavailable | Standing::Failed => ready,
    };
    Worker {
        namespace: key.namespace.clone().into(),
        name: key.name.clone().into(),
        pool: object.spec.pool.clone(),
        standing,
        since,
        created,
        dispatch: status.dispatch.as_ref().map(|d| d.name.clone()),
        attempt: status.dispatch.as_ref().map_or(0, |d| d.attempt),
        dispatches: status.dispatches,
        rest,
        credential: object.spec.credential.clone(),
        runtime: object.spec.runtime,
        host: object.spec.host.clone(),
        message: status.message.clone().or(wrong),
    }
}

/// Why a worker that is up can take no work, although nothing rests.
fn wrong(object: &api::Worker) -> Option<String> {
    let conditions = &worker_status(object).conditions;
    let not = |found: Option<&Condition>| {
        let c = found.filter(|c| !c.is_true())?;
        Some(if c.message.is_empty() { c.reason.clone() } else { c.message.clone() })
    };
    let said =
        not(Condition::find::<WorkerReady>(conditions)).or_else(|| not(Condition::find::<WorkerHealthy>(conditions)));
    said.or_else(|| object.spec.cordoned.then(|| "it is cordoned (spec.cordoned)".to_owned()))
}

/// The rest of a worker or of its credential, whichever ends later. One without an end is the latest.
fn rest(key: &ObjectKey, object: &api::Worker, rests: &Rests, now: Timestamp) -> Option<Rest> {
    let status = worker_status(object);
    let own = status.cooldown.as_ref().map(|cooldown| Rest {
        until: cooldown.until.as_ref().map(|t| t.0),
        parked: false,
        strikes: cooldown.strikes,
        reason: cooldown.reason.clone(),
    });
    let own = own.filter(|rest| rest.until.is_some_and(|t| t > now));
    let shown = status.rests_until.as_ref().map(|t| t.0).filter(|t| *t > now);
    let shown = shown.map(|t| Rest { until: Some(t), parked: false, strikes: 0, reason: None });
    let credential = object.spec.credential.as_ref().and_then(|name| {
        rests.get(&key.sibling(object.spec.pool.as_str()))?.iter().find(|rest| rest.name == *name).map(of_credential)
    });
    // What rests the credential says more than the time that the worker shows.
    let end =
        |rest: &Rest| (rest.parked, rest.until.is_none(), rest.until.map(Timestamp::as_second), rest.reason.is_some());
    own.into_iter().chain(shown).chain(credential).max_by_key(end)
}

/// The rest of a credential.
pub(super) fn of_credential(rest: &RestingCredential) -> Rest {
    Rest {
        until: rest.until.as_ref().map(|t| t.0),
        parked: rest.parked,
        strikes: rest.strikes,
        reason: rest.reason.clone(),
    }
}
