//! Holders that vanish: a Dispatch may name a Lease, and its attempt ends when the Lease is not renewed.

use crate::api::Dispatch;
use crate::core::agenda::Wake;
use crate::core::state::leases::NextLook;
use crate::core::{Action, Core, LeaseFact, Now, ObjectKey, Subject};

impl Core {
    /// Follows the Lease of a dispatch while the dispatch has an open attempt.
    pub(in crate::core) fn lease_of(&mut self, d: &Dispatch) {
        let Some(name) = &d.spec.lease_name else { return };
        let dispatch = ObjectKey::of(d);
        let lease = dispatch.sibling(name.clone());
        let open = d.status.as_ref().is_some_and(|s| s.is_open() && !s.phase.is_final());
        if !open {
            self.leases.unfollow(&lease, &dispatch);
        } else if self.leases.follow(&lease, dispatch) {
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
        if self.leases.saw(key, fact, now) {
            self.agenda.mark(Subject::Lease(key.clone()));
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
