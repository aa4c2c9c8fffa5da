//! What follows from an outcome: a rest, the next probe, a retry or the end.

use std::collections::BTreeSet;

use jiff::Timestamp;
use poolkeeper::api::dispatch::{DispatchPhase, LastResult, Outcome, Retries};
use poolkeeper::api::pool::ContainerPoolSpec;
use poolkeeper::api::{Dispatch, DispatchStatus};

use super::dispatches::{span, text};
use super::{Audit, is_final};

impl Audit<'_> {
    /// The rest is named by the report, or doubles the pool's cooldown up to its bound.
    pub(super) fn check_rest(
        &mut self,
        old: &Dispatch,
        pool: &ContainerPoolSpec,
        before: &DispatchStatus,
        result: &LastResult,
    ) {
        let named = old.spec.result.as_ref().and_then(|r| r.retry_after);
        let used_up = result.outcome == Outcome::Succeeded && named.is_some_and(|n| !n.is_zero());
        let limited = result.outcome == Outcome::RateLimited || used_up;
        let tells = match result.outcome {
            Outcome::Unauthorized => true,
            Outcome::Failed | Outcome::Overloaded => before.probe,
            _ => false,
        };
        if tells {
            return self.check_next_probe(old, before, result);
        }
        self.check(limited == result.until.is_some(), "a rest follows a limit and nothing else", || text(old));
        let Some(until) = result.until.as_ref().map(|t| t.0) else { return };
        if used_up {
            self.count("a success is followed by a rest");
        }
        let from: Timestamp = result.closed_at.0.max(before.assigned_at.as_ref().unwrap().0);
        let least = named.map_or_else(|| span(pool.cooldown), span);
        self.check(until >= from + least, "the rest is as long as the server said, or the pool's cooldown", || {
            format!("{}: {from} + {least} > {until}", text(old))
        });
        // What is longer comes from an earlier rest, which no longer is later than any that was stored.
        let most =
            named.map_or_else(|| span(pool.rate_limit.max_cooldown) + span(pool.rate_limit.max_cooldown) / 10, span);
        let older = self.longest_rest();
        let cap = (from + most).max(older.unwrap_or(Timestamp::MIN));
        self.check(until <= cap, "a rest stays within its bound", || format!("{}: {until} > {cap}", text(old)));
    }

    /// The next probe follows after the longest time of the pools that share the credential: from the end of an attempt that was
    /// refused, and from the beginning of a probe that showed nothing.
    pub(super) fn check_next_probe(&mut self, old: &Dispatch, before: &DispatchStatus, result: &LastResult) {
        let versions = self.pools.values().flat_map(|p| p.versions.iter());
        let periods: BTreeSet<_> = versions.map(|v| v.object.spec.rate_limit.park_probe.get()).collect();
        let assigned = before.assigned_at.as_ref().unwrap().0;
        let refused = result.outcome == Outcome::Unauthorized;
        let from = if refused { result.closed_at.0.max(assigned) } else { assigned };
        let right = result.until.as_ref().is_none_or(|u| {
            let wait = u.0.duration_since(from).unsigned_abs();
            u.0 > from && periods.contains(&wait)
        });
        self.check(right, "the next probe follows after parkProbe", || format!("{}: {:?}", text(old), result.until));
    }

    /// The latest end of any rest stored so far: of workers, of credentials, and as reported with a result from which one of
    /// these is yet to follow.
    pub(super) fn longest_rest(&self) -> Option<Timestamp> {
        let workers = self.workers.values().flat_map(|w| w.versions.iter());
        let workers = workers.filter_map(|v| Some(v.object.status.as_ref()?.cooldown.as_ref()?.until.as_ref()?.0));
        let pools = self.pools.values().flat_map(|p| p.versions.iter()).filter_map(|v| v.object.status.as_ref());
        let pools = pools.flat_map(|s| s.rate_limits.iter()).filter_map(|r| Some(r.until.as_ref()?.0));
        let told = self.dispatches.values().flat_map(|d| d.versions.iter()).filter_map(|v| v.object.status.as_ref());
        let told = told.filter_map(|s| Some(s.last_result.as_ref()?.until.as_ref()?.0));
        workers.chain(pools).chain(told).max()
    }

    pub(super) fn check_phase(
        &mut self,
        old: &Dispatch,
        before: &DispatchStatus,
        after: &DispatchStatus,
        outcome: Outcome,
    ) {
        let used = before.retries.unwrap_or_default();
        let spec = old.spec.retry;
        let left = |limit: i32, used: i32| limit < 0 || used < limit;
        let (may, then) = match outcome {
            Outcome::RateLimited | Outcome::Unauthorized => {
                (left(spec.rate_limited, used.rate_limited), Retries { rate_limited: used.rate_limited + 1, ..used })
            }
            Outcome::WorkerLost => {
                (left(spec.worker_lost, used.worker_lost), Retries { worker_lost: used.worker_lost + 1, ..used })
            }
            Outcome::Lost => (left(spec.lost, used.lost), Retries { lost: used.lost + 1, ..used }),
            Outcome::Overloaded => {
                (left(spec.overloaded, used.overloaded), Retries { overloaded: used.overloaded + 1, ..used })
            }
            Outcome::Failed => (left(spec.failed, used.failed), Retries { failed: used.failed + 1, ..used }),
            _ => (false, used),
        };
        let end = match outcome {
            Outcome::Succeeded => DispatchPhase::Succeeded,
            Outcome::Cancelled => DispatchPhase::Cancelled,
            _ if old.spec.cancel => DispatchPhase::Cancelled,
            _ => DispatchPhase::Failed,
        };
        let again = after.phase == DispatchPhase::Pending && after.retries == Some(then);
        self.check_not_before(old, after, outcome, then);
        let over = after.phase == end && after.retries.unwrap_or_default() == used;
        let right = match (may && !old.spec.cancel, outcome) {
            // No dispatch loses a retry for finding out whether a credential is still refused.
            (_, Outcome::Unauthorized) if before.probe && !old.spec.cancel => {
                self.count("probe refused");
                after.phase == DispatchPhase::Pending && after.retries.unwrap_or_default() == used
            }
            // Only on another credential, which the store alone does not show.
            (true, Outcome::Unauthorized) => again || over,
            (true, _) => again,
            (false, _) => over,
        };
        self.check(right, "the phase follows from outcome and retries", || {
            format!("{}: {outcome} gives {:?} with {:?}", text(old), after.phase, after.retries)
        });
        if is_final(after.phase) {
            self.count(&format!("phase: {:?}", after.phase));
        }
    }
}
