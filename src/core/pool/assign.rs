//! Which dispatch gets which worker: the dispatch by priority, then creation; the worker by the oldest last dispatch.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::api::pool::ContainerPoolSpec;
use crate::api::worker::WorkerStatus;
use crate::api::{ContainerPool, names};
use crate::core::agenda::Wake;
use crate::core::dispatch::commit::reserved;
use crate::core::state::slots::Slot;
use crate::core::{Core, Now, Object, ObjectKey, Subject, Verb, time};

/// One reservation to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The worker that rested longest.
    pub worker: ObjectKey,
    /// The head of the queue.
    pub dispatch: ObjectKey,
    /// True if the worker's credential is parked.
    pub probe: bool,
}

/// Whether a credential lets another attempt begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Open,
    /// It rests until then.
    Resting(Timestamp),
    /// It was refused, and rests until a person clears or changes it, or until it is probed then.
    Parked(Option<Timestamp>),
    /// It was refused, and one attempt may find out whether it still is.
    Probe,
    /// As many attempts as `maxConcurrent` allows are open.
    Full,
    /// Half-open: one attempt goes first. The others may follow then, or when it has succeeded.
    Probing(Timestamp),
}

impl Gate {
    /// True if an attempt may begin now.
    pub const fn is_passable(self) -> bool {
        matches!(self, Self::Open | Self::Probe)
    }
}

/// The head of the queue and the worker for it, if there are both.
pub(in crate::core) fn choose(core: &mut Core, pool: &ObjectKey, now: Now, wake: &mut Wake) -> Option<Choice> {
    loop {
        let obj = core.pool_obj(pool).filter(|p| core.may_assign(p))?;
        let entry = core.pools.get(pool)?;
        if entry.members.staying() > usize::try_from(obj.spec.max).unwrap_or(0) {
            return None; // idle workers above `max` are removed instead
        }
        entry.queue.head()?;
        let creds: Vec<Option<String>> = entry.slots.idle().keys().cloned().collect();
        let mut best: Option<((Option<Timestamp>, i32), bool)> = None;
        let mut usable = 0;
        for cred in creds {
            core.visits.0 += 1;
            let gate = core.gate(pool, &obj.spec, cred.as_deref(), None, now);
            core.wake_at_gate(gate, wake);
            if let (Gate::Full | Gate::Probing(_), Some(id)) = (gate, &cred) {
                core.credentials.block(pool, id);
            }
            usable += core.usable(pool, &cred, gate);
            let first = core.pools.get(pool).and_then(|p| p.slots.idle().get(&cred)?.first().copied());
            if gate.is_passable()
                && let Some(first) = first.filter(|f| best.is_none_or(|(b, _)| *f < b))
            {
                best = Some((first, gate == Gate::Probe));
            }
        }
        let ((_, ordinal), probe) = best?;
        let worker = pool.sibling(names::worker(&pool.name, ordinal));
        let dispatch = pool.sibling(core.pools.get(pool)?.queue.next(usable)?.name.clone());
        if core.is_too_early(&dispatch, now) {
            continue;
        }
        // After the clock was set back, a rest that was over may not be over.
        if core.worker_rests(&worker, now) {
            core.reindex_worker(&worker, now);
            core.agenda.mark_worker(&worker);
            continue;
        }
        return Some(Choice { worker, dispatch, probe });
    }
}

impl Core {
    /// A pool that is being deleted or paused assigns nothing.
    fn may_assign(&self, pool: &ContainerPool) -> bool {
        !pool.is_deleting() && !self.cfg.is_paused(pool)
    }

    /// How many idle workers of a pool have a credential, if it does not rest.
    #[allow(clippy::ref_option, reason = "it is the key of a map")]
    pub(super) fn usable(&self, pool: &ObjectKey, credential: &Option<String>, gate: Gate) -> usize {
        match gate {
            Gate::Open | Gate::Probe | Gate::Full | Gate::Probing(_) => {
                self.pools.get(pool).and_then(|p| p.slots.idle().get(credential)).map_or(0, BTreeSet::len)
            }
            Gate::Resting(_) | Gate::Parked(_) => 0,
        }
    }

    pub(super) fn wake_at_gate(&self, gate: Gate, wake: &mut Wake) {
        match gate {
            Gate::Resting(t) | Gate::Parked(Some(t)) => self.wake_at_rest_end(t, wake),
            Gate::Probing(t) => wake.at(t),
            Gate::Open | Gate::Probe | Gate::Parked(None) | Gate::Full => {}
        }
    }

    fn worker_rests(&self, worker: &ObjectKey, now: Now) -> bool {
        let until = self.workers.get(worker).and_then(|e| e.obj().status.as_ref()?.cooldown.as_ref()?.until.clone());
        until.is_some_and(|u| self.rest_ends.lasts(u.0, now))
    }

    /// Whether a credential of a pool lets another attempt begin. `except`: a worker whose open attempt no longer counts.
    pub(in crate::core) fn gate(
        &mut self,
        pool: &ObjectKey,
        spec: &ContainerPoolSpec,
        identity: Option<&str>,
        except: Option<&ObjectKey>,
        now: Now,
    ) -> Gate {
        let Some(id) = identity else { return Gate::Open };
        let rest = self.credential_rest(&pool.namespace, id);
        let until = rest.until.as_ref().map(|t| t.0);
        if rest.parked && (until.is_none() || spec.rate_limit.park_probe.is_zero()) {
            return Gate::Parked(None);
        }
        if let Some(until) = until.filter(|u| self.rest_ends.lasts(*u, now)) {
            return if rest.parked { Gate::Parked(Some(until)) } else { Gate::Resting(until) };
        }
        let Some(cred) = self.credentials.get(&pool.namespace, id) else { return Gate::Open };
        let max = spec.credentials.iter().find(|c| c.identity() == id).and_then(|c| c.max_concurrent);
        let slot = except.and_then(|w| self.workers.get(w)?.slot());
        let counted = matches!(slot, Some(Slot::Busy { cred: Some(c), .. }) if c == id);
        let running = cred.running() - usize::from(counted);
        if max.is_some_and(|m| running >= usize::try_from(m).unwrap_or(0)) {
            return Gate::Full;
        }
        if let Some(until) = until.filter(|_| rest.strikes > 0 || rest.parked) {
            let probe = cred.assigned_since(until).find(|(_, k)| Some(k) != except);
            if let Some((assigned, _)) = probe {
                let follow = time::after(*assigned, spec.rate_limit.probe_after.get());
                if follow > now.wall {
                    return Gate::Probing(follow);
                }
            } else if let Some(next) = cred.next_probe().filter(|t| rest.parked && self.rest_ends.lasts(*t, now)) {
                return Gate::Parked(Some(next)); // the last probe said nothing
            }
        }
        if rest.parked { Gate::Probe } else { Gate::Open }
    }

    /// The dispatch that a worker may take in the write that frees it: the head of the queue, if no other worker can take it.
    /// Each other worker has been idle for longer. `status`: what the worker's status is about to be.
    pub(in crate::core) fn next_for(
        &mut self,
        worker: &ObjectKey,
        status: &WorkerStatus,
        now: Now,
    ) -> Option<ObjectKey> {
        let e = self.workers.get(worker)?;
        let (pool, w) = (e.pool().clone(), e.obj().clone());
        let obj = self.pool_obj(&pool).filter(|p| self.may_assign(p))?;
        let p = self.pools.get(&pool)?;
        p.queue.head()?;
        let surplus = p.members.staying() > usize::try_from(obj.spec.max).unwrap_or(0);
        let until = status.cooldown.as_ref().and_then(|c| c.until.as_ref());
        let resting = until.is_some_and(|u| self.rest_ends.lasts(u.0, now));
        if surplus || resting || !self.can_work(worker) || self.goes_when_idle(worker, &obj.spec, now) {
            return None;
        }
        let identity = self.identity_of(&w).ok()?;
        if self.gate(&pool, &obj.spec, identity.as_deref(), Some(worker), now) != Gate::Open {
            return None;
        }
        // The gates of the other credentials do not count this worker either: they may wait for its place.
        let creds: Vec<Option<String>> = self.pools.get(&pool)?.slots.idle().keys().cloned().collect();
        let mut usable = 1;
        for cred in creds {
            let gate = self.gate(&pool, &obj.spec, cred.as_deref(), Some(worker), now);
            if gate.is_passable() {
                return None;
            }
            usable += self.usable(&pool, &cred, gate);
        }
        let dispatch = pool.sibling(self.pools.get(&pool)?.queue.next(usable)?.name.clone());
        (!self.is_too_early(&dispatch, now)).then_some(dispatch)
    }

    /// Reserves the longest rested eligible worker for each eligible dispatch of a pool, in order.
    pub(in crate::core) fn assign(&mut self, pool: &ObjectKey, now: Now, wake: &mut Wake) {
        while let Some(choice) = choose(self, pool, now, wake) {
            let (w, d) = (self.workers[&choice.worker].obj().clone(), self.dispatches[&choice.dispatch].obj().clone());
            let at = self.assignment(&w, now);
            let status = reserved(&w, &d, choice.probe, at);
            self.claim(&choice.worker, &choice.dispatch, &status);
            self.reindex_worker(&choice.worker, now);
            self.write(Subject::Worker(choice.worker), Verb::WorkerStatus(w, Box::new(status)));
        }
    }
}
