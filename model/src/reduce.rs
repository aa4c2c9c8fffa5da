//! Fewer states: what can no longer matter is dropped, and of states that differ in names alone one is kept.

use crate::rules::{Rules, Unreported};
use crate::state::{DEAD, Dispatch, Instance, Outcome, PLACES, State, Thread, key, parts};

/// The least of the four symmetric namings of a reduced state.
pub fn canonical(state: &State, rules: &Rules) -> State {
    let plain = reduce(state, rules);
    let workers = swap_workers(&plain);
    plain.min(workers).min(swap_dispatches(&plain)).min(swap_dispatches(&workers))
}

/// Drops what can no longer matter: a bisimulation for the rules in force.
pub fn reduce(state: &State, rules: &Rules) -> State {
    let mut next = *state;
    if rules.raw {
        return next;
    }
    // stops look at what a worker named in the past
    let history = rules.unreported == Unreported::Destroy || rules.stop_first;
    for (name, incarnation) in PLACES {
        let before = state.dispatches[name][incarnation];
        if !before.born {
            continue;
        }
        let over = before.gone || before.is_final();
        for attempt in 1..=rules.attempts {
            let at = usize::from(attempt) - 1;
            let worker = usize::from(before.worker[at]);
            let dead = worker == 0 || (!state.instances[worker - 1].alive && !rules.restart);
            if !history
                && rules.publish_guard
                && rules.final_guard
                && !rules.republish_closed
                && (over || before.attempt >= attempt)
            {
                for instance in &mut next.instances {
                    instance.reserved &= !(1 << key(name, incarnation, attempt));
                }
            }
            let dispatch = &mut next.dispatches[name][incarnation];
            let closed = before.outcome[at] != Outcome::None;
            if !rules.republish_closed && closed {
                dispatch.said[at] = Outcome::None;
                dispatch.closed_once |= 1 << at;
                if dispatch.report.0 == attempt {
                    dispatch.report.1 = Outcome::None;
                }
            }
            if (over || closed) && !rules.republish_closed && rules.report_uid && (rules.report_mono || over) {
                let thread = dispatch.threads[at];
                if thread == Thread::Finished
                    || (thread < Thread::Finished && dead && before.attempt >= attempt)
                    || (before.orphaned && thread != Thread::Running)
                {
                    dispatch.threads[at] = Thread::Over;
                    dispatch.said[at] = Outcome::None;
                }
            }
        }
        let dispatch = &mut next.dispatches[name][incarnation];
        if over && !rules.republish_closed {
            if rules.report_uid {
                dispatch.report = (0, Outcome::None);
            }
            dispatch.cancel = false;
            if !rules.stop_first {
                dispatch.overdue = false;
            }
        }
        // over, named by nobody, nothing of it runs or will run, no stale reservation left to pay for
        let named = next.workers.iter().any(|worker| {
            worker.names != 0 && {
                let (n, i, _) = parts(worker.names - 1);
                (n, i) == (name, incarnation)
            }
        });
        let quiet =
            dispatch.threads.iter().enumerate().all(|(at, t)| *t == Thread::Over || at >= dispatch.attempt.into());
        if over
            && state.faults == 0
            && !named
            && quiet
            && !history
            && rules.publish_guard
            && rules.final_guard
            && !rules.republish_closed
            && rules.report_uid
        {
            let last = if before.gone { Outcome::None } else { Outcome::Cancelled };
            *dispatch = Dispatch { born: true, gone: before.gone, last, ..Dispatch::default() };
        }
    }
    let gone = &mut next.instances[DEAD];
    if !gone.alive {
        *gone = Instance { reserved: gone.reserved, ..Instance::default() };
    }
    next
}

fn swap_workers(state: &State) -> State {
    let mut next = *state;
    next.workers.swap(0, 1);
    next.instances.swap(0, 1);
    for worker in next.dispatches.iter_mut().flatten().flat_map(|dispatch| &mut dispatch.worker) {
        *worker = match *worker {
            1 => 2,
            2 => 1,
            other => other,
        };
    }
    next
}

fn swap_dispatches(state: &State) -> State {
    let mut next = *state;
    next.dispatches.swap(0, 1);
    let rename = |named: u8| if named == 0 { 0 } else { ((named - 1) ^ 8) + 1 };
    for worker in &mut next.workers {
        worker.names = rename(worker.names);
    }
    for instance in &mut next.instances {
        instance.reserved = instance.reserved.rotate_left(8);
        instance.tasks = instance.tasks.map(rename);
        // kept sorted
    }
    next
}
