//! Steps that write a Dispatch: publish, close, and what its user does. The dispatch is seen in its present version
//! (each of these writes is a compare-and-swap), the worker in any version that it ever had.

use super::Steps;
use crate::recovery::is_final_at;
use crate::state::{Attempt, Outcome, PAIR, PLACES, UIDS, Uid, key};

impl Steps<'_> {
    pub(super) fn dispatches(&mut self) {
        for (name, incarnation) in PLACES {
            let dispatch = self.now.dispatches[name][incarnation];
            if !dispatch.born {
                continue;
            }
            for uid in 0..UIDS {
                for attempt in 1..=self.rules.attempts {
                    if self.now.instances[uid].reserved >> key(name, incarnation, attempt) & 1 == 1 {
                        self.publish(name, incarnation, attempt, uid);
                    }
                }
            }
            if dispatch.open() {
                self.closes(name, incarnation);
            }
            if dispatch.pending() && dispatch.cancel {
                let mut next = self.now;
                next.dispatches[name][incarnation].last = Outcome::Cancelled;
                self.step(format_args!("d{} final Cancelled (pending)", name + 1), next);
            }
            self.user(name, incarnation);
            if !dispatch.orphaned {
                self.supervisor(name, incarnation);
            }
        }
    }

    fn publish(&mut self, name: usize, incarnation: usize, attempt: u8, uid: usize) {
        let rules = self.rules;
        let dispatch = self.now.dispatches[name][incarnation];
        let at = usize::from(attempt) - 1;
        let is_here = usize::from(dispatch.worker[at]) == uid + 1;
        let mut allowed = dispatch.pending() && dispatch.attempt == attempt - 1;
        if !rules.final_guard {
            allowed = dispatch.exists() && dispatch.attempt == attempt - 1 && !dispatch.open();
        }
        if rules.publish_open {
            allowed = dispatch.exists() && !dispatch.is_final() && dispatch.attempt == attempt - 1;
        }
        if !rules.publish_guard {
            allowed = dispatch.exists() && !dispatch.is_final() && dispatch.attempt <= attempt && !is_here;
        }
        if rules.republish_closed
            && dispatch.exists()
            && dispatch.attempt == attempt
            && dispatch.outcome[at] != Outcome::None
            && is_here
        {
            allowed = true;
        }
        if rules.pub_after_free && attempt > 1 && dispatch.worker[at - 1] != 0 {
            let before = usize::from(dispatch.worker[at - 1]) - 1;
            allowed &= !self.now.names(before, key(name, incarnation, attempt - 1));
        }
        if !allowed {
            return;
        }
        let mut next = self.now;
        let published = &mut next.dispatches[name][incarnation];
        published.attempt = attempt;
        published.worker[at] = uid as u8 + 1;
        published.outcome[at] = Outcome::None;
        published.last = Outcome::None;
        let key = key(name, incarnation, attempt);
        let violation = if !self.now.names(uid, key) && self.now.instances[uid].alive {
            Some("V_MUTUAL: published on a live worker that does not name it")
        } else if dispatch.is_final() {
            Some("V_FINAL: a final dispatch reopened")
        } else {
            None
        };
        self.checked(format_args!("publish {} on {}", Attempt(key), Uid(uid)), next, violation);
    }

    fn closes(&mut self, name: usize, incarnation: usize) {
        let rules = self.rules;
        let dispatch = self.now.dispatches[name][incarnation];
        let uid = dispatch.uid();
        let alive = self.now.instances[uid].alive;
        if dispatch.report.0 == dispatch.attempt {
            self.close(name, incarnation, dispatch.report.1, "report");
        }
        if dispatch.overdue && (!rules.stop_first || !alive) {
            self.close(name, incarnation, Outcome::Ended, "overdue");
        }
        if dispatch.cancel {
            self.close(name, incarnation, Outcome::Cancelled, "cancel");
        }
        if rules.lost_row && (!alive || self.now.instances[uid].restarted) {
            self.close(name, incarnation, Outcome::WorkerLost, "container gone");
        }
        if !rules.lost_dead && (uid >= PAIR || self.now.workers[uid].deleting) {
            self.close(name, incarnation, Outcome::WorkerLost, "worker deleted or forced");
        }
    }

    fn close(&mut self, name: usize, incarnation: usize, outcome: Outcome, why: &str) {
        let mut next = self.now;
        let dispatch = &mut next.dispatches[name][incarnation];
        let (attempt, at, uid) = (dispatch.attempt, dispatch.at(), dispatch.uid());
        dispatch.outcome[at] = outcome;
        if is_final_at(outcome, attempt, self.rules) {
            dispatch.last = outcome;
        }
        let mut violation = None;
        if outcome.reported() && dispatch.said[at] != outcome {
            violation = Some("V_RESULT: result applied to another attempt or dispatch");
        }
        if dispatch.closed_once >> at & 1 == 1 {
            violation = Some("V_TWICE: attempt closed twice");
        }
        dispatch.closed_once |= 1 << at;
        next.instances[uid].tainted |= !outcome.reported();
        next.instances[uid].owed |= outcome == Outcome::Limited;
        let key = key(name, incarnation, attempt);
        self.checked(format_args!("close {} {outcome:?} ({why})", Attempt(key)), next, violation);
    }

    /// Cancel, delete, create again; the lease and the supervisor are lost.
    fn user(&mut self, name: usize, incarnation: usize) {
        let dispatch = self.now.dispatches[name][incarnation];
        if !dispatch.exists() {
            if incarnation == 0 && !self.now.dispatches[name][1].born {
                let mut next = self.now;
                next.dispatches[name][1].born = true;
                self.fault(format_args!("user re-creates d{}", name + 1), next);
            }
            return;
        }
        if !dispatch.is_final() && !dispatch.cancel {
            let mut next = self.now;
            next.dispatches[name][incarnation].cancel = true;
            self.fault(format_args!("user cancels d{}", name + 1), next);
        }
        let mut next = self.now;
        next.dispatches[name][incarnation].gone = true;
        if dispatch.open() {
            next.instances[dispatch.uid()].tainted = true;
        }
        self.fault(format_args!("user deletes d{}", name + 1), next);
        if !dispatch.is_final() && !dispatch.overdue {
            let mut next = self.now;
            next.dispatches[name][incarnation].overdue = true;
            if self.rules.silent {
                self.step(format_args!("d{} is overdue", name + 1), next);
            } else {
                self.fault(format_args!("lease of d{} lost", name + 1), next);
            }
            next.dispatches[name][incarnation].orphaned = true;
            self.fault(format_args!("supervisor of d{} vanishes", name + 1), next);
        }
    }
}
