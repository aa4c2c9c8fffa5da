//! What one state of the system consists of: the store, the runtime, the supervisors and the ghosts.
//!
//! Ghosts are fields that no rule may read; only the checks do.

use std::fmt;

/// The uid that stands for every Worker uid that is gone: its container is gone too, so one is enough.
pub const DEAD: usize = 2;
/// A uid whose Worker is gone because a person took its finalizer off, while its container runs.
pub const ORPHAN: usize = 3;
/// Worker uids: 0 and 1 are the present Workers of the two names.
pub const UIDS: usize = 4;
/// Worker names, dispatch names, and uids that a dispatch name may have one after the other.
pub const PAIR: usize = 2;
/// The most attempts that a dispatch may have; a configuration may allow fewer.
pub const MAX_ATTEMPTS: usize = 3;

/// How an attempt was closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Outcome {
    /// Not closed.
    #[default]
    None,
    /// Reported: Succeeded or Failed; a Failed one may be retried.
    Done,
    /// Reported: RateLimited or Unauthorized.
    Limited,
    /// Without a report: the runtime confirmed that the instance is gone.
    WorkerLost,
    /// Without a report: TimedOut, HolderLost or Forced.
    Ended,
    /// Without a report, or the holder reported it: nothing is known of the task. Another attempt may follow.
    Lost,
    /// Without a report: the user cancelled it. As a final phase also Expired: ended before it was published.
    Cancelled,
    /// It was reserved and never published.
    NotStarted,
}

impl Outcome {
    pub fn reported(self) -> bool {
        matches!(self, Outcome::Done | Outcome::Limited)
    }

    /// A task may still run although the attempt is closed.
    pub fn unreported(self) -> bool {
        matches!(self, Outcome::WorkerLost | Outcome::Ended | Outcome::Lost | Outcome::Cancelled)
    }
}

/// A supervisor's thread for one attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Thread {
    #[default]
    Unaware,
    /// It has read the target and may start the task at any time.
    SawTarget,
    Running,
    /// The task has ended, the report is still to be made.
    Finished,
    /// It has reported, or nothing that it does matters any more.
    Over,
}

/// A Worker in the store, by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Worker {
    pub exists: bool,
    /// `status.dispatch`: 0, or the key of an attempt + 1.
    pub names: u8,
    pub deleting: bool,
    pub forced: bool,
    pub resting: bool,
}

/// The one instance of a Worker uid, and what that uid's past versions may still show.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Instance {
    pub alive: bool,
    /// The attempts that some version of this Worker names: one bit a key.
    pub reserved: u16,
    /// Some version has a deletionTimestamp and names no dispatch.
    pub idle_deleting: bool,
    /// Some version has the force annotation.
    pub forced: bool,
    /// Tasks that run in the container: key + 1, sorted descending.
    pub tasks: [u8; 2],
    /// Ghost: an attempt ended here without a report, so its task may still run.
    pub tainted: bool,
    /// Ghost: a rate limit was closed and is not yet written.
    pub owed: bool,
    /// Ghost: the controller stopped the container.
    pub stopped: bool,
    /// Some version that names no dispatch was seen while the controllers stood down.
    pub idle_down: bool,
    /// The container was started a second time (a fault that only one configuration has).
    pub restarted: bool,
}

/// A dispatch of one uid, with its whole log, from which all its past versions follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Dispatch {
    pub born: bool,
    pub gone: bool,
    /// `status.attempt`.
    pub attempt: u8,
    /// The worker uid + 1 of each attempt.
    pub worker: [u8; MAX_ATTEMPTS],
    /// The outcome of each attempt.
    pub outcome: [Outcome; MAX_ATTEMPTS],
    /// The final phase, by the outcome that led to it.
    pub last: Outcome,
    /// `spec.result`: attempt and outcome.
    pub report: (u8, Outcome),
    pub cancel: bool,
    /// One bit a number of attempts: a version with so many, all closed, was cancelled.
    pub void: u8,
    /// One bit an attempt: since it was closed, its worker did at some time not name it.
    pub released: u8,
    /// The holder's lease is lost, or the attempt is overdue.
    pub overdue: bool,
    pub threads: [Thread; MAX_ATTEMPTS],
    /// The supervisor has vanished.
    pub orphaned: bool,
    /// Ghost: what the supervisor said about each attempt.
    pub said: [Outcome; MAX_ATTEMPTS],
    /// Ghost: one bit an attempt that was closed.
    pub closed_once: u8,
}

/// One state. `dispatches[name][incarnation]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct State {
    pub workers: [Worker; PAIR],
    pub instances: [Instance; UIDS],
    pub dispatches: [[Dispatch; PAIR]; PAIR],
    /// How many more faults may happen.
    pub faults: u8,
    /// The controllers stand down.
    pub down: bool,
}

/// One version of a dispatch, as a cache may show it.
#[derive(Clone, Copy)]
pub struct Version {
    pub attempt: u8,
    pub closed: bool,
    /// `lastResult.outcome`.
    pub outcome: Outcome,
    pub worker: u8,
    pub is_final: bool,
    pub cancelled: bool,
}

/// The key of an attempt: 1 bit for the name, 1 for the incarnation, 2 for the attempt.
pub fn key(name: usize, incarnation: usize, attempt: u8) -> u8 {
    (name * 8 + incarnation * 4) as u8 + attempt - 1
}

/// The name, the incarnation and the attempt of a key.
pub fn parts(key: u8) -> (usize, usize, u8) {
    (usize::from(key / 8), usize::from(key / 4 % 2), key % 4 + 1)
}

/// Every dispatch's place in `State::dispatches`.
pub const PLACES: [(usize, usize); PAIR * PAIR] = [(0, 0), (0, 1), (1, 0), (1, 1)];

impl State {
    /// Two dispatches wait, no worker exists.
    pub fn initial(faults: u8) -> State {
        let mut state = State { faults, ..State::default() };
        for incarnations in &mut state.dispatches {
            incarnations[0].born = true;
        }
        state
    }

    /// The incarnation of a dispatch name that exists, or existed last.
    pub fn incarnation(&self, name: usize) -> usize {
        usize::from(self.dispatches[name][1].born)
    }

    /// Whether the Worker with this uid exists and names this attempt now.
    pub fn names(&self, uid: usize, key: u8) -> bool {
        uid < PAIR && self.workers[uid].exists && self.workers[uid].names == key + 1
    }

    /// What must stay reachable: every dispatch final, every worker free and none half deleted.
    pub fn is_good(&self) -> bool {
        self.dispatches.iter().flatten().all(|d| !d.exists() || d.is_final())
            && self.workers.iter().all(|w| !w.exists || (w.names == 0 && !w.deleting))
    }
}

impl Dispatch {
    pub fn exists(&self) -> bool {
        self.born && !self.gone
    }

    pub fn is_final(&self) -> bool {
        self.last != Outcome::None
    }

    /// An attempt is published and not closed.
    pub fn open(&self) -> bool {
        self.exists() && !self.is_final() && self.attempt > 0 && self.outcome[self.at()] == Outcome::None
    }

    /// The last attempt is closed, or there was none, and another one may follow.
    pub fn pending(&self) -> bool {
        self.exists() && !self.is_final() && !self.open()
    }

    /// The uid that `status.worker` names; only after the first publish.
    pub fn uid(&self) -> usize {
        usize::from(self.worker[self.at()]) - 1
    }

    /// The index of the present attempt; only after the first publish.
    pub fn at(&self) -> usize {
        usize::from(self.attempt) - 1
    }

    /// All versions that this uid ever had, as far as decisions can tell them apart.
    pub fn versions(&self) -> Vec<Version> {
        let mut versions = Vec::new();
        if !self.born {
            return versions;
        }
        let mut version = Version {
            attempt: 0,
            closed: true,
            outcome: Outcome::None,
            worker: 0,
            is_final: false,
            cancelled: self.void & 1 == 1,
        };
        versions.push(version);
        for attempt in 1..=self.attempt {
            let at = usize::from(attempt) - 1;
            let (worker, outcome) = (self.worker[at], self.outcome[at]);
            if outcome != Outcome::NotStarted {
                versions.push(Version { attempt, closed: false, worker, cancelled: false, ..version });
            }
            if outcome != Outcome::None {
                let is_final = attempt == self.attempt && self.last == outcome;
                let cancelled = self.void >> attempt & 1 == 1;
                version = Version { attempt, closed: true, outcome, worker, is_final, cancelled };
                versions.push(version);
            }
        }
        if self.is_final() && !version.is_final {
            versions.push(Version { is_final: true, ..version });
        }
        versions
    }
}

/// Prints an attempt: `d1#2`, or `d1'#2` for a dispatch that was created again.
pub struct Attempt(pub u8);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, incarnation, attempt) = parts(self.0);
        write!(f, "d{}{}#{attempt}", name + 1, if incarnation > 0 { "'" } else { "" })
    }
}

/// Prints a worker uid.
pub struct Uid(pub usize);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DEAD => f.write_str("a gone worker"),
            ORPHAN => f.write_str("an orphan"),
            uid => write!(f, "w{}", uid + 1),
        }
    }
}
