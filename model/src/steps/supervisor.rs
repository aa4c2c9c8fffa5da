//! Steps of the supervisors: one a dispatch, one thread an attempt, which acts on a target that it saw, however late.

use super::Steps;
use crate::state::{self, Attempt, Outcome, Thread, Uid, key};

impl Steps<'_> {
    pub(super) fn supervisor(&mut self, name: usize, incarnation: usize) {
        let dispatch = self.now.dispatches[name][incarnation];
        for attempt in 1..=dispatch.attempt {
            let at = usize::from(attempt) - 1;
            let key = key(name, incarnation, attempt);
            if dispatch.worker[at] == 0 {
                continue;
            }
            let uid = usize::from(dispatch.worker[at]) - 1;
            self.report_lost(name, incarnation, attempt);
            match dispatch.threads[at] {
                Thread::Unaware => {
                    let mut next = self.now;
                    next.dispatches[name][incarnation].threads[at] = Thread::SawTarget;
                    self.step(format_args!("supervisor sees target of {}", Attempt(key)), next);
                }
                Thread::SawTarget => self.start_task(name, incarnation, attempt, uid),
                Thread::Running => self.end_task(name, incarnation, attempt, uid),
                Thread::Finished if self.rules.reports => {
                    for outcome in [Outcome::Done, Outcome::Limited] {
                        self.report(name, incarnation, attempt, outcome);
                    }
                }
                Thread::Finished | Thread::Over => {}
            }
        }
    }

    fn start_task(&mut self, name: usize, incarnation: usize, attempt: u8, uid: usize) {
        let mut next = self.now;
        let key = key(name, incarnation, attempt);
        let thread = &mut next.dispatches[name][incarnation].threads[usize::from(attempt) - 1];
        if !self.now.instances[uid].alive {
            *thread = Thread::Finished;
            self.step(format_args!("supervisor starts {} in {}: fails, it is gone", Attempt(key), Uid(uid)), next);
            return;
        }
        *thread = Thread::Running;
        let others = (1..=self.rules.attempts).filter(|n| *n != attempt).map(|n| state::key(name, incarnation, n));
        let runs_twice =
            others.into_iter().any(|other| self.now.instances.iter().any(|i| i.tasks.contains(&(other + 1))));
        let tasks = &mut next.instances[uid].tasks;
        let mut violation = None;
        if tasks[0] == 0 {
            tasks[0] = key + 1;
        } else {
            tasks[1] = key + 1;
            violation = Some("V_TASKS: two live tasks in one container");
        }
        if runs_twice {
            violation = Some("V_TWO_RUN: one dispatch runs twice");
        }
        self.checked(format_args!("supervisor starts {} in {}", Attempt(key), Uid(uid)), next, violation);
    }

    fn end_task(&mut self, name: usize, incarnation: usize, attempt: u8, uid: usize) {
        let at = usize::from(attempt) - 1;
        let key = key(name, incarnation, attempt);
        let mut next = self.now;
        next.dispatches[name][incarnation].threads[at] = Thread::Finished;
        let tasks = &mut next.instances[uid].tasks;
        for task in tasks.iter_mut().filter(|task| **task == key + 1) {
            *task = 0;
        }
        tasks.sort_unstable_by(|a, b| b.cmp(a));
        self.step(format_args!("task {} ends", Attempt(key)), next);
        if !self.rules.starts_once {
            let mut next = self.now;
            next.dispatches[name][incarnation].threads[at] = Thread::SawTarget;
            self.fault(format_args!("supervisor of {} restarts, forgets that it started", Attempt(key)), next);
        }
    }

    fn report(&mut self, name: usize, incarnation: usize, attempt: u8, outcome: Outcome) {
        let at = usize::from(attempt) - 1;
        let mut next = self.now;
        let own = &mut next.dispatches[name][incarnation];
        own.threads[at] = Thread::Over;
        own.said[at] = outcome;
        let to = if self.rules.report_uid { incarnation } else { self.now.incarnation(name) };
        let dispatch = &mut next.dispatches[name][to];
        let current = dispatch.open() && dispatch.attempt == attempt;
        if dispatch.exists() && (current || !self.rules.report_current) {
            dispatch.report = (attempt, outcome);
        }
        let key = key(name, incarnation, attempt);
        self.step(format_args!("supervisor reports {} {outcome:?}", Attempt(key)), next);
    }
}
