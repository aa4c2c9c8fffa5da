//! What the dashboard knows: the history that the watches feed, the server's clock, and whether the server is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use serde::Serialize;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::dashboard::history::History;
use crate::dashboard::history::present::Present;
use crate::dashboard::live::{Loss, Watched};
use crate::dashboard::view::View;

/// What is known. Watches write to it, pages read from it.
pub(super) struct State {
    clock: Arc<dyn Clock>,
    /// Milliseconds that the server's clock is ahead of this machine's.
    ahead: AtomicI64,
    history: Mutex<History>,
    away: Mutex<BTreeMap<Watched, Loss>>,
    dirty: AtomicBool,
    version: watch::Sender<u64>,
    title: String,
    namespace: String,
    started: i64,
}

/// What a page gets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    server: &'a str,
    namespace: &'a str,
    /// The server's time, in milliseconds after 1970.
    now: i64,
    /// When the watch began.
    started: i64,
    pools: Vec<String>,
    pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<Lost>,
    /// Rights that this user lacks. Then there is nothing else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
    view: Option<View>,
    present: Option<Present>,
}

#[derive(Serialize)]
struct Lost {
    since: i64,
    why: String,
}

impl State {
    /// Nothing was seen yet. `ahead`: how far the server's clock is ahead.
    pub(super) fn new(clock: Arc<dyn Clock>, ahead: SignedDuration, title: String, namespace: String) -> Self {
        let ahead = milliseconds(ahead);
        let started = clock.now().as_millisecond() + ahead;
        Self {
            clock,
            ahead: AtomicI64::new(ahead),
            history: Mutex::new(History::new(started)),
            away: Mutex::default(),
            dirty: AtomicBool::new(false),
            version: watch::Sender::new(1),
            title,
            namespace,
            started,
        }
    }

    /// The server's time.
    pub(super) fn now(&self) -> i64 {
        self.clock.now().as_millisecond() + self.ahead.load(Ordering::Relaxed)
    }

    /// The server's clock is ahead by so much.
    pub(super) fn measured(&self, ahead: SignedDuration) {
        let ahead = milliseconds(ahead);
        // It is measured with an error of half a second. A small difference is that error.
        if (ahead - self.ahead.load(Ordering::Relaxed)).abs() > 1000 {
            self.ahead.store(ahead, Ordering::Relaxed);
            self.dirty.store(true, Ordering::Relaxed);
        }
    }

    /// Something was seen.
    pub(super) fn seen(&self, apply: impl FnOnce(&mut History, i64)) {
        apply(&mut self.history(), self.now());
        self.dirty.store(true, Ordering::Relaxed);
    }

    /// Something is away.
    pub(super) fn lost(&self, what: Watched, loss: Loss) {
        let why = loss.why.clone();
        if self.away().insert(what, loss).is_none_or(|old| old.why != why) {
            self.seen(History::lost);
        }
    }

    /// It is back.
    pub(super) fn found(&self, what: Watched) {
        let all = {
            let mut away = self.away();
            away.remove(&what).is_some() && away.is_empty()
        };
        if all {
            self.seen(History::found);
        }
    }

    /// Tells the pages what came since the last call.
    pub(super) fn publish(&self) {
        if self.dirty.swap(false, Ordering::Relaxed) {
            self.history().settle(self.now());
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// Waits until there is another version than this one. Answers it.
    pub(super) async fn other_than(&self, version: u64) -> u64 {
        let mut versions = self.version.subscribe();
        // It fails only if the sender is gone, which is here.
        versions.wait_for(|now| *now != version).await.map_or(version, |now| *now)
    }

    /// What a page gets that shows a pool. Without a name: the first one.
    ///
    /// # Errors
    /// It cannot be written as JSON: never.
    pub(super) fn answer(&self, pool: Option<&str>) -> serde_json::Result<Vec<u8>> {
        let away = self.away().clone();
        let refused: Vec<String> = away.values().filter(|away| away.refused).map(|away| away.why.clone()).collect();
        let now = self.now();
        let history = self.history();
        let mut answer = Answer {
            server: &self.title,
            namespace: &self.namespace,
            now,
            started: self.started,
            pools: Vec::new(),
            pool: None,
            lost: None,
            refused,
            view: None,
            present: None,
        };
        let pools = history.pools();
        let pool = pool.map(str::to_owned).or_else(|| pools.first().cloned());
        if answer.refused.is_empty() {
            let why = away.into_values().map(|away| away.why).next();
            answer.lost = history.lost_since().zip(why).map(|(since, why)| Lost { since, why });
            (answer.view, answer.present) = pool.as_deref().and_then(|pool| history.view(pool, now)).unzip();
            (answer.pools, answer.pool) = (pools, pool.as_deref());
        }
        drop(history);
        serde_json::to_vec(&answer)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self) -> MutexGuard<'_, BTreeMap<Watched, Loss>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock is ahead by less than 292 million years.
fn milliseconds(ahead: SignedDuration) -> i64 {
    i64::try_from(ahead.as_millis()).unwrap_or_default()
}
