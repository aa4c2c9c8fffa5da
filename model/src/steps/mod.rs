//! Every step that can be taken from a state.

mod dispatch;
mod down;
mod lost;
mod runtime;
mod supervisor;
mod worker;

use std::fmt;

use crate::rules::Rules;
use crate::state::{DEAD, Outcome, PLACES, State, UIDS, key};

/// One step: what it is called, where it leads, whether it costs a fault, and what it violates.
pub struct Step {
    pub label: String,
    pub state: State,
    pub fault: bool,
    pub violation: Option<&'static str>,
}

/// Collects the steps from one state.
pub(crate) struct Steps<'a> {
    pub rules: &'a Rules,
    pub now: State,
    labelled: bool,
    steps: Vec<Step>,
}

/// All steps from a state; their labels are left empty unless they are wanted, since they cost most of the time.
pub fn successors(now: &State, rules: &Rules, labelled: bool) -> Vec<Step> {
    let mut steps = Steps { rules, now: *now, labelled, steps: Vec::new() };
    steps.workers();
    steps.instances();
    steps.standing_down();
    steps.dispatches();
    steps.steps
}

impl Steps<'_> {
    /// A step that the protocol, the runtime or a supervisor may take at any time.
    fn step(&mut self, label: fmt::Arguments<'_>, state: State) {
        self.put(label, state, false, None);
    }

    /// A step that costs a fault.
    fn fault(&mut self, label: fmt::Arguments<'_>, mut state: State) {
        if self.now.faults > 0 {
            state.faults -= 1;
            self.put(label, state, true, None);
        }
    }

    fn checked(&mut self, label: fmt::Arguments<'_>, state: State, violation: Option<&'static str>) {
        self.put(label, state, false, violation);
    }

    fn put(&mut self, label: fmt::Arguments<'_>, mut state: State, fault: bool, violation: Option<&'static str>) {
        for (uid, worker) in state.workers.iter().enumerate().filter(|(_, worker)| worker.exists) {
            state.instances[uid].idle_deleting |= worker.deleting && worker.names == 0;
            state.instances[uid].idle_down |= state.down && worker.names == 0;
            state.instances[uid].forced |= worker.forced;
        }
        for (name, incarnation) in PLACES {
            let mut dispatch = state.dispatches[name][incarnation];
            if dispatch.cancel && dispatch.pending() {
                dispatch.void |= 1 << dispatch.attempt;
            }
            for attempt in 1..=dispatch.attempt {
                let at = usize::from(attempt) - 1;
                let uid = usize::from(dispatch.worker[at]).checked_sub(1);
                let closed = dispatch.outcome[at] != Outcome::None;
                let names = uid.is_some_and(|uid| state.names(uid, key(name, incarnation, attempt)));
                if self.rules.reserve_after_free && closed && !names {
                    dispatch.released |= 1 << at;
                }
            }
            state.dispatches[name][incarnation] = dispatch;
        }
        let violation = violation.or_else(|| two_open(&state));
        if state != self.now || violation.is_some() {
            let label = if self.labelled { label.to_string() } else { String::new() };
            self.steps.push(Step { label, state, fault, violation });
        }
    }
}

/// Two open attempts on one worker that is not gone.
fn two_open(state: &State) -> Option<&'static str> {
    let mut seen = [false; UIDS];
    for dispatch in state.dispatches.iter().flatten().filter(|dispatch| dispatch.open()) {
        let uid = dispatch.uid();
        if std::mem::replace(&mut seen[uid], true) && uid != DEAD {
            return Some("V_TWO_OPEN: two open attempts on one worker");
        }
    }
    None
}
