//! What a pool's queue can wait for, and the words for it.

use jiff::Timestamp;

use crate::api::seconds;
use crate::api::vocabulary::PoolReady;

/// What a pool's queue waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It does not wait: the next dispatch is being assigned.
    Nothing,
    /// The pool is paused.
    Paused,
    /// The server is about to end, and waits for what is open.
    StandingDown,
    /// The pool is being deleted.
    Deleting,
    /// The runtime is not allowed, or the pool's spec cannot be carried out.
    Refused(String),
    /// Starts fail; the next try is then.
    StartsFail(String, Option<Timestamp>),
    /// A host cannot be reached.
    HostUnreachable(String),
    /// Workers are being started.
    Starting,
    /// Every worker that is being started waits. Why, in the runtime's words.
    StartsPostponed(String),
    /// All workers, or all credentials, rest. The first rest ends then. What rests, and why.
    Resting(Option<Timestamp>, String),
    /// Every credential was refused. Which, and when the first is probed, if one is.
    Parked(String, Option<Timestamp>),
    /// One attempt goes first after a rest; the others may follow then.
    Probing(Timestamp),
    /// Dispatches wait after Overloaded, and workers are reserved for them. How many, and until when the first waits.
    Overloaded(usize, Option<Timestamp>),
    /// All workers that are up are busy.
    Busy {
        /// Workers that name a dispatch.
        busy: i32,
        /// Workers that rest.
        resting: i32,
        /// `spec.max` of the pool.
        max: i32,
    },
    /// Workers are idle, and each of their credentials that does not rest has as many open attempts as it may have.
    Full,
    /// Workers are being deleted, and others will follow them. Their names.
    Replaced(String),
    /// The API server refuses to create a Worker. Its words.
    WriteRefused(String),
    /// No worker can take work, and no other one may be created. Their names, and why.
    Unavailable(String),
}

impl Wait {
    /// As the reason of the pool's condition Ready.
    pub const fn reason(&self) -> PoolReady {
        match self {
            Self::Nothing => PoolReady::Available,
            Self::Paused | Self::StandingDown => PoolReady::Paused,
            Self::Deleting => PoolReady::Deleting,
            Self::Refused(_) => PoolReady::Refused,
            Self::StartsFail(..) => PoolReady::StartsFail,
            Self::HostUnreachable(_) => PoolReady::HostUnreachable,
            Self::Starting => PoolReady::Starting,
            Self::StartsPostponed(_) => PoolReady::StartsWait,
            Self::Resting(..) => PoolReady::Resting,
            Self::Parked(..) => PoolReady::CredentialsRefused,
            Self::Probing(_) => PoolReady::Probing,
            Self::Overloaded(..) => PoolReady::ServiceOverloaded,
            Self::Busy { .. } | Self::Full => PoolReady::Busy,
            Self::Replaced(_) => PoolReady::Replacing,
            Self::WriteRefused(_) => PoolReady::WriteRefused,
            Self::Unavailable(_) => PoolReady::WorkersUnavailable,
        }
    }

    /// When it may end, if that is known.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::StartsFail(_, t) | Self::Resting(t, _) | Self::Overloaded(_, t) | Self::Parked(_, t) => *t,
            Self::Probing(t) => Some(*t),
            _ => None,
        }
    }
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("a worker is available"),
            Self::Paused => f.write_str("the pool is paused (spec.paused)"),
            Self::StandingDown => f.write_str(
                "the server stands down: it assigns nothing more, and ends with the last open attempt (poolkeeper local up \
                 starts it again)",
            ),
            Self::Deleting => f.write_str("the pool is being deleted"),
            Self::Refused(why) | Self::HostUnreachable(why) => f.write_str(why),
            Self::StartsFail(why, _) => write!(f, "workers do not start: {why}"),
            Self::Starting => f.write_str("workers are starting"),
            Self::StartsPostponed(why) => write!(f, "workers cannot start yet: {why}"),
            Self::Resting(Some(t), what) => write!(f, "{what}; the next is back at {}", seconds(*t).0),
            Self::Resting(None, what) => f.write_str(what),
            Self::Parked(what, next) => {
                let next = next.map(|t| format!(", probed next at {}", seconds(t).0)).unwrap_or_default();
                write!(f, "{what} since it was refused{next}; change it, or clear it with a cooldown annotation")
            }
            Self::Probing(t) => {
                let t = seconds(*t).0;
                write!(f, "one attempt goes first after a rest or a refusal; the others follow when it succeeds, or at {t}")
            }
            Self::Overloaded(1, _) => f.write_str(
                "the service is overloaded: one dispatch waits before it is retried, and a worker is reserved for it",
            ),
            Self::Overloaded(n, _) => {
                write!(
                    f,
                    "the service is overloaded: {n} dispatches wait before they are retried, and workers are reserved for them"
                )
            }
            Self::Busy { busy, resting, max } => {
                let rest = if *resting > 0 { format!(" and {resting} resting") } else { String::new() };
                let advice = if busy + resting >= *max { " (raise spec.max for more)" } else { "" };
                write!(f, "all workers are busy: {busy} busy{rest} of max {max}{advice}")
            }
            Self::Full => {
                f.write_str("the credentials of the idle workers have as many open attempts as maxConcurrent allows")
            }
            Self::Replaced(names) => write!(f, "{names} being replaced"),
            Self::WriteRefused(why) => write!(f, "the API server refuses to create a Worker: {why}"),
            Self::Unavailable(names) => write!(f, "no worker can take work: {names}"),
        }
    }
}
