//! Every decision, and nothing else: no I/O, no clock, no async.
//!
//! [`Core`] holds what is known, indexed so that no event costs a scan. [`Core::apply`] takes in one
//! [`Input`]; [`Core::decide`] returns the [`Action`]s that follow. Whoever carries an action out reports its
//! end as an event; until then nothing else is decided about the same object. The same events in the same
//! order give the same actions.
//!
//! Where the rules are:
//! - [`commit`]: reserve, publish, close, free, and the recovery table.
//! - [`assign`]: which dispatch gets which worker.
//! - [`outcome`]: what ends an attempt, retries, final phases. `queue`: who may wait.
//! - [`cooldown`]: rests of workers and credentials, half-open.
//! - [`instance`]: a Worker and its one instance: start, health, stop. `checks`: when it is looked at.
//! - [`scale`]: who comes, who goes. [`update`]: who is replaced. [`backoff`]: failing starts.
//! - [`doors`]: requests in annotations. [`rollup`]: the pool's status. [`explain`]: why something waits.
//! - [`history`]: how long finished dispatches stay. [`lease`]: holders that vanish.
//! - [`election`]: which of several controllers leads.
//! - `census`: how many there are of everything, for who asks.

mod actions;
mod agenda;
pub mod census;
mod conditions;
mod config;
mod dispatch;
pub mod election;
mod input;
mod limits;
mod object;
mod observe;
mod pool;
mod rests;
mod state;
mod template;
#[cfg(test)]
mod testkit;
mod time;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use config::{Config, HostKey, TargetFn};
pub use input::{
    Action, Event, EventType, Fetched, Input, LeaseFact, RuntimeFact, RuntimeOrder, Seen, Settled, Subject, Verb,
};
pub use limits::EARLY_END;
pub(crate) use object::dispatch_status;
pub use object::{Object, ObjectKey};
pub use template::template_hash;
pub use time::Now;

use self::agenda::{Agenda, Wake};
use self::state::claims::Claims;
use self::state::credentials::Credentials;
use self::state::dispatches::Dispatches;
use self::state::instances::Instances;
use self::state::leases::Leases;
use self::state::pending::Pending;
use self::state::pools::Pools;
use self::state::rest_ends::RestEnds;
use self::state::workers::Workers;
use crate::api::{ContainerPool, RuntimeKind};

/// How many index entries were looked at: the measure of "no event costs a scan".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visits(pub u64);

/// The controller's state. See the module's page.
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
    instances: Instances,
    claims: Claims,
    leases: Leases,
    pending: Pending,
    rest_ends: RestEnds,
    /// Whether pools, Workers and Dispatches were listed once.
    synced: (bool, bool, bool),
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
            instances: Instances::new(&cfg),
            claims: Claims::default(),
            leases: Leases::default(),
            pending: Pending::default(),
            rest_ends: RestEnds::default(),
            synced: (false, false, false),
            actions: Vec::new(),
            visits: Visits(0),
            cfg,
        }
    }

    /// How many index entries all decisions so far looked at.
    pub fn visits(&self) -> Visits {
        self.visits
    }

    /// Writes that were asked for and have not ended.
    pub fn in_flight(&self) -> usize {
        self.agenda.locked()
    }

    /// Decides all that follows from what was applied since the last call.
    pub fn decide(&mut self, now: Now) -> Vec<Action> {
        self.agenda.wake_due(now);
        if self.synced != (true, true, true) {
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
