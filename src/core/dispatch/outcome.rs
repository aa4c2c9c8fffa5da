//! What ends an attempt, and what follows from an end.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::dispatch::{DispatchPhase, DispatchSpec, DispatchStatus, LastResult, Outcome, Retries};
use crate::api::pool::DispatchPolicy;
use crate::api::{self, Dispatch, Period, Time};
use crate::core::jitter::{doubled, jittered};
use crate::core::{Now, Object, time};

/// `spec.retry.backoff` after Overloaded, where it is absent. As a default of the schema it would change Dispatches that are
/// stored already.
const BACKOFF: Period = Period::seconds(10);
/// `spec.retry.maxBackoff` where it is absent.
const MAX_BACKOFF: Period = Period::minutes(5);
/// Jitter of a wait that was computed, as a share of it: with less, the tasks of an outage would all come back at once.
const JITTER: f64 = 0.5;
/// Jitter of a wait that the service named. Each task gets the same one.
const JITTER_OF_NAMED: f64 = 0.1;

/// How the open attempt ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The outcome.
    pub outcome: Outcome,
    /// The message of the report, or why it ends without one.
    pub message: Option<String>,
    /// The rest that follows, if one does.
    pub until: Option<Time>,
    /// With Overloaded: the time that the service named.
    pub retry_after: Option<Period>,
}

impl End {
    pub fn of(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: Some(message.into()), until: None, retry_after: None }
    }
}

/// How an attempt ended, in a sentence. A success says what its holder said.
pub fn text(result: &LastResult, worker: &str) -> String {
    let said = result.message.as_deref().filter(|m| !m.is_empty());
    if result.outcome == Outcome::Succeeded {
        return said.unwrap_or_default().to_owned();
    }
    let said = said.map(|m| format!(": {m}")).unwrap_or_default();
    let rest = result.until.as_ref().map(|t| {
        let what = match result.outcome {
            Outcome::RateLimited => "the rest that follows ends at",
            Outcome::Unauthorized => "its credential is parked, and is probed from",
            _ => "its credential stays parked, and is probed from",
        };
        format!("; {what} {}", api::seconds(t.0).0)
    });
    format!("attempt {} on {worker} ended as {}{said}{}", result.attempt, result.outcome, rest.unwrap_or_default())
}

/// Whether another attempt follows an outcome. If so: the retries used, with this one. `probe`: the attempt was to find out
/// whether its credential is still refused, which is no fault of its dispatch.
pub fn retry(
    spec: &DispatchSpec,
    used: Retries,
    outcome: Outcome,
    other_credential: bool,
    probe: bool,
) -> Option<Retries> {
    let left = |limit: i32, used: i32| limit < 0 || used < limit;
    match outcome {
        Outcome::NotStarted => Some(used),
        Outcome::Unauthorized if probe => Some(used),
        Outcome::RateLimited if left(spec.retry.rate_limited, used.rate_limited) => {
            Some(Retries { rate_limited: used.rate_limited.saturating_add(1), ..used })
        }
        Outcome::Unauthorized if other_credential && left(spec.retry.rate_limited, used.rate_limited) => {
            Some(Retries { rate_limited: used.rate_limited.saturating_add(1), ..used })
        }
        Outcome::WorkerLost if left(spec.retry.worker_lost, used.worker_lost) => {
            Some(Retries { worker_lost: used.worker_lost.saturating_add(1), ..used })
        }
        Outcome::Failed if left(spec.retry.failed, used.failed) => {
            Some(Retries { failed: used.failed.saturating_add(1), ..used })
        }
        Outcome::Overloaded if left(spec.retry.overloaded, used.overloaded) => {
            Some(Retries { overloaded: used.overloaded.saturating_add(1), ..used })
        }
        Outcome::Lost if left(spec.retry.lost, used.lost) => {
            Some(Retries { lost: used.lost.saturating_add(1), ..used })
        }
        _ => None,
    }
}

/// The time before which no attempt follows an outcome, if there is one. `used`: the retries used, with this one. A computed wait
/// doubles with each of them; a time that the service named is never shortened.
pub fn not_before(
    dispatch: &Dispatch,
    used: Retries,
    outcome: Outcome,
    named: Option<Period>,
    now: Now,
) -> Option<Timestamp> {
    let retry = dispatch.spec.retry;
    let backoff = match outcome {
        Outcome::Overloaded => retry.backoff.unwrap_or(BACKOFF),
        Outcome::Failed | Outcome::WorkerLost => retry.backoff?,
        _ => return None,
    };
    let (wait, jitter) = if let Some(named) = named {
        (named.get(), JITTER_OF_NAMED)
    } else {
        let retries = used.overloaded.saturating_add(used.failed).saturating_add(used.worker_lost);
        (doubled(backoff.get(), retries, retry.max_backoff.unwrap_or(MAX_BACKOFF).get()), JITTER)
    };
    let status = dispatch.status.as_ref();
    let seed = format!("{}/{}", dispatch.uid_str(), status.map_or(0, |s| s.attempt));
    let wait = jittered(wait, jitter, &seed);
    let assigned_at = status.and_then(|s| s.assigned_at.as_ref()).map_or(now.wall, |t| t.0);
    (wait > Duration::ZERO).then(|| time::stored(time::after(now.wall.max(assigned_at), wait)))
}

/// Final phase after an outcome, if no attempt follows.
pub const fn final_phase(outcome: Outcome) -> DispatchPhase {
    match outcome {
        Outcome::Succeeded => DispatchPhase::Succeeded,
        Outcome::Cancelled => DispatchPhase::Cancelled,
        _ => DispatchPhase::Failed,
    }
}

/// When the open attempt runs out of time. None: never.
pub fn attempt_deadline(dispatch: &Dispatch, policy: &DispatchPolicy) -> Option<jiff::Timestamp> {
    let limit = dispatch.spec.timeout.unwrap_or(policy.timeout);
    let assigned = dispatch.status.as_ref()?.assigned_at.as_ref()?;
    (!limit.is_zero()).then(|| time::after(assigned.0, limit.get()))
}

/// When a waiting dispatch expires. None: never.
pub fn queue_deadline(dispatch: &Dispatch, policy: &DispatchPolicy) -> Option<jiff::Timestamp> {
    let limit = dispatch.spec.queue_timeout.unwrap_or(policy.queue_timeout);
    (!limit.is_zero()).then_some(limit).and_then(|limit| Some(time::after(queued_since(dispatch)?, limit.get())))
}

/// When a dispatch began to wait for a worker: at its creation, or after its last attempt.
pub fn queued_since(dispatch: &Dispatch) -> Option<Timestamp> {
    let last = dispatch.status.as_ref().and_then(DispatchStatus::waits_since);
    last.or_else(|| dispatch.metadata.creation_timestamp.as_ref().map(|t| t.0))
}
