//! Every decision, and nothing else: no I/O, no clock, no async.
//!
//! # How to drive it
//!
//! [`Core`] is a state machine. It is driven by four calls, always in this order:
//!
//! 1. [`Core::apply`] takes in one [`Input`]: an object that a watch shows, the end of a write, what a runtime reports. Apply
//!    all inputs that are there. It only updates what is known, and asks for nothing.
//! 2. [`Core::decide`] decides all that follows, and returns [`Action`]s.
//! 3. Carry the actions out, at the same time or one after another. Each write, order and GET ends with one input, also if it
//!    fails: until that input is applied, nothing else is decided about the same object. An Event has no answer.
//! 4. [`Core::next_wake`] says when to call `decide` again if no input comes before.
//!
//! Nothing is decided before pools, Workers and Dispatches were listed once each ([`Seen::Listed`]), and nothing is created or
//! removed on a host before the host was listed.
//!
//! **Time** comes in with each call, as [`Now`], and never from anywhere else. The monotonic part must not go back. The wall
//! clock may jump in both directions. The same inputs at the same times, in the same order, give the same actions.
//!
//! ```
//! use poolkeeper::core::{Action, Core, Input, Now};
//!
//! /// One turn. `carry_out` begins an action. What it ends with comes in by a later turn.
//! fn turn(core: &mut Core, inputs: Vec<Input>, now: Now, mut carry_out: impl FnMut(Action)) -> bool {
//!     for input in inputs {
//!         core.apply(input, now);
//!     }
//!     core.decide(now).into_iter().for_each(&mut carry_out);
//!     let (wall, mono) = core.next_wake();
//!     wall.is_some() || mono.is_some() // else wait for an input, however long
//! }
//! ```
//!
//! # Where things are
//!
//! A round decides about dispatches first, then Workers, then pools: what closes comes before what is freed, and that before
//! what is chosen. Only marked objects are looked at, and indexes answer every question without a scan.
//!
//! - `agenda`: what is looked at next and when; locks; waits before a retry.
//! - `state/`: what is known. Each file owns one kind of fact; no rule is there.
//! - `observe/`: inputs into state.
//! - `dispatch/`: a Dispatch. `decide` (what lets it wait, what ends its attempt), `commit` (reserve, publish, close, free),
//!   `fate` (the recovery table), `outcome` (retries, final phases), `queue`, `lease`, `history`.
//! - `worker/`: a Worker and its instance. `decide`, `start`, `health`, `stop`, `slots` (which index it stands in).
//! - `pool/`: a ContainerPool. `decide` (the order of a round), `assign`, `size`, `scale`, `update`, `backoff`, `requests`. Its status:
//!   `status` (what is written, and when), `sums`, `ready`, `dispatching`, `progress`, `explain`, `not_ready`, `resting`;
//!   and what its waiting dispatches say: `waiting`.
//! - `rests`: rests of workers and credentials. `parking`: credentials that were refused. `template`: what an instance is made from, as a hash.
//! - [`questions`]: what waits and why, for those that see the objects alone.
//! - [`election`]: which of several controllers leads. [`census`]: counts for metrics. `sizes`: how large the tables are.
//!
//! Imports go from the rules to `observe`, `state`, `agenda` and the types below them, never back: `tests/circles.rs`.

mod actions;
mod agenda;
pub mod census;
mod conditions;
mod config;
mod dispatch;
pub mod election;
mod input;
mod jitter;
mod limits;
mod object;
mod observe;
mod parking;
mod pool;
pub mod questions;
mod rests;
mod sizes;
mod state;
mod template;
#[cfg(test)]
mod testkit;
mod time;
mod worker;
mod worker_end;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use config::{Config, HostKey, PatternFn, TargetFn};
pub use dispatch::{attempt_deadline, is_settled, queue_deadline, queued_since};
pub use input::{
    Action, Event, EventType, Fetched, Input, LeaseFact, RuntimeFact, RuntimeOrder, Seen, Settled, Subject, Verb,
};
pub use limits::EARLY_END;
pub use object::{Object, ObjectKey};
pub(crate) use object::{dispatch_status, worker_status};
pub use pool::{Counts, Wait, want};
pub use template::template_hash;
pub use time::Now;
pub use worker_end::WorkerEnd;

use self::agenda::{Agenda, Wake};
use self::state::claims::Claims;
use self::state::credentials::Credentials;
use self::state::directories::Directories;
use self::state::dispatches::Dispatches;
use self::state::instances::Instances;
use self::state::leases::Leases;
use self::state::pending::Pending;
use self::state::pools::Pools;
use self::state::rest_ends::RestEnds;
use self::state::workers::Workers;
use crate::api::{ContainerPool, RuntimeKind, Worker};

/// How many index entries were looked at: the measure of "no event costs a scan".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visits(pub u64);

/// The kinds that were listed once.
#[derive(Default)]
struct Listed {
    pools: bool,
    workers: bool,
    dispatches: bool,
}

impl Listed {
    const fn all(&self) -> bool {
        self.pools && self.workers && self.dispatches
    }
}

/// All that the controller knows, and all that it decides. How to drive it: [the module's page](self).
///
/// Maps that grow with what there is are hash maps which keep the order of insertion: every decision looks things up in
/// them, only a listing walks them, and the same inputs walk them in the same order.
pub struct Core {
    cfg: Config,
    agenda: Agenda,
    pools: Pools,
    workers: Workers,
    dispatches: Dispatches,
    credentials: Credentials,
    directories: Directories,
    instances: Instances,
    claims: Claims,
    leases: Leases,
    pending: Pending,
    rest_ends: RestEnds,
    listed: Listed,
    /// New values of credentials that came before it was known which pools there are.
    early_values: Vec<Input>,
    actions: Vec<Action>,
    visits: Visits,
}

impl Core {
    /// Knows nothing yet. Decides nothing before each kind was listed once.
    pub fn new(cfg: Config) -> Self {
        Self {
            agenda: Agenda::default(),
            pools: Pools::default(),
            workers: Workers::default(),
            dispatches: Dispatches::default(),
            credentials: Credentials::default(),
            directories: Directories::default(),
            instances: Instances::new(&cfg),
            claims: Claims::default(),
            leases: Leases::default(),
            pending: Pending::default(),
            rest_ends: RestEnds::default(),
            listed: Listed::default(),
            early_values: Vec::new(),
            actions: Vec::new(),
            visits: Visits(0),
            cfg,
        }
    }

    /// How many index entries all decisions so far looked at.
    pub fn visits(&self) -> Visits {
        self.visits
    }

    /// A Worker as it was last seen.
    pub fn worker(&self, key: &ObjectKey) -> Option<&Worker> {
        self.workers.get(key).map(|e| &**e.obj())
    }

    /// Writes and live GETs under way.
    pub fn in_flight(&self) -> usize {
        self.agenda.locked()
    }

    /// Decides all that follows from the inputs since the last call, and from the time.
    pub fn decide(&mut self, now: Now) -> Vec<Action> {
        self.agenda.wake_due(now);
        if !self.listed.all() {
            return Vec::new();
        }
        while let Some(subject) = self.agenda.next() {
            if self.agenda.is_locked(&subject) {
                continue; // the end of its write marks it again
            }
            let mut wake = Wake::default();
            if let Some(until) = self.agenda.blocked_until(&subject, now) {
                wake.after(until);
                self.agenda.sleep(subject, wake);
                continue;
            }
            self.visits.0 += 1;
            match &subject {
                Subject::Dispatch(key) => self.decide_dispatch(key, now, &mut wake),
                Subject::Worker(key) => self.decide_worker(key, now, &mut wake),
                Subject::Pool(key) => self.decide_pool(key, now, &mut wake),
                Subject::Lease(key) => self.decide_lease(key, now, &mut wake),
                Subject::Orphan(key) => self.decide_orphan(key, now, &mut wake),
            }
            self.agenda.sleep(subject, wake);
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`Core::decide`] has something to do again without an input: by the wall clock, and by monotonic time.
    pub fn next_wake(&self) -> (Option<Timestamp>, Option<Duration>) {
        self.agenda.next_wake()
    }

    /// A pool that exists.
    fn pool_obj(&self, key: &ObjectKey) -> Option<Arc<ContainerPool>> {
        self.pools.obj(key).cloned()
    }

    /// Runtime of a pool.
    fn runtime_of(&self, pool: &ContainerPool) -> RuntimeKind {
        pool.spec.runtime.unwrap_or(self.cfg.default_runtime)
    }
}
