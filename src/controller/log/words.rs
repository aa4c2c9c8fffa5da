//! The lines at debug: what each action does, to which object, and why.

use super::facts::{about_dispatch, about_worker};
use super::line::Line;
use crate::api::dispatch::DispatchStatus;
use crate::api::pool::ContainerPoolStatus;
use crate::api::worker::WorkerStatus;
use crate::api::{ContainerPool, Dispatch, Worker};
use crate::core::{ObjectKey, RuntimeOrder, Subject, Verb, dispatch_status, worker_status};

/// What a write does.
pub(super) fn of_verb(subject: &Subject, verb: &Verb) -> Line {
    match verb {
        Verb::CreateWorker(w) => about_worker("create the worker", w),
        Verb::CreateDispatch(d) => about_dispatch("create the dispatch", d),
        Verb::PoolStatus(base, next) => of_pool(base, next),
        Verb::WorkerStatus(base, next) => of_worker(base, next),
        Verb::DispatchStatus(base, next) => of_dispatch(base, next),
        Verb::DispatchResult(base, result) => {
            let mut line = about_dispatch("write the result", base);
            (line.attempt, line.outcome) = (Some(result.attempt), Some(format!("{:?}", result.outcome)));
            line
        }
        Verb::AddPoolFinalizer(base) => about_pool("add the finalizer", base),
        Verb::RemovePoolFinalizer(base) => about_pool("remove the finalizer", base),
        Verb::RemovePoolAnnotations(base, done) => {
            let keys: Vec<&str> = done.iter().map(|(key, _)| key.as_str()).collect();
            let is = if keys.len() == 1 { "is" } else { "are" };
            Line {
                reason: Some(format!("{} {is} carried out", keys.join(", "))),
                ..about_pool("remove annotations", base)
            }
        }
        Verb::RemoveWorkerFinalizer(base) => {
            Line { reason: Some("its instance is gone".to_owned()), ..about_worker("remove the finalizer", base) }
        }
        Verb::DeleteWorker(base, why) => {
            Line { reason: Some(why.to_string()), ..about_worker("delete the worker", base) }
        }
        Verb::DeleteDispatch(base) => about_dispatch("delete the dispatch", base),
        Verb::GetWorker(key) => read(subject, "read the worker", |line| line.worker = Some(key.name.to_string())),
        Verb::GetDispatch(key) => read(subject, "read the dispatch", |line| line.dispatch = Some(key.name.to_string())),
        Verb::GetPool(key) => read(subject, "read the pool", |line| line.pool = Some(key.name.to_string())),
    }
}

/// A GET about something that is not in the cache. The subject asks.
fn read(subject: &Subject, what: &'static str, name: impl FnOnce(&mut Line)) -> Line {
    let (namespace, reason) = match subject {
        Subject::Dispatch(k) => (k.namespace.to_string(), format!("Dispatch {} names it", k.name)),
        Subject::Worker(k) => (k.namespace.to_string(), format!("Worker {} names it", k.name)),
        Subject::Pool(k) | Subject::Lease(k) => (k.namespace.to_string(), String::new()),
        Subject::Orphan(k) => (k.namespace.clone(), "there is an instance of it".to_owned()),
    };
    let mut line = Line { reason: Some(reason), ..Line::new(what, &namespace) };
    name(&mut line);
    line
}

/// What an order to a runtime does.
pub(super) fn of_order(order: &RuntimeOrder) -> Line {
    let (what, key, pool) = match order {
        RuntimeOrder::Start(_, spec) => ("start the instance", &spec.key, Some(spec.pool.clone())),
        RuntimeOrder::Stop(_, key) => ("stop the instance", key, None),
        RuntimeOrder::Check(_, key, _) => ("check the instance", key, None),
        RuntimeOrder::SetPaused(_, key, true, _) => ("pause the instance", key, None),
        RuntimeOrder::SetPaused(_, key, false, _) => ("unpause the instance", key, None),
    };
    let mut line = Line::new(what, &key.namespace);
    (line.pool, line.worker) = (pool, Some(key.worker.clone()));
    line
}

fn about_pool(what: &'static str, pool: &ContainerPool) -> Line {
    let key = ObjectKey::of(pool);
    let mut line = Line::new(what, &key.namespace);
    line.pool = Some(key.name.to_string());
    line
}

fn of_pool(base: &ContainerPool, next: &ContainerPoolStatus) -> Line {
    let old = base.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let changed = next.conditions.iter().filter(|c| !old.contains(c));
    let changed: Vec<String> = changed.map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect();
    let why = if changed.is_empty() { "counts".to_owned() } else { changed.join(", ") };
    Line { reason: Some(why), ..about_pool("write the pool's status", base) }
}

fn of_worker(base: &Worker, next: &WorkerStatus) -> Line {
    let old = worker_status(base);
    let what = match (&old.dispatch, &next.dispatch) {
        (None, Some(_)) => "reserve the worker",
        (Some(old), Some(new)) if old != new => "free the worker and reserve it again",
        (Some(_), None) => "free the worker",
        _ => "write the worker's status",
    };
    let mut line = about_worker(what, base);
    let named = next.dispatch.as_ref().or(old.dispatch.as_ref());
    (line.dispatch, line.attempt) = (named.map(|d| d.name.clone()), named.map(|d| d.attempt));
    line.phase = Some(format!("{:?}", next.phase));
    line.reason.clone_from(&next.message);
    line
}

fn of_dispatch(base: &Dispatch, next: &DispatchStatus) -> Line {
    let old = dispatch_status(base);
    let closed = |s: &DispatchStatus| s.last_result.as_ref().map_or(0, |r| r.attempt);
    let (is_closed, is_published) = (closed(next) > closed(old), next.is_open() && !old.is_open());
    let what = match (is_closed, is_published) {
        (true, _) => "close the attempt",
        (_, true) => "publish the attempt",
        _ => "write the dispatch's status",
    };
    let mut line = about_dispatch(what, base);
    line.phase = Some(format!("{:?}", next.phase));
    if is_closed || is_published {
        (line.attempt, line.worker) = (Some(next.attempt), next.worker.as_ref().map(|w| w.name.clone()));
    }
    if let Some(result) = next.last_result.as_ref().filter(|_| is_closed) {
        line.outcome = Some(result.outcome.to_string());
        line.reason.clone_from(&result.message);
    } else if let Some(c) = next.conditions.iter().find(|c| !old.conditions.contains(c)).filter(|_| !is_published) {
        line.reason = Some(format!("{}={} {}", c.type_, c.status, c.reason));
    }
    line
}
