//! The recovery table: what a worker's reservation means, given one version of its dispatch.

use crate::rules::Rules;
use crate::state::{Outcome, Version};

/// Why a worker may be freed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// The attempt never ran here.
    NeverRan,
    /// It was closed NotStarted.
    NotStarted,
    /// The holder reported: free, with the rest that is due.
    Reported(Outcome),
    /// The attempt ended without a report, or nothing is known of it: its task may still run.
    Unreported,
}

/// May the worker with this uid, which names this attempt (w), be freed, seeing this version of the dispatch (d)?
/// None: it runs, or is to be rolled forward, or the version is too old to tell.
///
/// The first two rows of the design's table read here: w = d+1, d closed or 0, not final, not cancelled: roll forward;
/// w > d, final, or w = d+1, d closed and cancelled: free. The design's "otherwise" would also free when w = d+1 and d
/// is open, which only a stale cache can show, and then a publish may be under way: `wait_for_predecessor`.
pub fn fate(seen: &Version, attempt: u8, uid: usize, rules: &Rules) -> Option<Fate> {
    if seen.attempt < attempt {
        let cancelled = seen.attempt + 1 == attempt && seen.closed && seen.cancelled;
        let predecessor = seen.attempt + 1 == attempt && !seen.closed && !rules.wait_for_predecessor;
        return (seen.is_final || cancelled || predecessor).then_some(Fate::NeverRan);
    }
    if seen.attempt > attempt && rules.lower_is_unreported {
        return Some(Fate::Unreported);
    }
    if seen.attempt == attempt && usize::from(seen.worker) != uid + 1 && rules.free_compares_uid {
        return rules.free_other_uid.then_some(Fate::NeverRan);
    }
    (seen.closed || seen.attempt > attempt).then(|| match seen.outcome {
        Outcome::NotStarted => Fate::NotStarted,
        outcome if outcome.reported() => Fate::Reported(outcome),
        Outcome::Lost if !rules.lost_is_unreported => Fate::Reported(Outcome::Done),
        _ => Fate::Unreported,
    })
}
