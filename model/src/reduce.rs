//! Fewer states: what can no longer matter is dropped, and of states that differ only in names one remains.

use crate::rules::Rules;
use crate::state::{DEAD, Dispatch, Instance, Outcome, PAIR, PLACES, State, Thread, key, parts};

/// The least of the four symmetric namings of a reduced state.
pub fn canonical(state: &State, rules: &Rules) -> State {
    let plain = reduce(state, rules);
    let workers = swap_workers(&plain);
    plain.min(workers).min(swap_dispatches(&plain)).min(swap_dispatches(&workers))
}

/// Drops what can no longer matter: a bisimulation for the rules in force.
pub fn reduce(state: &State, rules: &Rules) -> State {
    let mut next = *state;
    if !rules.reduced {
        return next;
    }
    for (name, incarnation) in PLACES {
        if state.dispatches[name][incarnation].born {
            reduce_attempts(&mut next, state, name, incarnation, rules);
            reduce_dispatch(&mut next, state, name, incarnation, rules);
        }
    }
    let gone = &mut next.instances[DEAD];
    if !gone.alive {
        *gone = Instance { reserved: gone.reserved, ..Instance::default() };
    }
    next
}

fn reduce_attempts(next: &mut State, state: &State, name: usize, incarnation: usize, rules: &Rules) {
    let before = state.dispatches[name][incarnation];
    let over = before.gone || before.is_final();
    for attempt in 1..=rules.attempts {
        let at = usize::from(attempt) - 1;
        let worker = usize::from(before.worker[at]);
        let dead = worker == 0 || (!state.instances[worker - 1].alive && rules.one_instance);
        if rules.closed_is_closed() && !rules.stops_by_history() && (over || before.attempt >= attempt) {
            for (uid, instance) in next.instances.iter_mut().enumerate() {
                let may_be_deleted = uid < PAIR && !state.workers[uid].deleting;
                if rules.unreported_delete_rv || !may_be_deleted {
                    instance.reserved &= !(1 << key(name, incarnation, attempt));
                }
            }
        }
        let dispatch = &mut next.dispatches[name][incarnation];
        let closed = before.outcome[at] != Outcome::None;
        if rules.publish_once && closed {
            dispatch.said[at] = Outcome::None;
            dispatch.closed_once |= 1 << at;
            if dispatch.report.0 == attempt {
                dispatch.report = (0, Outcome::None);
            }
        }
        // what it would still report is refused
        if (over || closed) && rules.publish_once && rules.report_uid && (rules.report_current || over) {
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
}

fn reduce_dispatch(next: &mut State, state: &State, name: usize, incarnation: usize, rules: &Rules) {
    let before = state.dispatches[name][incarnation];
    // not named by any worker
    let named = next.workers.iter().any(|worker| {
        worker.names != 0 && {
            let (n, i, _) = parts(worker.names - 1);
            (n, i) == (name, incarnation)
        }
    });
    let attempts = 0b1111 << key(name, incarnation, 1);
    let remembered = next.instances.iter().any(|instance| instance.reserved & attempts != 0);
    let dispatch = &mut next.dispatches[name][incarnation];
    let over = before.gone || before.is_final();
    if !over || !rules.publish_once {
        return;
    }
    if rules.report_uid {
        dispatch.report = (0, Outcome::None);
    }
    dispatch.cancel = false;
    if before.is_final() && rules.publish_not_cancelled && rules.cancel_stays {
        dispatch.void = 0; // the final version says as much
    }
    if rules.close_before_stop {
        dispatch.overdue = false;
    }
    // nothing of it runs or will run, no stale reservation is left to pay for
    let quiet = dispatch.threads.iter().enumerate().all(|(at, t)| *t == Thread::Over || at >= dispatch.attempt.into());
    let forgotten = rules.closed_is_closed() && !rules.stops_by_history() && rules.report_uid && !remembered;
    if forgotten && state.faults == 0 && !named && quiet {
        let last = if before.gone { Outcome::None } else { Outcome::Cancelled };
        *dispatch = Dispatch { born: true, gone: before.gone, last, ..Dispatch::default() };
    }
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
    }
    next
}
