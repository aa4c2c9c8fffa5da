//! Which workers of a pool are idle and not needed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::vocabulary::WorkerHealthy;
use crate::api::worker::{WorkerPhase, WorkerStatus};
use crate::api::{Condition, ContainerPool, Worker};
use crate::core::{Counts, want};

/// What a worker counts as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Busy,
    Resting,
    Unavailable,
    Starting,
    Idle,
}

/// The idle workers that a pool has above the number that its controller wants, those first that are idle for longest. A
/// worker that rests is never one of them: its rest would be lost with it.
pub(super) fn surplus<'a>(pool: &ContainerPool, workers: &'a [Worker], now: Timestamp) -> Vec<&'a Worker> {
    if pool.spec.paused || pool.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let status = pool.status.clone().unwrap_or_default();
    let resting: BTreeSet<&str> = status
        .resting_credentials
        .iter()
        .filter(|credential| credential.parked || credential.until.as_ref().is_some_and(|until| until.0 > now))
        .map(|credential| &*credential.name)
        .collect();
    let name = pool.name_any();
    let staying: Vec<(State, &Worker)> = workers
        .iter()
        .filter(|worker| worker.spec.pool == name && worker.metadata.deletion_timestamp.is_none())
        .map(|worker| (state(worker, &resting, now), worker))
        .collect();
    let count = |state| i32::try_from(staying.iter().filter(|(s, _)| *s == state).count()).unwrap_or(i32::MAX);
    let counts = Counts {
        busy: count(State::Busy),
        resting: count(State::Resting),
        unavailable: count(State::Unavailable),
        queued: status.queued,
        credential_free: true,
        ..Counts::default()
    };
    // The controller removes starting workers before idle ones.
    let all = i32::try_from(staying.len()).unwrap_or(i32::MAX);
    let too_many = all - want(&pool.spec, counts) - count(State::Starting);
    let mut idle: Vec<&Worker> = staying.iter().filter(|(state, _)| *state == State::Idle).map(|(_, w)| *w).collect();
    idle.sort_by_key(|worker| worker.status.as_ref().and_then(|status| status.idle_since.as_ref().map(|t| t.0)));
    idle.truncate(usize::try_from(too_many).unwrap_or(0));
    idle
}

fn state(worker: &Worker, resting: &BTreeSet<&str>, now: Timestamp) -> State {
    let WorkerStatus { phase, dispatch, rests_until, cooldown, conditions, .. } =
        worker.status.clone().unwrap_or_default();
    let own = cooldown.and_then(|cooldown| cooldown.until).is_some_and(|until| until.0 > now);
    let shown = rests_until.is_some_and(|until| until.0 > now);
    let by_credential = worker.spec.credential.as_deref().is_some_and(|credential| resting.contains(credential));
    let healthy = Condition::find::<WorkerHealthy>(&conditions).is_none_or(Condition::is_true);
    match phase {
        _ if dispatch.is_some() => State::Busy,
        WorkerPhase::Starting => State::Starting,
        _ if own || shown || by_credential => State::Resting,
        WorkerPhase::Ready if healthy && !worker.spec.cordoned => State::Idle,
        _ => State::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pool(spec: Value, status: Value) -> ContainerPool {
        serde_json::from_value(json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "a"}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    /// `i3`: idle since 12:03; `b` busy, `r` resting, `c` on credential c, `s` starting, `u` unhealthy, `d` being deleted.
    fn workers(words: &str) -> Vec<Worker> {
        let one = |(n, word): (usize, &str)| {
            let (kind, minute) = word.split_at(1);
            let minute = minute.parse::<u8>().unwrap_or(0);
            let mut status = json!({"phase": "Ready", "idleSince": format!("2026-11-29T12:{minute:02}:00.000000Z")});
            let mut worker = json!({"metadata": {"name": format!("a-{n}")}, "spec": {"pool": "a", "poolGeneration": 1, "runtime": "Docker", "templateHash": "0"}});
            match kind {
                "b" => {
                    status["dispatch"] =
                        json!({"name": "t", "uid": "u", "attempt": 1, "assignedAt": "2026-11-29T12:00:00.000000Z"});
                }
                "r" => status["restsUntil"] = json!("2026-11-29T13:00:00Z"),
                "c" => worker["spec"]["credential"] = json!("c"),
                "s" => status["phase"] = json!("Starting"),
                "u" => {
                    status["conditions"] = json!([{"type": "Healthy", "status": "False", "reason": "CheckFailed", "lastTransitionTime": "2026-11-29T12:00:00.000000Z"}]);
                }
                "d" => worker["metadata"]["deletionTimestamp"] = json!("2026-11-29T12:00:00Z"),
                _ => {}
            }
            worker["status"] = status;
            worker["apiVersion"] = json!("poolkeeper.dev/v1alpha1");
            worker["kind"] = json!("Worker");
            serde_json::from_value(worker).unwrap()
        };
        words.split(' ').enumerate().map(one).collect()
    }

    #[test]
    fn only_idle_workers_that_are_not_wanted_go_and_the_longest_idle_go_first() {
        let now = "2026-11-29T12:30:00Z".parse().unwrap();
        let rests = json!({"restingCredentials": [{"name": "c", "key": "env/C", "pool": "a", "parked": true}]});
        for (spec, status, there, gone) in [
            (json!({"min": 1}), json!({}), "i3 i1 i2", "a-1 a-2"),
            (json!({"min": 0}), json!({}), "i3 b i2", "a-2 a-0"),
            (json!({"min": 2}), json!({}), "i3 b i2", "a-2"),
            (json!({"warm": 1}), json!({}), "i3 b i2", "a-2"),
            (json!({}), json!({"queued": 2}), "i1 i2 i3", "a-0"),
            (json!({"min": 1}), json!({}), "r u i3", "a-2"),
            (json!({"min": 2}), json!({}), "s i1 i2", ""),
            (json!({}), rests, "c i1", "a-1"),
            (json!({"min": 1}), json!({}), "d i1", ""),
            (json!({"paused": true}), json!({}), "i1", ""),
        ] {
            let all = workers(there);
            let found: Vec<String> =
                surplus(&pool(spec.clone(), status), &all, now).iter().map(|w| w.name_any()).collect();
            assert_eq!(found.join(" "), gone, "{spec} {there}");
        }
    }
}
