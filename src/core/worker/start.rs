//! A Worker that is not Ready yet: its start.

use super::exit::describe_worker;
use crate::api::vocabulary::{EventReason, WorkerReady};
use crate::api::worker::{Handle, WorkerPhase};
use crate::api::{ContainerPool, Period, Time, Worker};
use crate::core::agenda::Wake;
use crate::core::object::worker_status;
use crate::core::state::instances::{InstanceView, host_of, instance_key};
use crate::core::state::life::Order;
use crate::core::{Action, Core, EventType, HostKey, Now, Object, ObjectKey, RuntimeOrder, WorkerEnd, conditions};
use crate::runtime::{InstanceSpec, InstanceState};

impl Core {
    /// A Worker whose phase is Starting: what its instance shows, then the limit of time, then what people see, then an order.
    pub(super) fn bring_up(&mut self, key: &ObjectKey, w: &Worker, pool_key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(pool) = self.pool_obj(pool_key) else { return };
        let (waits, held, seen) = match self.instances.view_of(w) {
            Some(InstanceView::There { handle, state: InstanceState::Running }) => {
                let handle = handle.clone();
                return self.started(key, w, pool_key, handle, now);
            }
            Some(InstanceView::Ended(exit)) => {
                let why = describe_worker(exit, " before it was ready");
                return self.fail_start(key, why);
            }
            Some(InstanceView::Gone) => {
                return self.fail_start(key, "the instance vanished before it was ready".to_owned());
            }
            Some(InstanceView::There { state: InstanceState::Leaving(why), .. }) => {
                let why = why.clone();
                return self.fail_start(key, why); // with a back-off: it may have been put on that node in spite of the cordon
            }
            Some(InstanceView::There { state, .. }) => {
                let held = matches!(state, InstanceState::NotReady { held: true, .. });
                (state.why_not_ready().map(str::to_owned), held, true)
            }
            None => (self.workers[key].life().waits_for().map(str::to_owned), false, false),
        };
        let host = host_of(w);
        // Nothing is removed meanwhile, and the time does not count.
        let stands_still = self.cfg.is_paused(&pool) || !self.instances.is_listed(&host);
        if !stands_still && self.is_outdated(&self.workers[key]) {
            self.delete_worker(key, WorkerEnd::Outdated, now); // outdated before it began
            return;
        }
        let Some(e) = self.workers.get_mut(key) else { return };
        e.life_mut().set_standing_still(stands_still, now.mono);
        let (end, under_way) =
            (e.life().since() + pool.spec.health.start_timeout.get(), e.life().order_under_way().is_some());
        let (missed, runs) = (e.life().missed(), !held && !stands_still);
        if runs && now.mono >= end {
            if !under_way {
                let why = waits.map(|w| format!(": {w}")).unwrap_or_default();
                let limit = pool.spec.health.start_timeout;
                self.fail_start(key, format!("not ready after {limit} (spec.health.startTimeout){why}"));
            }
            return;
        }
        if worker_status(w).message != waits {
            self.show_wait(key, w, waits, now);
            return;
        }
        if runs {
            wake.after(end);
        }
        if missed > 0 {
            self.check_if_due(key, now, wake); // it was not in a listing
        } else if self.may_be_paused(key, w) {
            self.go_on(key, w, now, wake);
        } else if !under_way && !seen && !stands_still {
            self.order_start(key, w, &pool, host, now);
        }
    }

    /// The instance runs: the Worker is Ready.
    fn started(&mut self, key: &ObjectKey, w: &Worker, pool: &ObjectKey, handle: Handle, now: Now) {
        let mut status = w.status.clone().unwrap_or_default();
        status.phase = WorkerPhase::Ready;
        status.handle = Some(handle);
        status.idle_since = Some(Time::from(now.wall));
        status.message = None;
        conditions::set(&mut status.conditions, WorkerReady::Running, "", now);
        if let Some(ordered) = self.workers.get(key).and_then(|e| e.life().last_check()) {
            self.pools.entry(pool).start_took = Some(now.mono.saturating_sub(ordered));
        }
        self.show_rest(pool, w, &mut status, false, now);
        self.write_worker(key, status, now);
    }

    /// Writes what a start waits for.
    fn show_wait(&mut self, key: &ObjectKey, w: &Worker, waits: Option<String>, now: Now) {
        if let Some(why) = &waits {
            self.record("Worker", w, EventType::Warning, EventReason::NotReady, why.clone(), now);
        }
        let mut status = w.status.clone().unwrap_or_default();
        status.message = waits;
        self.write_worker(key, status, now);
    }

    /// Orders the start, or a check if the answer to an earlier order was lost.
    fn order_start(&mut self, key: &ObjectKey, w: &Worker, pool: &ContainerPool, host: HostKey, now: Now) {
        let Some(e) = self.workers.get_mut(key) else { return };
        let order = if e.life().is_unanswered() {
            e.life_mut().order(Order::Check, now.mono);
            RuntimeOrder::Check(host, instance_key(w), pool.spec.health.timeout.get())
        } else {
            e.life_mut().order(Order::Start, now.mono);
            let spec = instance_spec(w, pool, &host);
            RuntimeOrder::Start(host, Box::new(spec))
        };
        self.actions.push(Action::Runtime(order));
    }

    /// The start failed: the Worker is deleted, and its pool waits before the next start.
    pub(in crate::core) fn fail_start(&mut self, key: &ObjectKey, why: String) {
        if let Some(e) = self.workers.get_mut(key) {
            e.life_mut().failed(why);
        }
        self.agenda.mark_worker(key);
    }
}

fn instance_spec(w: &Worker, pool: &ContainerPool, host: &HostKey) -> InstanceSpec {
    let (pool_uid, pool) = (pool.uid_str().to_owned(), &pool.spec);
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
        credential: w.spec.credential.as_ref().and_then(|n| pool.credentials.iter().find(|c| c.name == *n)).cloned(),
        grace: pool.termination_grace_period.map(Period::get),
        protected_for: (!pool.drain_timeout.is_zero()).then_some(pool.drain_timeout.get()),
        pool_uid,
        pod_template: pool.pod_template.clone(),
    }
}
