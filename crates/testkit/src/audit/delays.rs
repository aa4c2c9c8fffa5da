//! How long a retry has to wait.

use std::time::Duration;

use poolkeeper::api::dispatch::{DispatchPhase, Outcome, Retries};
use poolkeeper::api::{Dispatch, DispatchStatus, Period};

use super::Audit;
use super::dispatches::text;

impl Audit<'_> {
    /// A retry waits as long as the service said, or as its backoff says; a final phase waits for nothing.
    pub(super) fn check_not_before(&mut self, old: &Dispatch, after: &DispatchStatus, outcome: Outcome, used: Retries) {
        let all = || format!("{}: {outcome} gives not before {:?}", text(old), after.not_before);
        let retry = old.spec.retry;
        let named = old.spec.result.as_ref().and_then(|r| r.retry_after).filter(|_| outcome == Outcome::Overloaded);
        let backoff = match outcome {
            _ if after.phase != DispatchPhase::Pending => None,
            Outcome::Overloaded => Some(retry.backoff.unwrap_or(Period::seconds(10))),
            Outcome::Failed | Outcome::WorkerLost => retry.backoff,
            _ => None,
        };
        let Some(least) = backoff.map(|backoff| {
            named.map_or_else(
                || {
                    let n = used.overloaded + used.failed + used.worker_lost;
                    let longest = retry.max_backoff.unwrap_or(Period::minutes(5)).get();
                    backoff.get().saturating_mul(1 << (n - 1).clamp(0, 30)).min(longest)
                },
                Period::get,
            )
        }) else {
            self.check(after.not_before.is_none(), "nothing waits for a time without a reason", all);
            return;
        };
        let from = after.last_result.as_ref().unwrap().closed_at.0.max(after.assigned_at.as_ref().unwrap().0);
        let wait = after.not_before.as_ref().map_or(Duration::ZERO, |t| t.0.duration_since(from).unsigned_abs());
        let most = least.mul_f64(if named.is_some() { 1.1 } else { 1.5 }) + Duration::from_millis(1);
        self.check(wait + Duration::from_millis(1) >= least && wait <= most, "a retry waits as long as it should", all);
        self.count(if named.is_some() { "retry waits as the service said" } else { "retry waits for its backoff" });
    }
}
