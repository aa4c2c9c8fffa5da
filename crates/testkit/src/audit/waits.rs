//! What a Dispatch says while it waits.

use std::time::Duration;

use poolkeeper::api::dispatch::Outcome;
use poolkeeper::api::{Condition, Dispatch, DispatchStatus};

use super::dispatches::text;
use super::{Audit, Version, is_open, status_of};

/// Why the queue of a pool waits.
const POOL_WAITS: [&str; 14] = [
    "Paused",
    "Refused",
    "StartsFail",
    "HostUnreachable",
    "Starting",
    "StartsWait",
    "Resting",
    "CredentialsRefused",
    "Probing",
    "ServiceOverloaded",
    "Busy",
    "Replacing",
    "WriteRefused",
    "WorkersUnavailable",
];
/// Why the next attempt after a Lost one waits.
const LOST_WAITS: [&str; 2] = ["LostWorkerRemains", "LeaseNotRenewed"];
impl Audit<'_> {
    /// It waits as before, and says why.
    pub(super) fn waits(&mut self, old: &Dispatch, new: &Dispatch, before: &DispatchStatus, after: &DispatchStatus) {
        let both = || format!("{} {:?} -> {} {:?}", text(old), before.conditions, text(new), after.conditions);
        let mut same = after.clone();
        same.conditions.clone_from(&before.conditions);
        (same.reason, same.message) = (before.reason.clone(), before.message.clone());
        same.waits_until.clone_from(&before.waits_until);
        self.check(same == *before, "a status changes by publish, close, an end, or to say why it waits", both);
        let find = |s: &DispatchStatus, type_: &str| s.conditions.iter().find(|c| c.type_ == type_).cloned();
        let [(lost, missing), (told, waits)] =
            ["Accepted", "Assigned"].map(|type_| (find(before, type_), find(after, type_)));
        let said = if missing != lost && missing.as_ref().is_some_and(|c| !c.is_true()) {
            self.check(waits == told, "one reason is said at a time", both);
            missing
        } else {
            self.count("wait explained");
            self.check(waits != told, "what is said changes with a write", both);
            let pool = |c: &Condition| POOL_WAITS.iter().any(|reason| *reason == c.reason);
            let lost =
                |c: &Condition| before.lost_on().is_some() && LOST_WAITS.iter().any(|reason| *reason == c.reason);
            let known = waits.as_ref().is_some_and(|c| pool(c) || lost(c));
            self.check(known, "a wait has a reason that the pool has", both);
            let waits_since = self.waits_since(new.metadata.uid.as_deref().unwrap_or_default());
            let long = waits_since.is_some_and(|since| since + Duration::from_secs(10) <= self.when(self.rv));
            self.check(long, "a wait is explained once it has lasted", both);
            self.few_explain(new);
            waits
        };
        let Some(said) = said else { return };
        self.check(!said.is_true() && !said.message.is_empty(), "a wait has a reason and a sentence", both);
        let fields = (after.reason.as_ref(), after.message.as_ref());
        self.check(
            fields == (Some(&said.reason), Some(&said.message)),
            "the columns say what the condition says",
            both,
        );
    }

    /// When the dispatch began to wait as it waits now: it was made, or its last attempt was closed.
    pub(super) fn waits_since(&self, uid: &str) -> Option<Duration> {
        let versions = &self.dispatches.get(uid)?.versions;
        let status = |v: &Version<Dispatch>| status_of(&v.object);
        let ended = |s: &DispatchStatus| s.last_result.as_ref().map(|r| r.attempt);
        let mut since = versions.len().checked_sub(1)?;
        while let Some(earlier) = since.checked_sub(1) {
            let (before, after) = (status(&versions[earlier]), status(&versions[since]));
            // An attempt that never started continues the wait.
            let never_started = after.last_result.as_ref().is_some_and(|r| r.outcome == Outcome::NotStarted);
            if is_open(&before) || (ended(&before) != ended(&after) && !never_started) {
                break;
            }
            since = earlier;
        }
        Some(self.when(versions[since].rv))
    }

    /// The first 21 of a queue say why they wait, each once the reason has lasted for 10 s. So one controller writes no more than 21 in a
    /// pool in that time, except for writes that arrive late.
    pub(super) fn few_explain(&mut self, new: &Dispatch) {
        let (now, writer) = (self.when(self.rv), self.writer(self.rv).to_owned());
        let told = self.explained.entry((writer, new.spec.pool.clone())).or_default();
        told.retain(|at| *at + Duration::from_secs(10) > now);
        told.push(now);
        let n = told.len();
        self.check(n <= 2 * 21, "few say why they wait", || format!("{}: {n} in 10 s", text(new)));
    }
}
