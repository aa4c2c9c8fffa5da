//! Holders that vanish: a Dispatch may name a Lease, and its attempt ends when the Lease is not renewed.

use crate::api::Dispatch;
use crate::core::agenda::Wake;
use crate::core::object::dispatch_status;
use crate::core::state::leases::NextLook;
use crate::core::{Action, Core, LeaseFact, Now, ObjectKey, Subject};

impl Core {
    /// Follows the Lease of a dispatch while the dispatch has an open attempt, and while the next one waits for its holder.
    pub(in crate::core) fn lease_of(&mut self, d: &Dispatch, now: Now) {
        let Some(name) = &d.spec.lease_name else { return };
        let dispatch = ObjectKey::of(d);
        let lease = dispatch.sibling(name.clone());
        let status = dispatch_status(d);
        let is_new = if status.phase.is_final() {
            self.leases.unfollow(&lease, &dispatch);
            false
        } else if status.is_open() {
            self.leases.follow(&lease, dispatch)
        } else if status.lost_on().is_some() {
            self.leases.await_renewal(&lease, &dispatch, status.attempt, now)
        } else {
            self.leases.unfollow(&lease, &dispatch);
            false
        };
        if is_new {
            self.agenda.mark(Subject::Lease(lease));
        }
    }

    /// Stops following the Lease of a dispatch that is gone.
    pub(in crate::core) fn unlease(&mut self, d: &Dispatch) {
        let Some(name) = &d.spec.lease_name else { return };
        let dispatch = ObjectKey::of(d);
        self.leases.unfollow(&dispatch.sibling(name.clone()), &dispatch);
    }

    pub(in crate::core) fn saw_lease(&mut self, key: &ObjectKey, fact: LeaseFact, now: Now) {
        let Some(concerned) = self.leases.saw(key, fact, now) else { return };
        self.agenda.mark(Subject::Lease(key.clone()));
        for dispatch in concerned {
            self.visits.0 += 1;
            self.agenda.mark_dispatch(&dispatch);
        }
    }

    /// One GET serves all dispatches that name the Lease.
    pub(in crate::core) fn decide_lease(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        let ran_out = self.leases.ran_out(key);
        match self.leases.next_look(key, now) {
            None => return,
            Some(NextLook::Now) => self.actions.push(Action::GetLease(key.clone())),
            Some(NextLook::At(due)) => wake.after(due),
            Some(NextLook::UnderWay) => {}
        }
        for d in self.leases.users(key).filter(|_| ran_out) {
            self.agenda.mark_dispatch(d);
        }
    }
}
