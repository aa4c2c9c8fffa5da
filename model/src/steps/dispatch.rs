//! Steps that write a Dispatch: publish, close, and what its user does. The dispatch is seen in its present version
//! (each of these writes is a compare-and-swap), the worker in any version that it ever had.

use super::Steps;
use crate::rules::AfterLost;
use crate::state::{Attempt, ORPHAN, Outcome, PAIR, PLACES, Thread, UIDS, Uid, key};

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
                        self.close_not_started(name, incarnation, attempt, uid);
                    }
                }
            }
            if dispatch.open() {
                self.closes(name, incarnation);
            }
            if dispatch.pending() {
                let mut next = self.now;
                next.dispatches[name][incarnation].last = Outcome::Cancelled;
                if dispatch.cancel {
                    self.step(format_args!("d{} Cancelled while it waits", name + 1), next);
                } else {
                    self.fault(format_args!("d{} Expired while it waits", name + 1), next);
                }
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
        let here = usize::from(dispatch.worker[at]) == uid + 1;
        let is_next = dispatch.attempt == attempt - 1 && (!rules.publish_after_close || !dispatch.open());
        let in_order = is_next || (!rules.publish_in_order && dispatch.attempt <= attempt && !here);
        let again = dispatch.attempt == attempt && dispatch.outcome[at] != Outcome::None && here && !rules.publish_once;
        let over = (rules.publish_not_final && dispatch.is_final()) || (rules.publish_not_cancelled && dispatch.cancel);
        let early = rules.lost_at_publish && !self.may_follow(&dispatch, attempt);
        let allowed = dispatch.exists() && ((in_order && !over) || again) && !early;
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
        let violation = if !self.now.names(uid, key) && self.now.instances[uid].alive && uid != ORPHAN {
            Some("V_MUTUAL: published on a live worker that does not name it")
        } else if dispatch.is_final() {
            Some("V_FINAL: a final dispatch reopened")
        } else {
            None
        };
        self.checked(format_args!("publish {} on {}", Attempt(key), Uid(uid)), next, violation);
    }

    /// Publish and close in one write, without a target. Like `publish` it needs no present view of the worker: dead
    /// and going are facts that stay true.
    fn close_not_started(&mut self, name: usize, incarnation: usize, attempt: u8, uid: usize) {
        let rules = self.rules;
        let dispatch = self.now.dispatches[name][incarnation];
        let worker_ends = uid >= PAIR || !self.now.instances[uid].alive || self.now.workers[uid].deleting;
        let allowed = rules.not_started
            && dispatch.pending()
            && dispatch.attempt == attempt - 1
            && !(rules.publish_not_cancelled && dispatch.cancel)
            && (!rules.lost_at_not_started || self.may_follow(&dispatch, attempt))
            && (worker_ends || !rules.not_started_dead_or_going);
        if !allowed {
            return;
        }
        let at = usize::from(attempt) - 1;
        let mut next = self.now;
        let closed = &mut next.dispatches[name][incarnation];
        closed.attempt = attempt;
        closed.worker[at] =
            if rules.not_started_names_worker || !rules.not_started_no_target { uid as u8 + 1 } else { 0 };
        closed.outcome[at] = Outcome::NotStarted;
        closed.closed_once |= 1 << at;
        if rules.not_started_no_target {
            closed.threads[at] = Thread::Over;
        }
        if attempt == rules.attempts {
            closed.last = Outcome::NotStarted; // where the model cuts
        }
        let key = key(name, incarnation, attempt);
        self.step(format_args!("close {} NotStarted on {}", Attempt(key), Uid(uid)), next);
    }

    fn closes(&mut self, name: usize, incarnation: usize) {
        let rules = self.rules;
        let dispatch = self.now.dispatches[name][incarnation];
        let uid = dispatch.uid();
        let alive = self.now.instances[uid].alive;
        if dispatch.report.0 == dispatch.attempt {
            self.close(name, incarnation, dispatch.report.1, "report");
            if rules.lost_yields && dispatch.report.1 == Outcome::Lost && !alive {
                self.close(name, incarnation, Outcome::WorkerLost, "reported Lost, container gone");
            }
            if rules.close_takes_result {
                return;
            }
        }
        if self.now.instances[uid].forced && rules.force_closes_first {
            self.close(name, incarnation, Outcome::Ended, "forced");
        }
        if dispatch.overdue && (rules.close_before_stop || !alive) {
            self.close(name, incarnation, Outcome::Ended, "overdue");
            if rules.after_lost != AfterLost::Final {
                self.close(name, incarnation, Outcome::Lost, "lease");
            }
        }
        if dispatch.cancel {
            self.close(name, incarnation, Outcome::Cancelled, "cancel");
        }
        if rules.lost_row && (!alive || self.now.instances[uid].restarted) {
            self.close(name, incarnation, Outcome::WorkerLost, "container gone");
        }
        if !rules.lost_when_confirmed && (uid >= PAIR || self.now.workers[uid].deleting) {
            self.close(name, incarnation, Outcome::WorkerLost, "worker deleted or forced");
        }
    }

    fn close(&mut self, name: usize, incarnation: usize, outcome: Outcome, why: &str) {
        let mut next = self.now;
        let dispatch = &mut next.dispatches[name][incarnation];
        let (attempt, at, uid) = (dispatch.attempt, dispatch.at(), dispatch.uid());
        let mut violation = None;
        let yields = dispatch.report.1 == Outcome::Lost && outcome == Outcome::WorkerLost;
        if dispatch.report.0 == attempt && dispatch.report.1 != outcome && !outcome.reported() && !yields {
            violation = Some("V_OVERRULED: an accepted result was not taken");
        }
        if outcome == Outcome::Lost && dispatch.report.0 == attempt && dispatch.said[at].reported() {
            violation = Some("V_OVERRULED: Lost replaced a result");
        }
        if outcome.reported() && dispatch.said[at] != outcome {
            violation = Some("V_RESULT: result applied to another attempt or dispatch");
        }
        if dispatch.closed_once >> at & 1 == 1 {
            violation = Some("V_TWICE: attempt closed twice");
        }
        dispatch.outcome[at] = outcome;
        dispatch.closed_once |= 1 << at;
        next.instances[uid].tainted |= outcome.unreported();
        next.instances[uid].owed |= outcome == Outcome::Limited;
        let key = key(name, incarnation, attempt);
        // whether a retry is left may be one way or the other
        let retried = match outcome {
            Outcome::Done | Outcome::Limited | Outcome::WorkerLost => true,
            Outcome::Ended => !self.rules.ended_not_retried,
            Outcome::Lost => self.rules.after_lost != AfterLost::Final,
            _ => false,
        };
        if retried && attempt < self.rules.attempts {
            self.checked(format_args!("close {} {outcome:?} ({why}), retry", Attempt(key)), next, violation);
        }
        next.dispatches[name][incarnation].last = outcome;
        self.checked(format_args!("close {} {outcome:?} ({why}), final", Attempt(key)), next, violation);
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
        if dispatch.cancel && !self.rules.cancel_stays {
            let mut next = self.now;
            next.dispatches[name][incarnation].cancel = false;
            self.fault(format_args!("user takes the cancel of d{} back", name + 1), next);
        }
        if dispatch.pending() && dispatch.attempt < self.rules.attempts && !self.rules.report_not_early {
            let mut next = self.now;
            next.dispatches[name][incarnation].report = (dispatch.attempt + 1, Outcome::Done);
            self.fault(format_args!("a report on the next attempt of d{}", name + 1), next);
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
            if !self.rules.reports {
                self.step(format_args!("d{} is overdue", name + 1), next);
            } else {
                self.fault(format_args!("lease of d{} lost", name + 1), next);
            }
            next.dispatches[name][incarnation].orphaned = true;
            self.fault(format_args!("supervisor of d{} vanishes", name + 1), next);
        }
    }
}
