//! The recovery table: what a worker's reservation means, given one version of its dispatch.

use crate::rules::Rules;
use crate::state::{Outcome, Version};

/// Why a worker may be freed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// The attempt never ran here.
    NeverRan,
    /// The holder reported: free, with the rest that is due.
    Reported(Outcome),
    /// The attempt ended and nobody reported: its task may still run.
    Unreported,
}

pub fn is_final_at(outcome: Outcome, attempt: u8, rules: &Rules) -> bool {
    let retried =
        matches!(outcome, Outcome::Limited | Outcome::WorkerLost) || (outcome == Outcome::Ended && rules.retry_exp);
    !(retried && attempt < rules.attempts)
}

/// May the worker with this uid, which names this attempt, be freed, seeing this version of the dispatch?
pub fn fate(seen: &Version, attempt: u8, uid: usize, rules: &Rules) -> Option<Fate> {
    let by = |outcome: Outcome| if outcome.reported() { Fate::Reported(outcome) } else { Fate::Unreported };
    if seen.attempt < attempt {
        return seen.is_final.then_some(Fate::NeverRan);
    }
    if seen.attempt == attempt {
        if usize::from(seen.worker) != uid + 1 {
            return rules.other_frees.then_some(Fate::NeverRan);
        }
        return seen.closed.then(|| by(seen.result.1));
    }
    if seen.result.0 == attempt {
        return Some(by(seen.result.1));
    }
    Some(if rules.higher_known { Fate::Unreported } else { Fate::Reported(seen.result.1) })
}
