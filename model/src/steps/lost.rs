//! Attempts of which nothing is known, and instances whose Worker was taken away by hand.

use super::Steps;
use crate::rules::AfterLost;
use crate::state::{Attempt, DEAD, Dispatch, Instance, ORPHAN, Outcome, PAIR, Thread, Uid, Worker, key};

impl Steps<'_> {
    /// May this attempt be begun, if the one before it was Lost? What is looked at is a fact that stays true: a live GET of
    /// the Worker, and what the runtime shows.
    pub(super) fn may_follow(&self, dispatch: &Dispatch, attempt: u8) -> bool {
        let Some(before) = usize::from(attempt).checked_sub(2) else { return true };
        if dispatch.outcome[before] != Outcome::Lost {
            return true;
        }
        let uid = usize::from(dispatch.worker[before]) - 1;
        match self.rules.after_lost {
            AfterLost::Final => false,
            AfterLost::Free | AfterLost::CacheAbsent => true,
            AfterLost::Deleting => uid >= PAIR || self.now.workers[uid].deleting,
            AfterLost::NameFree => uid >= PAIR && self.now.workers.iter().any(|worker| !worker.exists),
            AfterLost::WorkerGone => uid >= PAIR,
            AfterLost::InstanceGone => uid == DEAD,
            AfterLost::InstanceDead => !self.now.instances[uid].alive,
        }
    }

    /// Absence from a cache is taken for a live GET that shows that the Worker no longer names the attempt before.
    pub(super) fn is_absent(&self, dispatch: &Dispatch, attempt: u8) -> bool {
        self.rules.after_lost == AfterLost::CacheAbsent && dispatch.outcome[usize::from(attempt) - 2] == Outcome::Lost
    }

    /// Contact is lost: whether the task runs is not known, nor whether it will begin by a request that is under way. The
    /// thread goes on as it was: it may start late, and it may report again.
    pub(super) fn report_lost(&mut self, name: usize, incarnation: usize, attempt: u8) {
        let at = usize::from(attempt) - 1;
        let rules = self.rules;
        let thread = self.now.dispatches[name][incarnation].threads[at];
        let knows_nothing = matches!(thread, Thread::SawTarget | Thread::Running | Thread::Finished)
            || (thread == Thread::Over && !rules.lost_replaces_none);
        let mut next = self.now;
        let dispatch = &mut next.dispatches[name][incarnation];
        let replaces = dispatch.report.0 == attempt;
        let accepted = dispatch.open() && dispatch.attempt == attempt && (!replaces || !rules.lost_replaces_none);
        if !rules.reports_lost || !knows_nothing || !accepted {
            return;
        }
        dispatch.report = (attempt, Outcome::Lost);
        if !dispatch.said[at].reported() {
            dispatch.said[at] = Outcome::Lost;
        }
        let key = key(name, incarnation, attempt);
        self.fault(format_args!("supervisor loses contact, reports {} Lost", Attempt(key)), next);
    }

    /// A person takes the finalizer off a Worker that is being deleted, although its instance runs.
    pub(super) fn strip(&mut self, uid: usize) {
        let (worker, instance) = (self.now.workers[uid], self.now.instances[uid]);
        if !self.rules.strips || !worker.deleting || !instance.alive || self.now.instances[ORPHAN].alive {
            return;
        }
        let mut next = self.now;
        next.workers[uid] = Worker::default();
        // An open attempt there ends as Forced: that is that person's word. What they took away with it is theirs, too.
        next.instances[ORPHAN] =
            Instance { owed: false, tainted: false, forced: true, idle_deleting: false, ..instance };
        next.instances[uid] = Instance::default();
        for worker in next.dispatches.iter_mut().flatten().flat_map(|dispatch| &mut dispatch.worker) {
            if usize::from(*worker) == uid + 1 {
                *worker = ORPHAN as u8 + 1;
            }
        }
        self.fault(format_args!("a person takes the finalizer off {}", Uid(uid)), next);
    }

    /// The sweep: no Worker has the orphan's uid, so it is destroyed.
    pub(super) fn sweep(&mut self) {
        let orphan = self.now.instances[ORPHAN];
        if !orphan.alive {
            return;
        }
        let mut next = self.now;
        next.instances[DEAD].reserved |= orphan.reserved;
        next.instances[ORPHAN] = Instance::default();
        for worker in next.dispatches.iter_mut().flatten().flat_map(|dispatch| &mut dispatch.worker) {
            if usize::from(*worker) == ORPHAN + 1 {
                *worker = DEAD as u8 + 1;
            }
        }
        self.step(format_args!("the sweep destroys the orphan"), next);
    }
}
