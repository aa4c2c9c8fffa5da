//! Why a Worker is deleted, in types and in words.

use std::fmt;

/// Why the controller deletes a Worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerEnd {
    /// Its pool is being deleted, or is gone.
    PoolDeleted,
    /// Its instance did not start. The runtime's words.
    StartFailed(String),
    /// Its instance ended by itself. How.
    InstanceEnded(String),
    /// So many checks in a row failed.
    Unhealthy(u32),
    /// Its node is being drained, and it is idle. The runtime's words.
    Leaving(String),
    /// It is made from an older template than its pool's.
    Outdated,
    /// It is older than `recycle.maxAge`.
    TooOld,
    /// It has served `recycle.afterDispatches`.
    Spent,
    /// The pool has more workers than `max`.
    AboveMax,
    /// The pool needs fewer workers, and this one was idle for `idleTimeout`.
    NotNeeded,
    /// Its credential rests, and a worker on a free credential takes its place.
    CredentialRests,
    /// It was created before the value of its credential changed, or was refused.
    CredentialChanged,
    /// An attempt on it ended without a report, so a task may still run in it.
    Unreported {
        /// Name of the Dispatch.
        dispatch: String,
        /// Number of the attempt.
        attempt: i32,
    },
}

impl fmt::Display for WorkerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoolDeleted => f.write_str("its pool is deleted"),
            Self::StartFailed(why) => write!(f, "it did not start: {why}"),
            Self::Leaving(why) | Self::InstanceEnded(why) => f.write_str(why),
            Self::Unhealthy(missed) => write!(f, "{missed} checks in a row failed"),
            Self::Outdated => f.write_str("the pool's template has changed"),
            Self::TooOld => f.write_str("it is older than spec.recycle.maxAge"),
            Self::Spent => f.write_str("it has served spec.recycle.afterDispatches"),
            Self::AboveMax => f.write_str("the pool has more workers than spec.max"),
            Self::NotNeeded => f.write_str("the pool needs fewer workers (spec.idleTimeout)"),
            Self::CredentialRests => f.write_str("its credential rests and another one is free"),
            Self::CredentialChanged => f.write_str("it may have an old value of its credential"),
            Self::Unreported { dispatch, attempt } => {
                write!(f, "attempt {attempt} of {dispatch} ended without a report")
            }
        }
    }
}
