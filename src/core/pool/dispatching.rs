//! The condition Dispatching of a pool: whether the dispatches that wait get workers.

use super::sums::Sums;
use super::wait::Wait;
use crate::api::vocabulary::PoolDispatching;

/// Reason and message of the condition. `queued`: how many dispatches wait for a worker, `delayed`: for something else first.
pub(super) fn judge((queued, delayed): (usize, usize), sums: Sums, max: i32, wait: &Wait) -> (PoolDispatching, String) {
    use PoolDispatching as Reason;
    if queued == 0 {
        let text = match delayed {
            0 => String::new(),
            1 => "1 dispatch waits for something else first: its condition Assigned says for what".to_owned(),
            n => format!("{n} dispatches wait for something else first: their conditions Assigned say for what"),
        };
        return (Reason::QueueEmpty, text);
    }
    let reason = match wait {
        Wait::Nothing | Wait::Starting | Wait::Replaced(_) => Reason::Assigning,
        Wait::Overloaded(..) => Reason::ServiceOverloaded,
        Wait::Busy { .. } | Wait::Full => Reason::AllBusy,
        // The first worker that is done takes the next dispatch. That others do not start is no standstill.
        Wait::StartsFail(..) | Wait::StartsPostponed(_) | Wait::WriteRefused(_) | Wait::Unavailable(_)
            if sums.busy > 0 =>
        {
            return (Reason::AllBusy, format!("{} busy of max {max}; {wait}", sums.busy));
        }
        Wait::Paused | Wait::StandingDown => Reason::Paused,
        Wait::Deleting => Reason::Deleting,
        Wait::Refused(_) => Reason::Refused,
        Wait::StartsFail(..) => Reason::StartsFail,
        Wait::HostUnreachable(_) => Reason::HostUnreachable,
        Wait::StartsPostponed(_) => Reason::StartsWait,
        Wait::Resting(..) => Reason::Resting,
        Wait::Parked(..) => Reason::CredentialsRefused,
        Wait::Probing(_) => Reason::Probing,
        Wait::WriteRefused(_) => Reason::WriteRefused,
        Wait::Unavailable(_) => Reason::WorkersUnavailable,
    };
    (reason, wait.to_string())
}
