//! A Worker and its one instance: start, health, stop.
//!
//! One stop rule: an instance is stopped only when its Worker has a deletionTimestamp and names no dispatch in the same
//! object version. A finalizer is removed only from such a Worker, when the runtime confirmed that the instance is gone.

use std::time::Duration;

use super::agenda::Wake;
use super::entries::Op;
use super::object::worker_status;
use super::state::instances::{InstanceView, host_of, instance_key};
use super::{Action, Core, EventType, HostKey, Now, Object, ObjectKey, RuntimeOrder, Subject, Verb, conditions};
use crate::api::dispatch::Target;
use crate::api::vocabulary::{EventReason, WorkerHealthy, WorkerReady};
use crate::api::worker::{WorkerPhase, WorkerStatus};
use crate::api::{Condition, Time, Worker, names};
use crate::runtime::{Exit, Instance, InstanceKey, InstanceSpec, InstanceState};

/// A worker that ends so soon after it became Ready counts as one that did not start.
pub const EARLY_END: Duration = Duration::from_secs(10);
/// An idle worker that missed this many checks in a row is replaced.
pub const MISSED_CHECKS: u32 = 3;

/// What is said of an instance that ended.
pub fn describe(exit: &Exit) -> String {
    let mut text = match (exit.code, exit.out_of_memory) {
        (_, true) => "killed: out of memory".to_owned(),
        (Some(code), _) if code > 128 => format!("ended by signal {}", code - 128),
        (Some(code), _) => format!("exited with code {code}"),
        (None, _) => "ended".to_owned(),
    };
    let tail = exit.tail.trim_end();
    if !tail.is_empty() {
        text.push_str("; last output: ");
        text.push_str(tail);
    }
    text
}

/// What is said of a worker whose instance ended by itself, and when it did: with advice, if what it ran was not made to stay.
fn describe_worker(exit: &Exit, when: &str) -> String {
    let advice = if exit.code == Some(0) {
        " (a worker must keep running: set spec.command to something that waits, such as [\"sleep\", \"infinity\"])"
    } else {
        ""
    };
    format!("worker {}{when}{advice}", describe(exit))
}

impl Core {
    pub(super) fn decide_worker(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        self.reindex_worker(key, now);
        let Some(e) = self.workers.get(key) else { return };
        let (w, pool, failed) = (e.obj.clone(), e.pool.clone(), e.start_failed.clone());
        let status = worker_status(&w);
        if let Some(until) = status.cooldown.as_ref().and_then(|c| c.until.as_ref()).filter(|u| u.0 > now.wall) {
            wake.at(until.0);
        }
        if let Some(named) = &status.dispatch {
            self.decide_named(key, &w, named, now, wake);
        } else if w.is_deleting() {
            self.let_go(key, &w);
        } else if let Some(why) = failed {
            self.count_start_failure(&pool, &w, &why, now);
            self.delete_worker(key, now);
        } else if self.pool_obj(&pool).is_some_and(|p| p.is_deleting()) {
            self.delete_worker(key, now);
        } else if self.pool_obj(&pool).is_none() {
            // Absence from a cache is no fact: ask.
            if self.workers[key].pool_gone {
                self.delete_worker(key, now);
            } else {
                self.write(Subject::Worker(key.clone()), Verb::GetPool(pool));
            }
        } else if status.phase == WorkerPhase::Starting {
            self.bring_up(key, &w, &pool, now, wake);
        } else {
            self.keep_up(key, &w, status, now, wake);
        }
    }

    pub(super) fn delete_worker(&mut self, key: &ObjectKey, now: Now) {
        let Some(base) = self.workers.get(key).map(|e| e.obj.clone()) else { return };
        if self.agenda.is_locked(&Subject::Worker(key.clone())) {
            return;
        }
        self.write(Subject::Worker(key.clone()), Verb::DeleteWorker(base));
        self.reindex_worker(key, now);
    }

    /// Deleting, and no dispatch named: stop the instance, then let go of the name.
    fn let_go(&mut self, key: &ObjectKey, w: &Worker) {
        let host = host_of(w);
        let instance = instance_key(w);
        let Some(e) = self.workers.get_mut(key) else { return };
        if matches!(e.op, Some(Op::Start | Op::Stop)) {
            return; // its answer marks this worker again
        }
        let base = e.obj.clone();
        if self.instances.get(&instance).is_some_and(|i| i.view == InstanceView::Gone) {
            if w.metadata.finalizers.iter().flatten().any(|f| f == names::WORKER_FINALIZER) {
                self.write(Subject::Worker(key.clone()), Verb::RemoveWorkerFinalizer(base));
            }
        } else if self.instances.is_listed(&host) {
            if let Some(e) = self.workers.get_mut(key) {
                e.begin(Op::Stop);
            }
            self.actions.push(Action::Runtime(RuntimeOrder::Stop(host, instance)));
        }
    }

    /// Not Ready yet.
    fn bring_up(&mut self, key: &ObjectKey, w: &Worker, pool_key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(pool) = self.pool_obj(pool_key) else { return };
        let view = self.instances.view_of(w).cloned();
        match view {
            Some(InstanceView::There { handle, state: InstanceState::Running }) => {
                let mut status = w.status.clone().unwrap_or_default();
                status.phase = WorkerPhase::Ready;
                status.handle = Some(handle);
                status.idle_since = Some(Time::from(now.wall));
                status.message = None;
                conditions::set(&mut status.conditions, WorkerReady::Running, "", now);
                let took = self.workers.get(key).filter(|e| e.checked != Duration::ZERO);
                if let Some(took) = took.map(|e| now.mono.saturating_sub(e.checked)) {
                    self.pools.entry(pool_key.clone()).or_default().start_took = Some(took);
                }
                self.write_worker(key, status, now);
                return;
            }
            Some(InstanceView::Ended(exit)) => {
                let text = describe_worker(&exit, " before it was ready");
                self.fail_start(key, text);
                return;
            }
            Some(InstanceView::Gone) => {
                self.fail_start(key, "the instance vanished before it was ready".to_owned());
                return;
            }
            _ => {}
        }
        let waits = match &view {
            Some(InstanceView::There { state, .. }) => state.why_not_ready().map(str::to_owned),
            _ => self.workers[key].not_now.clone(),
        };
        let host = host_of(w);
        // Nothing is removed meanwhile, nor does it count against anybody.
        let stands_still = pool.spec.paused || !self.instances.is_listed(&host);
        if !stands_still && self.is_outdated(&self.workers[key]) {
            self.delete_worker(key, now); // outdated before it began
            return;
        }
        let limit = pool.spec.health.start_timeout.get();
        let Some(e) = self.workers.get_mut(key) else { return };
        if std::mem::replace(&mut e.stands_still, stands_still) && !stands_still {
            e.since = now.mono;
        }
        let (since, op, missed) = (e.since, e.op, e.missed);
        let held = matches!(&view, Some(InstanceView::There { state: InstanceState::NotReady { held: true, .. }, .. }));
        let runs = !held && !stands_still;
        if runs && now.mono >= since + limit {
            if op.is_none() {
                let why = waits.map(|w| format!(": {w}")).unwrap_or_default();
                self.fail_start(
                    key,
                    format!("not ready after {} (spec.health.startTimeout){why}", pool.spec.health.start_timeout),
                );
            }
            return;
        }
        if worker_status(w).message != waits {
            let mut status = w.status.clone().unwrap_or_default();
            if let Some(why) = &waits {
                self.record("Worker", w, EventType::Warning, EventReason::NotReady, why.clone(), now);
            }
            status.message = waits;
            self.write_worker(key, status, now);
            return;
        }
        if runs {
            wake.after(since + limit);
        }
        if missed > 0 {
            self.check_if_due(key, now, wake); // it was not in a listing
            return;
        }
        if op.is_some() || view.is_some() || stands_still {
            return;
        }
        if self.workers[key].start_unknown {
            let limit = pool.spec.health.timeout.get();
            if let Some(e) = self.workers.get_mut(key) {
                e.begin(Op::Check);
            }
            self.actions.push(Action::Runtime(RuntimeOrder::Check(host, instance_key(w), limit)));
            return;
        }
        let spec = self.instance_spec(w, &pool.spec, &host);
        if let Some(e) = self.workers.get_mut(key) {
            e.begin(Op::Start);
            e.checked = now.mono;
        }
        self.actions.push(Action::Runtime(RuntimeOrder::Start(host, Box::new(spec))));
    }

    fn fail_start(&mut self, key: &ObjectKey, why: String) {
        if let Some(e) = self.workers.get_mut(key) {
            e.start_failed = Some(why);
        }
        self.agenda.mark_worker(key);
    }

    /// A runtime refused a start.
    pub(super) fn start_failed(&mut self, instance: &InstanceKey, why: String, now: Now) {
        let key = ObjectKey::of_instance(instance);
        if self.workers.get(&key).is_some_and(|e| e.obj.uid_str() == instance.uid) {
            let _ = now;
            self.fail_start(&key, why);
        }
    }

    fn instance_spec(&self, w: &Worker, pool: &crate::api::ContainerPoolSpec, host: &HostKey) -> InstanceSpec {
        InstanceSpec {
            key: instance_key(w),
            pool: w.spec.pool.clone(),
            host: host.host.clone(),
            image: pool.image.clone(),
            command: pool.command.clone(),
            args: pool.args.clone(),
            env: pool.env.clone(),
            working_dir: pool.working_dir.clone(),
            resources: pool.resources.clone(),
            mounts: pool.mounts.clone(),
            credential: w
                .spec
                .credential
                .as_ref()
                .and_then(|n| pool.credentials.iter().find(|c| c.name == *n))
                .cloned(),
            pod_template: pool.pod_template.clone(),
        }
    }

    /// Started, and idle.
    fn keep_up(&mut self, key: &ObjectKey, w: &Worker, status: &WorkerStatus, now: Now, wake: &mut Wake) {
        let pool = self.workers[key].pool.clone();
        if self.instances.is_dead(w) {
            let resting = status.cooldown.as_ref().and_then(|c| c.until.as_ref()).is_some_and(|u| u.0 > now.wall);
            let since = self.workers[key].since;
            let why = self.epitaph(w);
            if resting {
                // It keeps its slot: a fresh worker in its place would not be rested.
                if status.phase != WorkerPhase::Failed {
                    let mut next = status.clone();
                    next.phase = WorkerPhase::Failed;
                    next.message = Some(why.clone());
                    conditions::set(&mut next.conditions, WorkerReady::InstanceLost, &why, now);
                    self.record("Worker", w, EventType::Warning, EventReason::InstanceLost, why, now);
                    self.write_worker(key, next, now);
                }
                return;
            }
            if now.mono < since + EARLY_END {
                let text = match self.instances.view_of(w) {
                    Some(InstanceView::Ended(exit)) => describe_worker(exit, " soon after its start"),
                    _ => format!("worker lost soon after its start: {why}"),
                };
                self.count_start_failure(&pool, w, &text, now);
            } else {
                self.record("Worker", w, EventType::Warning, EventReason::InstanceLost, why, now);
            }
            self.delete_worker(key, now);
            return;
        }
        if self.pools.get(&pool).is_some_and(|p| p.backoff.failures > 0) {
            let since = self.workers[key].since;
            if now.mono >= since + EARLY_END {
                self.started_well(key, &pool);
            } else {
                wake.after(since + EARLY_END);
            }
        }
        let paused = self.pool_obj(&pool).is_some_and(|p| p.spec.paused);
        let missed = self.workers[key].missed;
        if missed >= MISSED_CHECKS && self.instances.is_listed(&host_of(w)) && !paused {
            self.record(
                "Worker",
                w,
                EventType::Warning,
                EventReason::Unhealthy,
                format!("{missed} checks in a row failed"),
                now,
            );
            self.delete_worker(key, now);
            return;
        }
        let waits = match self.instances.view_of(w) {
            Some(InstanceView::There { state, .. }) => state.why_not_ready().map(str::to_owned),
            _ => None,
        };
        let healthy = missed == 0 && waits.is_none();
        let shown = Condition::find::<WorkerHealthy>(&status.conditions).is_none_or(Condition::is_true);
        let e = &self.workers[key];
        let sure = self.instances.view_of(w).is_some() && e.op.is_none() && e.checked != Duration::ZERO;
        if sure && healthy != shown {
            let mut next = status.clone();
            let reason = match (healthy, &waits) {
                (true, _) => WorkerHealthy::CheckPassed,
                (false, None) => WorkerHealthy::CheckFailed,
                (false, Some(_)) => WorkerHealthy::NotReady,
            };
            let why = waits.clone().unwrap_or_default();
            conditions::set(&mut next.conditions, reason, &why, now);
            next.message = waits;
            self.write_worker(key, next, now);
            return;
        }
        self.check_if_due(key, now, wake);
    }

    fn write_worker(&mut self, key: &ObjectKey, status: WorkerStatus, now: Now) {
        let base = self.workers[key].obj.clone();
        self.write(Subject::Worker(key.clone()), Verb::WorkerStatus(base, Box::new(status)));
        self.reindex_worker(key, now);
    }

    /// True if nothing but rest keeps a started worker from taking work.
    pub(super) fn can_work(&self, key: &ObjectKey) -> bool {
        self.workers.get(key).is_some_and(|e| !e.obj.is_deleting() && self.is_usable(e))
    }

    /// How a task reaches a worker, if its instance was seen.
    pub(super) fn target_of(&self, w: &Worker) -> Option<Target> {
        let Some(InstanceView::There { handle, state }) = self.instances.view_of(w) else { return None };
        let (key, host) = (instance_key(w), host_of(w));
        let instance =
            Instance { key, host: host.host.clone(), own: true, handle: handle.clone(), state: state.clone() };
        Some((self.cfg.target)(&host, &instance))
    }

    /// What is known of the end of a worker's instance.
    pub(super) fn epitaph(&self, w: &Worker) -> String {
        match self.instances.view_of(w) {
            Some(InstanceView::Ended(exit)) => describe_worker(exit, ""),
            _ => "the worker's instance is gone".to_owned(),
        }
    }

    /// An instance whose Worker is not in the cache. It is removed only if this installation made it, after a live GET,
    /// and not while an attempt on it is open.
    pub(super) fn decide_orphan(&mut self, key: &InstanceKey, _now: Now, _wake: &mut Wake) {
        let worker = ObjectKey::of_instance(key);
        if self.workers.get(&worker).is_some_and(|e| e.obj.uid_str() == key.uid) {
            self.agenda.mark_worker(&worker);
            return;
        }
        let Some(host) = self.instances.get(key).filter(|e| e.own).map(|e| e.host.clone()) else { return };
        match self.instances.is_orphan(key) {
            None => self.write(Subject::Orphan(Box::new(key.clone())), Verb::GetWorker(worker)),
            Some(false) => {
                self.instances.uncheck_orphan(key);
            }
            Some(true) => {
                let mut open = self.claims.open_on(&key.uid).peekable();
                if open.peek().is_some() {
                    for d in open {
                        self.agenda.mark_dispatch(d);
                    }
                } else if self.instances.is_listed(&host) && self.instances.begin_stop(key) {
                    self.actions.push(Action::Runtime(RuntimeOrder::Stop(host, key.clone())));
                }
            }
        }
    }
}
