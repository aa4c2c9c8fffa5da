//! Pauses of workers that rest (`rateLimit.pause`).
//!
//! An instance stands still exactly while its Worker names no dispatch, rests, and its pool asks for it. Any other pause is
//! undone, also one by hand: an order of a controller that died may arrive late. Nothing is stored, since the host shows
//! what is paused. An attempt on a worker that may be paused is not published before the instance goes on.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::pool::HealthPolicy;
use crate::api::worker::WorkerStatus;
use crate::api::{ContainerPool, Worker};
use crate::core::agenda::Wake;
use crate::core::state::instances::{InstanceView, host_of, instance_key};
use crate::core::{Action, Core, Now, ObjectKey, RuntimeOrder, time};
use crate::runtime::InstanceState;

/// A rest that is over sooner is not worth two requests to an engine.
const WORTH_A_PAUSE: Duration = Duration::from_secs(1);

impl Core {
    /// True if the instance of a worker may stand still: it was seen so, or was ordered to and not seen to go on since.
    pub(in crate::core) fn may_be_paused(&self, key: &ObjectKey, w: &Worker) -> bool {
        let ordered = self.workers.get(key).is_some_and(|e| e.life().may_be_paused());
        ordered || self.is_in_state(w, &InstanceState::Paused)
    }

    /// True if the worker's instance was seen in this state.
    pub(super) fn is_in_state(&self, w: &Worker, wanted: &InstanceState) -> bool {
        matches!(self.instances.view_of(w), Some(InstanceView::There { state, .. }) if state == wanted)
    }

    /// Pauses an idle worker that rests, or ends its pause.
    pub(super) fn pause_or_go_on(
        &mut self,
        key: &ObjectKey,
        w: &Worker,
        status: &WorkerStatus,
        now: Now,
        wake: &mut Wake,
    ) {
        let pool = self.workers[key].pool().clone();
        let pauses = self.pool_obj(&pool).filter(|p| p.spec.rate_limit.pause);
        let Some(end) = pauses.and_then(|p| self.rest_of(&pool, &p, w, status, now)) else {
            return self.go_on(key, w, now, wake);
        };
        let life = self.workers[key].life();
        let runs = self.is_in_state(w, &InstanceState::Running) && life.missed() == 0;
        if !runs || life.order_under_way().is_some() || !self.instances.is_listed(&host_of(w)) {
            return; // what it waits for marks the worker again
        }
        if end < time::after(now.wall, WORTH_A_PAUSE) {
            return;
        }
        let next = life.next_pause();
        if now.mono < next {
            wake.after(next);
            return;
        }
        let policy = self.health_of(&pool);
        if let Some(e) = self.workers.get_mut(key) {
            e.life_mut().pauses(policy.interval.get(), now.mono);
        }
        self.set_paused(w, true, &policy);
    }

    /// Lets a worker go on, if it may be paused.
    pub(in crate::core) fn go_on(&mut self, key: &ObjectKey, w: &Worker, now: Now, wake: &mut Wake) {
        let Some(e) = self.workers.get(key).filter(|_| self.may_be_paused(key, w)) else { return };
        let (pool, next) = (e.pool().clone(), e.life().next_end_of_pause());
        if e.life().order_under_way().is_some() || !self.instances.is_listed(&host_of(w)) || self.instances.is_dead(w) {
            return; // what it waits for marks the worker again
        }
        if now.mono < next {
            wake.after(next);
            return;
        }
        let policy = self.health_of(&pool);
        if let Some(e) = self.workers.get_mut(key) {
            e.life_mut().ends_pause(policy.interval.get().min(policy.timeout.get()), now.mono);
        }
        self.set_paused(w, false, &policy);
    }

    fn set_paused(&mut self, w: &Worker, paused: bool, policy: &HealthPolicy) {
        let limit = policy.timeout.get();
        self.actions.push(Action::Runtime(RuntimeOrder::SetPaused(host_of(w), instance_key(w), paused, limit)));
    }

    fn health_of(&self, pool: &ObjectKey) -> HealthPolicy {
        self.pool_obj(pool).map(|p| p.spec.health.clone()).unwrap_or_default()
    }

    /// The end of the rest of an idle worker or of its credential, if one lasts. [`Timestamp::MAX`]: it has no known end.
    fn rest_of(
        &self,
        pool: &ObjectKey,
        obj: &ContainerPool,
        w: &Worker,
        status: &WorkerStatus,
        now: Now,
    ) -> Option<Timestamp> {
        let own = status.cooldown.as_ref().and_then(|c| c.until.as_ref()).map(|t| t.0);
        let own = own.filter(|end| self.rest_ends.lasts(*end, now));
        let shared = self.pools.get(pool).map(|p| &p.pauses).filter(|_| !obj.spec.credentials.is_empty());
        let shared = shared.and_then(|pauses| pauses.credentials.get(&self.identity_of(w).ok()??).copied());
        own.max(shared)
    }
}
