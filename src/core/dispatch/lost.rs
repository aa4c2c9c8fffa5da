//! What must hold before another attempt follows one that was Lost: nothing of the lost one runs any more, and the holder
//! is there.
//!
//! `model/` checks the first over all interleavings. Change neither without the other.

use super::commit::finish;
use crate::api::Dispatch;
use crate::api::dispatch::{DispatchPhase, DispatchStatus, Outcome, WorkerRef};
use crate::api::vocabulary::{DispatchAssigned, DispatchFinished};
use crate::core::agenda::Wake;
use crate::core::state::instances::{host_of, unlisted};
use crate::core::state::queue::Delay;
use crate::core::{Core, HostKey, Now, Object, ObjectKey, Subject, Verb};
use crate::runtime::InstanceKey;

/// Why the next attempt cannot begin yet.
pub(super) enum Held {
    /// It is being asked whether the worker is still there.
    Asking,
    /// For this reason, in words.
    By(DispatchAssigned, String),
    /// Its holder does not come back: none follows any more.
    GivenUp(String),
}

impl Core {
    /// Holds back a dispatch that waits after a Lost attempt, as long as it must be, and says why. Returns false if the next
    /// attempt can begin.
    pub(super) fn waits_after_lost(
        &mut self,
        key: &ObjectKey,
        d: &Dispatch,
        status: &DispatchStatus,
        now: Now,
        wake: &mut Wake,
    ) -> bool {
        let held = self.holds_back(key, status).or_else(|| self.holder_is_missing(key, d, status));
        self.delay(key, held.as_ref().map(|_| Delay::Other));
        match held {
            None => return false,
            Some(Held::Asking) => {}
            Some(Held::By(reason, text)) => self.explain_wait(key, reason, &text, None, true, now, wake),
            Some(Held::GivenUp(text)) => {
                let mut next = status.clone();
                finish(&mut next, DispatchPhase::Failed, DispatchFinished::Ended(Outcome::Lost), &text, now);
                self.close(key, next, now);
            }
        }
        true
    }

    /// Why the task of a Lost attempt may still run, if it may. The Worker must be gone by uid, as a live GET shows: its name may
    /// be in use again, and absence from a cache is no fact. Then the runtime had confirmed that its instance is gone, unless a
    /// person removed the finalizer. So no host that answers may show the instance either; on a host that does not answer it is
    /// that person's word.
    pub(super) fn holds_back(&mut self, key: &ObjectKey, status: &DispatchStatus) -> Option<Held> {
        let worker = status.lost_on()?;
        let name = &worker.name;
        if !self.dispatches.get(key).is_some_and(|e| e.is_worker_gone(&worker.uid)) {
            let worker_key = key.sibling(name.clone());
            let Some(e) = self.workers.get(&worker_key).filter(|e| e.obj().uid_str() == worker.uid) else {
                self.write(Subject::Dispatch(key.clone()), Verb::GetWorker(worker_key));
                return Some(Held::Asking);
            };
            // Its end marks this dispatch.
            let host = host_of(e.obj());
            if let Some(d) = self.dispatches.get_mut(key) {
                d.saw_lost_worker(worker.uid.clone(), host.clone());
            }
            let why = self.instances.why_unlisted(&host).map(|why| format!("; {}", unlisted(&host, why)));
            let why = why.unwrap_or_default();
            let text = format!("attempt {} was Lost on {name}, which still exists{why}", status.attempt);
            return Some(Held::By(DispatchAssigned::LostWorkerRemains, text));
        }
        // Its instance was on the Worker's host, and nowhere else. A controller that never saw the Worker does not know which that was. Then
        // a runtime that the pool does not use need not be there: a machine may have no Docker Engine at all.
        let d = self.dispatches.get(key);
        let runtime = d.and_then(|d| self.pools.obj(d.pool())).map(|pool| self.runtime_of(pool));
        let concerns = |host: &HostKey| match d.and_then(|d| d.host_of_lost(&worker.uid)) {
            Some(its_own) => host == its_own,
            None => runtime.is_none_or(|runtime| runtime == host.runtime),
        };
        if let Some(host) = self.instances.never_listed(concerns) {
            let why = unlisted(host, self.instances.why_unlisted(host).unwrap_or_default());
            let text = format!("attempt {} was Lost on {name}, where it may still run; {why}", status.attempt);
            return Some(Held::By(DispatchAssigned::LostWorkerRemains, text));
        }
        let e = self.instances.get(&instance_of(key, worker))?;
        let is_alive = !e.view.is_dead() && self.instances.is_listed(&e.host);
        let text =
            format!("attempt {} was Lost on {name}, whose instance still runs without its Worker", status.attempt);
        is_alive.then_some(Held::By(DispatchAssigned::LostWorkerRemains, text))
    }

    /// Why the holder of a Lost attempt is taken for dead, if it has a Lease and is. The next attempt would only cost another
    /// worker.
    fn holder_is_missing(&self, key: &ObjectKey, d: &Dispatch, status: &DispatchStatus) -> Option<Held> {
        status.lost_on()?;
        let name = d.spec.lease_name.as_ref()?;
        let lease = key.sibling(name.clone());
        if self.leases.is_renewed(&lease, key) {
            return None;
        }
        let text = format!("attempt {} was Lost, and Lease {name} was not renewed since", status.attempt);
        if self.leases.is_given_up(&lease, key) {
            return Some(Held::GivenUp(text));
        }
        Some(Held::By(DispatchAssigned::LeaseNotRenewed, text))
    }
}

/// The instance of an attempt's worker.
pub(super) fn instance_of(dispatch: &ObjectKey, worker: &WorkerRef) -> InstanceKey {
    InstanceKey { namespace: dispatch.namespace.to_string(), worker: worker.name.clone(), uid: worker.uid.clone() }
}
