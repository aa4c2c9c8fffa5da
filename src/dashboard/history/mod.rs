//! What happens on a server, as views over time: each state of an object that a watch shows is compared with the one before.
//!
//! - Here: pools, and the times in which the server was watched. `pool`: the tasks and attempts of one pool. `worker`: one worker.
//!   `present`: how things stand now.
//!
//! What happened before the watch began, or while it was cut off, is known as far as objects still say it: a dispatch says
//! when its newest attempt began and how its last one ended, but nothing of the attempts before. All times are milliseconds
//! after 1970, by the server's clock.

mod pool;
pub mod present;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

use self::pool::Pool;
use self::present::Present;
use super::view::View;
use crate::api::{ContainerPool, Dispatch, Worker};

/// How far back a view goes before the watch began: what finished earlier is left out.
const BEFORE: i64 = 3_600_000;
/// Most times in which the server was watched. The oldest are left out.
const MAX_WATCHED: usize = 200;

/// Which kind a listing is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pools.
    Pool,
    /// Workers.
    Worker,
    /// Dispatches.
    Dispatch,
}

/// What was seen of one namespace.
#[derive(Debug)]
pub struct History {
    started: i64,
    /// The times in which it was watched. The last one goes on unless `lost` is set.
    watched: Vec<[i64; 2]>,
    lost: Option<i64>,
    /// Kinds that were listed once.
    listed: [bool; 3],
    pools: BTreeMap<String, Pool>,
}

impl History {
    /// Nothing was seen before this time.
    pub fn new(started: i64) -> Self {
        Self { started, watched: Vec::new(), lost: None, listed: [false; 3], pools: BTreeMap::new() }
    }

    /// A pool as it is now.
    pub fn pool(&mut self, object: &ContainerPool) {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        self.of(name).seen(object);
    }

    /// A worker as it is now.
    pub fn worker(&mut self, now: i64, object: &Worker) {
        let known = self.listed[Kind::Worker as usize];
        self.of(&object.spec.pool).worker(now, object, known);
    }

    /// A dispatch as it is now.
    pub fn dispatch(&mut self, now: i64, object: &Dispatch) {
        self.of(&object.spec.pool).dispatch(now, object);
    }

    /// A pool is gone.
    pub fn pool_gone(&mut self, name: &str) {
        self.pools.remove(name);
    }

    /// A worker of a pool is gone.
    pub fn worker_gone(&mut self, now: i64, pool: &str, name: &str) {
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.worker_gone(now, name);
        }
    }

    /// A dispatch of a pool is gone.
    pub fn dispatch_gone(&mut self, now: i64, pool: &str, name: &str) {
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.dispatch_gone(now, name);
        }
    }

    /// A listing is over: objects of that kind with other names are gone.
    pub fn listed(&mut self, now: i64, kind: Kind, there: &BTreeSet<String>) {
        self.listed[kind as usize] = true;
        match kind {
            Kind::Pool => self.pools.retain(|name, pool| !pool.is_seen() || there.contains(name)),
            Kind::Worker => self.pools.values_mut().for_each(|pool| pool.keep_workers(now, there)),
            Kind::Dispatch => self.pools.values_mut().for_each(|pool| pool.keep_dispatches(now, there)),
        }
    }

    /// The server is not watched any more.
    pub fn lost(&mut self, now: i64) {
        if self.lost.is_none() {
            self.close(now);
            self.lost = Some(now);
        }
    }

    /// The server is watched again, and everything was listed again.
    pub fn found(&mut self, now: i64) {
        if self.lost.take().is_some() && !self.watched.is_empty() {
            self.watched.push([now, now]);
        }
    }

    /// Since when the server is not watched.
    pub const fn lost_since(&self) -> Option<i64> {
        self.lost
    }

    /// The names of the pools.
    pub fn pools(&self) -> Vec<String> {
        self.pools.iter().filter(|(_, pool)| pool.is_seen()).map(|(name, _)| name.clone()).collect()
    }

    /// What is to be seen of a pool, and how it stands. None: there is no such pool, or nothing was listed yet.
    pub fn view(&self, pool: &str, now: i64) -> Option<(View, Present)> {
        let pool = self.pools.get(pool).filter(|pool| pool.is_seen() && !self.watched.is_empty())?;
        // A view of a server that is lost stands still.
        let now = self.lost.unwrap_or(now);
        let mut watched = self.watched.clone();
        if let Some(last) = watched.last_mut().filter(|_| self.lost.is_none()) {
            last[1] = last[1].max(now);
        }
        let view = pool.view(self.started, now, &watched);
        let present = pool.present(view.from, now);
        Some((view, present))
    }

    fn of(&mut self, pool: &str) -> &mut Pool {
        let floor = self.floor();
        self.pools.entry(pool.to_owned()).or_insert_with(|| Pool::new(pool, floor))
    }

    const fn floor(&self) -> i64 {
        self.started - BEFORE
    }

    /// Counts what waits, once all is known. To be called after changes, and not for each of many.
    pub fn settle(&mut self, now: i64) {
        if self.lost.is_some() || self.listed != [true; 3] {
            return;
        }
        if self.watched.is_empty() {
            self.watched.push([now, now]);
        }
        if self.watched.len() > MAX_WATCHED {
            self.watched.remove(0);
        }
        self.pools.values_mut().for_each(|pool| pool.settle(now));
    }

    fn close(&mut self, now: i64) {
        if let Some(last) = self.watched.last_mut() {
            last[1] = now;
        }
        self.pools.values_mut().for_each(|pool| pool.pause(now));
    }
}

#[cfg(test)]
mod tests;
