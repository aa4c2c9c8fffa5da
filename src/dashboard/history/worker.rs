//! One worker over time.

use std::collections::VecDeque;

use super::present::{Doing, WorkerNow};
use crate::api::worker::{Worker, WorkerPhase};
use crate::dashboard::view::{Rest, Row};

/// Most rests, and most lives, of one name. The oldest are left out.
const MAX: usize = 200;

/// A worker, and those of its name before it.
#[derive(Debug)]
pub(super) struct WorkerHistory {
    pub name: String,
    /// Its place among the others.
    pub ordinal: i32,
    /// Of the worker that is there.
    uid: String,
    credential: Option<String>,
    /// When it was up, without the life that goes on.
    up: VecDeque<[i64; 2]>,
    up_since: Option<i64>,
    /// Begin, end, the number of the attempt that it follows.
    rests: VecDeque<(i64, i64, Option<u64>)>,
    /// How long it worked in attempts that are over.
    pub worked: i64,
    /// The number of its newest attempt.
    pub newest: Option<u64>,
    phase: Option<WorkerPhase>,
    /// The dispatch that it is reserved for.
    dispatch: Option<String>,
    message: Option<String>,
}

impl WorkerHistory {
    pub(super) fn new(name: &str, ordinal: Option<i32>) -> Self {
        Self {
            name: name.to_owned(),
            ordinal: ordinal.unwrap_or(i32::MAX),
            uid: String::new(),
            credential: None,
            up: VecDeque::new(),
            up_since: None,
            rests: VecDeque::new(),
            worked: 0,
            newest: None,
            phase: None,
            dispatch: None,
            message: None,
        }
    }

    /// The worker as it is. `known`: workers were listed before, so what changes happens now. `after`: the end of its newest
    /// attempt, if that made it rest.
    pub(super) fn seen(&mut self, now: i64, object: &Worker, known: bool, after: Option<(i64, u64)>) {
        let meta = &object.metadata;
        let uid = meta.uid.clone().unwrap_or_default();
        if uid != self.uid && !self.uid.is_empty() {
            self.gone(now);
        }
        self.uid = uid;
        let status = object.status.clone().unwrap_or_default();
        self.credential = object.spec.credential.clone();
        self.phase = Some(status.phase);
        self.dispatch = status.dispatch.map(|of| of.name);
        self.message = status.message;
        let is_up = match status.phase {
            WorkerPhase::Ready | WorkerPhase::Busy => true,
            WorkerPhase::Draining => status.handle.is_some(),
            WorkerPhase::Starting | WorkerPhase::Failed => false,
        };
        match (is_up, self.up_since) {
            (true, None) => {
                let created = meta.creation_timestamp.as_ref().map_or(now, |t| t.0.as_millisecond());
                self.up_since = Some(if known { now } else { created.min(now) });
            }
            (false, Some(_)) => self.close(now),
            _ => {}
        }
        let own = status.cooldown.as_ref().and_then(|rest| rest.until.as_ref()).map(|t| t.0.as_millisecond());
        let shown = status.rests_until.as_ref().map(|t| t.0.as_millisecond());
        // The second one is the first one in whole seconds, or a longer one of its credential.
        let longer = shown.filter(|shown| own.is_none_or(|own| *shown >= own + 1000));
        let until = longer.or(own).filter(|until| *until > now && is_up);
        let since = status.idle_since.filter(|_| !known).map(|t| t.0.as_millisecond());
        self.rest(now, until, since, after);
    }

    fn rest(&mut self, now: i64, until: Option<i64>, since: Option<i64>, after: Option<(i64, u64)>) {
        let Some(until) = until else { return self.cut_rest(now) };
        match self.rests.back_mut().filter(|(_, end, _)| *end > now) {
            // The same one, which may end at another time.
            Some(rest) => {
                rest.1 = until;
                rest.2 = rest.2.or(after.map(|(_, attempt)| attempt));
            }
            None => {
                let from = after.map(|(end, _)| end).or(since).unwrap_or(now);
                let before = self.rests.back().map_or(i64::MIN, |rest| rest.1);
                self.rests.push_back((from.clamp(before.min(now), now), until, after.map(|(_, attempt)| attempt)));
                if self.rests.len() > MAX {
                    self.rests.pop_front();
                }
            }
        }
    }

    /// Nothing is there under this name.
    pub(super) fn gone(&mut self, now: i64) {
        self.cut_rest(now);
        self.close(now);
        self.uid.clear();
        (self.phase, self.dispatch, self.message) = (None, None, None);
    }

    /// The time from which it is free, if it is up and works on nothing. A time that has passed: now.
    pub(super) fn free_from(&self, now: i64) -> Option<i64> {
        self.up_since.map(|_| self.rests_until(now).unwrap_or(now))
    }

    /// The end of its rest, if it rests.
    pub(super) fn rests_until(&self, now: i64) -> Option<i64> {
        self.rests.back().map(|rest| rest.1).filter(|until| *until > now)
    }

    /// True if nothing of it is as new as this.
    pub(super) fn is_before(&self, time: i64) -> bool {
        self.phase.is_none() && self.up.back().is_none_or(|up| up[1] < time)
    }

    /// What is shown of it. `works`: since when its open attempt runs. `position`: that of an attempt by its number.
    pub(super) fn row(&self, from: i64, now: i64, works: Option<i64>, position: impl Fn(u64) -> Option<usize>) -> Row {
        let up = self.up.iter().copied().chain(self.up_since.map(|since| [since, now.max(since)]));
        let rests = self.rests.iter().map(|(begin, end, after)| Rest {
            from: begin - from,
            until: end - from,
            after: after.and_then(&position),
        });
        Row {
            name: self.name.clone(),
            credential: self.credential.clone(),
            up: up.map(|[a, b]| [a - from, b - from]).collect(),
            rests: rests.collect(),
            worked: self.worked + works.map_or(0, |since| (now - since).max(0)),
            rested: self.rests.iter().map(|(begin, end, _)| (*end.min(&now) - begin).max(0)).sum(),
        }
    }

    /// What it does. Times are milliseconds after `from`.
    pub(super) fn present(&self, from: i64, now: i64) -> WorkerNow {
        let rest = self.rests_until(now);
        let doing = match self.phase {
            None => Doing::Gone,
            Some(WorkerPhase::Starting) => Doing::Starting,
            Some(WorkerPhase::Failed) => Doing::Failed,
            Some(WorkerPhase::Draining) => Doing::Leaving,
            Some(WorkerPhase::Busy) => Doing::Works,
            Some(WorkerPhase::Ready) if rest.is_some() => Doing::Rests,
            Some(WorkerPhase::Ready) => Doing::Free,
        };
        WorkerNow {
            doing,
            dispatch: self.dispatch.clone(),
            until: rest.map(|until| until - from),
            message: self.message.clone(),
        }
    }

    fn close(&mut self, now: i64) {
        if let Some(since) = self.up_since.take() {
            self.up.push_back([since, now.max(since)]);
            if self.up.len() > MAX {
                self.up.pop_front();
            }
        }
    }

    fn cut_rest(&mut self, now: i64) {
        if let Some(rest) = self.rests.back_mut() {
            rest.1 = rest.1.min(now);
            if rest.1 <= rest.0 {
                self.rests.pop_back();
            }
        }
    }
}
