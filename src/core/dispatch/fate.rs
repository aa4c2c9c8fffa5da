//! The recovery table: what follows for a worker that names an attempt of a dispatch.
//!
//! `model/` checks this protocol over all interleavings. Change neither without the other.

use crate::api::Dispatch;
use crate::api::dispatch::{LastResult, Outcome};
use crate::api::worker::DispatchRef;
use crate::core::object::{Object, dispatch_status};

/// What follows for a worker that names attempt `n` of a dispatch, as one version of the dispatch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The reservation must be rolled forward: published, or closed as NotStarted.
    RollForward,
    /// It never ran here, and never will: free the worker.
    NeverRan,
    /// The attempt is open: leave it.
    Running,
    /// Closed by a report, or it never started: free the worker, with the rest that follows.
    Reported(LastResult),
    /// It ended without a report: delete the worker, then free it.
    Unreported,
    /// Nothing follows from this version.
    Wait,
}

impl Fate {
    /// True if no later version of the dispatch changes it.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::RollForward | Self::Running | Self::Wait)
    }
}

/// The recovery table of the design, row by row.
pub fn fate(worker_uid: &str, named: &DispatchRef, dispatch: &Dispatch) -> Fate {
    let status = dispatch_status(dispatch);
    if dispatch.uid_str() != named.uid {
        return Fate::Unreported; // a namesake: ours is gone
    }
    match named.attempt.cmp(&status.attempt) {
        std::cmp::Ordering::Greater if status.phase.is_final() => Fate::NeverRan,
        std::cmp::Ordering::Greater => {
            let next = named.attempt == status.attempt + 1;
            if next && !status.is_open() && !dispatch.spec.cancel { Fate::RollForward } else { Fate::Wait }
        }
        std::cmp::Ordering::Equal if status.worker.as_ref().is_none_or(|w| w.uid != worker_uid) => Fate::NeverRan,
        std::cmp::Ordering::Equal => match status.last_result.clone().filter(|r| r.attempt == named.attempt) {
            None => Fate::Running,
            Some(r) if r.outcome.is_reported() || r.outcome == Outcome::NotStarted => Fate::Reported(r),
            Some(_) => Fate::Unreported,
        },
        std::cmp::Ordering::Less => Fate::Unreported,
    }
}

/// True if the attempt that the worker of this uid names is closed or never began. The worker is freed or deleted next.
pub fn is_settled(worker_uid: &str, named: &DispatchRef, dispatch: &Dispatch) -> bool {
    fate(worker_uid, named, dispatch).is_final()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Time;
    use crate::api::dispatch::{DispatchPhase, WorkerRef};
    use crate::core::testkit::{dispatch, result};

    fn named(attempt: i32) -> DispatchRef {
        DispatchRef {
            name: "d".into(),
            uid: "d-uid".into(),
            attempt,
            assigned_at: Time::from(jiff::Timestamp::UNIX_EPOCH),
            probe: false,
        }
    }

    /// Each row: attempt the worker names, what the dispatch shows, what follows.
    #[test]
    fn the_recovery_table() {
        let d = |attempt: i32, worker: &str, last: Option<(i32, Outcome)>, phase: DispatchPhase| {
            let mut d = dispatch("ns", "d", "p");
            let s = d.status.get_or_insert_default();
            s.attempt = attempt;
            s.phase = phase;
            s.worker = (attempt > 0).then(|| WorkerRef { name: "p-0".into(), uid: worker.into() });
            s.last_result = last.map(|(n, o)| result(n, o));
            d
        };
        use DispatchPhase::{Assigned, Cancelled, Failed, Pending};
        use Outcome::{NotStarted, RateLimited, TimedOut};
        let cases = [
            (1, d(0, "", None, Pending), Fate::RollForward),
            (2, d(1, "w", Some((1, RateLimited)), Pending), Fate::RollForward),
            (2, d(1, "w", None, Assigned), Fate::Wait),
            (1, d(0, "", None, Cancelled), Fate::NeverRan),
            (1, d(1, "w", None, Assigned), Fate::Running),
            (1, d(1, "w", Some((1, RateLimited)), Pending), Fate::Reported(result(1, RateLimited))),
            (1, d(1, "w", Some((1, NotStarted)), Pending), Fate::Reported(result(1, NotStarted))),
            (1, d(1, "w", Some((1, TimedOut)), Failed), Fate::Unreported),
            (1, d(1, "other", None, Assigned), Fate::NeverRan),
            (1, d(2, "w", Some((1, RateLimited)), Assigned), Fate::Unreported),
        ];
        for (n, d, want) in cases {
            assert_eq!(fate("w", &named(n), &d), want, "worker names {n}, dispatch {:?}", d.status);
        }
        let mut cancelled = d(0, "", None, Pending);
        cancelled.spec.cancel = true;
        assert_eq!(fate("w", &named(1), &cancelled), Fate::Wait, "its close comes first");
        let mut other = d(1, "w", None, Assigned);
        other.metadata.uid = Some("later".into());
        assert_eq!(fate("w", &named(1), &other), Fate::Unreported);
    }
}
