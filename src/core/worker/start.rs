//! A Worker that is not Ready yet: its start.

use std::time::Duration;

use super::exit::describe_worker;
use crate::api::vocabulary::{EventReason, WorkerReady};
use crate::api::worker::WorkerPhase;
use crate::api::{Time, Worker};
use crate::core::agenda::Wake;
use crate::core::object::worker_status;
use crate::core::state::instances::{InstanceView, host_of, instance_key};
use crate::core::state::workers::Op;
use crate::core::{Action, Core, EventType, HostKey, Now, ObjectKey, RuntimeOrder, conditions};
use crate::runtime::{InstanceKey, InstanceSpec, InstanceState};

impl Core {
    /// Not Ready yet.
    pub(super) fn bring_up(&mut self, key: &ObjectKey, w: &Worker, pool_key: &ObjectKey, now: Now, wake: &mut Wake) {
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
                    self.pools.entry(&pool_key).start_took = Some(took);
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
    pub(in crate::core) fn start_failed(&mut self, instance: &InstanceKey, why: String) {
        if self.workers.of_instance(instance).is_some() {
            self.fail_start(&ObjectKey::of_instance(instance), why);
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
}
