//! What the answers are: the words of the core, and what stands in the objects.

use jiff::Timestamp;

use super::answer::{Answer, State, Step, moment};
use super::lists::Lists;
use super::sooner::{Commands, steps};
use crate::api::dispatch::DispatchPhase;
use crate::api::vocabulary::{DispatchAccepted, DispatchAssigned, PoolReady, Reason as _};
use crate::api::{ContainerPool, Dispatch, Worker};
use crate::core::questions::{Held, PoolWait, Snapshot};
use crate::core::{Object, Wait, attempt_deadline, dispatch_status, queue_deadline};

/// How many dispatches of a pool are named.
const NAMED: usize = 3;
/// A free worker is given away long before that. If not, no controller works.
const SILENCE: i64 = 30;

/// What is asked, and what it is answered from.
pub(super) struct Judge<'a> {
    pub lists: &'a Lists,
    pub snapshot: Snapshot,
    pub commands: Commands,
    pub now: Timestamp,
}

fn name_of<K: Object>(object: &K) -> &str {
    object.object_meta().name.as_deref().unwrap_or_default()
}

/// Order in a queue.
fn place(dispatch: &Dispatch) -> (std::cmp::Reverse<i32>, Option<Timestamp>, &str) {
    let created = dispatch.metadata.creation_timestamp.as_ref().map(|t| t.0);
    (std::cmp::Reverse(dispatch.spec.priority), created, name_of(dispatch))
}

impl<'a> Judge<'a> {
    /// Everything that waits: pools whose dispatches wait or that cannot work, and dispatches without a pool.
    pub fn all(&mut self) -> Vec<Answer> {
        let pools: Vec<&ContainerPool> = self.lists.pools.iter().collect();
        let mut answers: Vec<Answer> = pools.into_iter().filter_map(|pool| self.pool_that_waits(pool)).collect();
        let pools: Vec<&str> = self.lists.pools.iter().map(name_of).collect();
        let homeless = self.lists.dispatches.iter().filter(|d| dispatch_status(d).phase == DispatchPhase::Pending);
        let homeless: Vec<&Dispatch> = homeless.filter(|d| !pools.contains(&&*d.spec.pool)).collect();
        answers.extend(homeless.into_iter().map(|dispatch| self.dispatch(dispatch)));
        answers
    }

    fn pool_that_waits(&mut self, pool: &ContainerPool) -> Option<Answer> {
        let answer = self.pool(pool);
        let works = [PoolReady::Available, PoolReady::Busy, PoolReady::Starting, PoolReady::Probing];
        let works = works.iter().any(|reason| reason.as_str() == answer.reason);
        (answer.state == State::Waiting || !works).then_some(answer)
    }

    /// About a pool.
    pub fn pool(&mut self, pool: &ContainerPool) -> Answer {
        let waiting = self.waiting_in(name_of(pool));
        let PoolWait { wait, reason, words } = self.wait(pool, !waiting.is_empty());
        let named: Vec<&str> = waiting.iter().take(NAMED).map(|d| name_of(*d)).collect();
        let named = match waiting.len() - named.len() {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        };
        // Those that wait for something else first are in no queue. If there are no others, and the pool works, the first says for what.
        let works = matches!(wait, Wait::Nothing | Wait::Starting | Wait::Busy { .. } | Wait::Full | Wait::Replaced(_));
        let held: Vec<Option<Held>> = waiting.iter().map(|d| self.held(d)).collect();
        let queued = held.iter().position(Option::is_none).and_then(|first| waiting.get(first));
        let (reason, words, until, sooner) =
            match held.into_iter().next().flatten().filter(|_| works && queued.is_none()) {
                Some(held) => (held.reason.to_owned(), held.words, held.until, Vec::new()),
                None => (
                    reason,
                    words,
                    wait.until(),
                    steps(&wait, pool, &self.workers_of(name_of(pool)), &self.commands, self.now),
                ),
            };
        let message = match waiting.len() {
            0 => format!("no dispatch waits; {words}"),
            1 => format!("{named} waits: {words}"),
            n => format!("{n} dispatches wait ({named}): {words}"),
        };
        let mut details = Vec::new();
        if wait == Wait::Nothing {
            details.extend(queued.and_then(|d| self.silence(d)));
        }
        Answer {
            object: format!("pool/{}", name_of(pool)),
            state: if waiting.is_empty() { State::Idle } else { State::Waiting },
            reason,
            message,
            until,
            details,
            sooner,
        }
    }

    /// About a dispatch.
    pub fn dispatch(&mut self, dispatch: &Dispatch) -> Answer {
        let status = dispatch_status(dispatch);
        match status.phase {
            DispatchPhase::Pending => self.pending(dispatch),
            DispatchPhase::Assigned => self.assigned(dispatch),
            _ => finished(dispatch, self.now),
        }
    }

    fn pending(&mut self, dispatch: &Dispatch) -> Answer {
        let pool = self.lists.pools.iter().find(|pool| name_of(*pool) == dispatch.spec.pool);
        let mut answer = Answer {
            object: format!("dispatch/{}", name_of(dispatch)),
            state: State::Waiting,
            reason: String::new(),
            message: String::new(),
            until: None,
            details: Vec::new(),
            sooner: Vec::new(),
        };
        if let Some(pool) = pool {
            match self.held(dispatch) {
                Some(held) => {
                    (answer.reason, answer.message, answer.until) = (held.reason.to_owned(), held.words, held.until);
                }
                None => self.in_queue(dispatch, pool, &mut answer),
            }
        } else {
            answer.reason = DispatchAccepted::PoolNotFound.as_str().to_owned();
            answer.message = format!("it waits for pool {:?}, which does not exist", dispatch.spec.pool);
            let cancel = self.commands.run(&format!("cancel {}", name_of(dispatch)));
            answer.sooner.push(Step { what: "create the pool".to_owned(), command: None });
            answer
                .sooner
                .push(Step { what: "or cancel the dispatch, if the name is wrong".to_owned(), command: Some(cancel) });
        }
        let policy = pool.map(|pool| pool.spec.dispatch.clone()).unwrap_or_default();
        if let Some(end) = queue_deadline(dispatch, &policy) {
            answer.details.push(format!("it expires at {}, its queueTimeout", moment(end, self.now)));
        }
        answer
    }

    /// What a dispatch waits for that is not in a queue.
    fn held(&self, dispatch: &Dispatch) -> Option<Held> {
        let workers = &self.lists.workers;
        let is_there = |uid: &str| workers.iter().any(|worker| worker.uid_str() == uid);
        Held::of(dispatch, workers.iter().find(|worker| names(worker, dispatch)), is_there, self.now)
    }

    /// A dispatch that waits for a worker.
    fn in_queue(&mut self, dispatch: &Dispatch, pool: &ContainerPool, answer: &mut Answer) {
        let PoolWait { wait, reason, words } = self.wait(pool, true);
        answer.message = format!("it waits in pool {}: {words}", name_of(pool));
        (answer.reason, answer.until) = (reason, wait.until());
        let before = self.waiting_in(name_of(pool)).iter().filter(|other| place(other) < place(dispatch)).count();
        answer.details.push(match before {
            0 => "it is the first in the queue".to_owned(),
            1 => "1 dispatch is before it in the queue".to_owned(),
            n => format!("{n} dispatches are before it in the queue"),
        });
        if let Some(last) = &dispatch_status(dispatch).last_result {
            let said = last.message.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
            answer.details.push(format!("attempt {} ended as {}{said}", last.attempt, last.outcome));
        }
        if wait == Wait::Nothing {
            answer.details.extend(self.silence(dispatch));
        }
        answer.sooner = steps(&wait, pool, &self.workers_of(name_of(pool)), &self.commands, self.now);
    }

    fn assigned(&self, dispatch: &Dispatch) -> Answer {
        let status = dispatch_status(dispatch);
        let worker = status.worker.as_ref().map_or("", |worker| &worker.name);
        let since = status.assigned_at.as_ref().map(|t| format!(" since {}", moment(t.0, self.now)));
        let pool = self.lists.pools.iter().find(|pool| name_of(*pool) == dispatch.spec.pool);
        let policy = pool.map(|pool| pool.spec.dispatch.clone()).unwrap_or_default();
        let until = attempt_deadline(dispatch, &policy);
        let mut details = vec![match until {
            Some(_) => "then its timeout ends the attempt, unless it is reported before".to_owned(),
            None => "it has no timeout: it lasts until it is reported".to_owned(),
        }];
        details.extend(dispatch.spec.lease_name.as_ref().map(|lease| format!("its holder must renew Lease {lease}")));
        if self.lists.workers.iter().any(|w| name_of(w) == worker && w.is_deleting()) {
            details.push(format!("worker {worker} is being deleted, and stays until the attempt has ended"));
        }
        Answer {
            object: format!("dispatch/{}", name_of(dispatch)),
            state: State::Assigned,
            reason: DispatchAssigned::CONDITION.to_owned(),
            message: format!("attempt {} is open on worker {worker}{}", status.attempt, since.unwrap_or_default()),
            until,
            details,
            sooner: vec![Step {
                what: "end it now".to_owned(),
                command: Some(self.commands.run(&format!("cancel {}", name_of(dispatch)))),
            }],
        }
    }

    /// What a pool waits for. `queued`: dispatches wait.
    fn wait(&mut self, pool: &ContainerPool, queued: bool) -> PoolWait {
        let workers = self.workers_of(name_of(pool)).len();
        PoolWait::of(&mut self.snapshot, pool, workers, queued)
    }

    /// That no controller has reacted, although nothing is waited for.
    fn silence(&self, dispatch: &Dispatch) -> Option<String> {
        let created = dispatch.metadata.creation_timestamp.as_ref()?.0;
        let silent = self.now.as_second() - created.as_second() > SILENCE;
        silent.then(|| {
            format!(
                "nothing has happened since {}: does the controller run? `{}`",
                created,
                self.commands.run("doctor")
            )
        })
    }

    /// The dispatches that wait in a pool, in the order of its queue.
    fn waiting_in(&self, pool: &str) -> Vec<&'a Dispatch> {
        let pending = |d: &&Dispatch| d.spec.pool == pool && dispatch_status(d).phase == DispatchPhase::Pending;
        let mut waiting: Vec<&'a Dispatch> = self.lists.dispatches.iter().filter(pending).collect();
        waiting.sort_by(|a, b| place(a).cmp(&place(b)));
        waiting
    }

    fn workers_of(&self, pool: &str) -> Vec<&'a Worker> {
        self.lists.workers.iter().filter(|worker| worker.spec.pool == pool).collect()
    }
}

fn names(worker: &Worker, dispatch: &Dispatch) -> bool {
    let named = worker.status.as_ref().and_then(|status| status.dispatch.as_ref());
    named.is_some_and(|named| named.uid == dispatch.uid_str())
}

fn finished(dispatch: &Dispatch, now: Timestamp) -> Answer {
    let status = dispatch_status(dispatch);
    let at = status.finished_at.as_ref().map(|t| format!(" at {}", moment(t.0, now))).unwrap_or_default();
    let said = status.message.as_deref().filter(|m| !m.is_empty()).map(|m| format!(": {m}")).unwrap_or_default();
    let reason = status.reason.clone().unwrap_or_else(|| format!("{:?}", status.phase));
    Answer {
        object: format!("dispatch/{}", name_of(dispatch)),
        state: State::Finished,
        message: format!("it ended as {:?}{at}{said}", status.phase),
        reason,
        until: None,
        details: Vec::new(),
        sooner: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::api::RuntimeKind;
    use crate::core::Now;

    const NOW: &str = "2026-11-29T12:00:00Z";

    fn object(kind: &str, name: &str, spec: &Value, status: &Value) -> Value {
        json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": kind, "spec": spec, "status": status,
            "metadata": {
                "name": name, "namespace": "default", "uid": format!("{name}-uid"), "resourceVersion": "1",
                "creationTimestamp": "2026-11-29T11:00:00Z",
            },
        })
    }

    fn worker(status: &Value) -> Value {
        let spec = json!({"pool": "p", "poolGeneration": 1, "runtime": "Docker", "host": "local", "templateHash": "h"});
        object("Worker", "p-0", &spec, status)
    }

    /// What is answered about the dispatch `d` of the pool `p`.
    fn about(pool_status: &Value, worker: Option<Value>, dispatch_status: &Value) -> Answer {
        asked(pool_status, worker, dispatch_status, |judge, lists| judge.dispatch(&lists.dispatches[0]))
    }

    /// The answer to a question about the pool `p`, its worker, and its dispatch `d`.
    fn asked(
        pool_status: &Value,
        worker: Option<Value>,
        dispatch_status: &Value,
        ask: impl FnOnce(&mut Judge<'_>, &Lists) -> Answer,
    ) -> Answer {
        let pool = object("ContainerPool", "p", &json!({"image": "i", "max": 1}), pool_status);
        let lists = Lists {
            pools: vec![serde_json::from_value(pool).unwrap()],
            workers: worker.into_iter().map(|worker| serde_json::from_value(worker).unwrap()).collect(),
            dispatches: vec![
                serde_json::from_value(object("Dispatch", "d", &json!({"pool": "p"}), dispatch_status)).unwrap(),
            ],
        };
        let now = Now::new(NOW.parse().unwrap(), Duration::ZERO);
        let snapshot = lists.snapshot(RuntimeKind::Docker, now);
        let commands = Commands { program: "poolkeeper".into(), flags: " -n a".into() };
        let mut judge = Judge { lists: &lists, snapshot, commands, now: now.wall };
        ask(&mut judge, &lists)
    }

    fn dispatching(reason: &str, message: &str) -> Value {
        json!({"conditions": [{
            "type": "Dispatching", "status": "False", "reason": reason, "message": message, "lastTransitionTime": NOW,
        }]})
    }

    #[test]
    fn the_words_that_only_the_controller_knows_come_from_its_conditions() {
        let words = "workers cannot start yet: ErrImagePull: no such image";
        let answer = about(&dispatching("StartsWait", words), Some(worker(&json!({"phase": "Starting"}))), &json!({}));
        assert_eq!(answer.message, format!("it waits in pool p: {words}"));
        assert_eq!(answer.reason, "StartsWait");
        let words = "host \"b\" is not configured; there are local";
        let answer = about(&dispatching("Refused", words), None, &json!({}));
        assert_eq!((answer.message, answer.reason), (format!("it waits in pool p: {words}"), "Refused".to_owned()));
        // But not what the lists show, and show as it is now.
        let rests = json!({"phase": "Ready", "cooldown": {"until": "2026-11-29T12:01:00.000000Z"}});
        let answer = about(&dispatching("HostUnreachable", "old"), Some(worker(&rests)), &json!({}));
        assert_eq!(answer.until.unwrap().to_string(), "2026-11-29T12:01:00Z");
        assert_eq!(answer.sooner[0].command.as_deref(), Some("poolkeeper cooldown p-0 --clear -n a"));
    }

    #[test]
    fn a_free_worker_that_is_not_given_away_points_to_the_controller() {
        let answer = about(&json!({}), Some(worker(&json!({"phase": "Ready"}))), &json!({}));
        assert_eq!(answer.message, "it waits in pool p: a worker is available");
        assert!(answer.details.iter().any(|d| d.contains("`poolkeeper doctor -n a`")), "{answer:?}");
        let answer = about(&json!({}), None, &json!({}));
        assert_eq!(answer.message, "it waits in pool p: workers are about to be started");
    }

    #[test]
    fn a_server_that_stands_down_says_so() {
        let words = Wait::StandingDown.to_string();
        let answer = about(&dispatching("Paused", &words), Some(worker(&json!({"phase": "Ready"}))), &json!({}));
        assert_eq!((answer.message, &*answer.reason), (format!("it waits in pool p: {words}"), "Paused"));
        // A pool that was paused is not any more.
        let paused = dispatching("Paused", "the pool is paused (spec.paused)");
        let answer = about(&paused, Some(worker(&json!({"phase": "Ready"}))), &json!({}));
        assert_eq!(answer.message, "it waits in pool p: a worker is available");
    }

    /// It was asked whether the controller runs, since a worker was free.
    #[test]
    fn a_pool_whose_dispatches_wait_for_a_time_says_for_which() {
        let delayed = json!({
            "phase": "Pending", "attempt": 1, "worker": {"name": "p-0", "uid": "p-0-uid"},
            "notBefore": "2026-11-29T12:05:00.000000Z",
            "lastResult": {"attempt": 1, "outcome": "Overloaded", "closedAt": "2026-11-29T11:59:00.000000Z"},
        });
        let pool = |status: &Value| {
            let free = Some(worker(&json!({"phase": "Ready"})));
            asked(&json!({}), free, status, |judge, lists| judge.pool(&lists.pools[0]))
        };
        let answer = pool(&delayed);
        let words = "attempt 1 ended as Overloaded; it is retried at 2026-11-29T12:05:00Z";
        assert_eq!((answer.message, &*answer.reason), (format!("d waits: {words}"), "Overloaded"));
        assert_eq!(answer.until.map(|t| t.to_string()).as_deref(), Some("2026-11-29T12:05:00Z"));
        assert_eq!(answer.details, [""; 0]);
        let answer = pool(&json!({}));
        assert_eq!((&*answer.message, answer.details.len()), ("d waits: a worker is available", 1));
    }

    #[test]
    fn a_lost_attempt_is_waited_for_until_its_worker_is_gone() {
        let lost = json!({
            "phase": "Pending", "attempt": 1, "worker": {"name": "p-0", "uid": "p-0-uid"},
            "lastResult": {"attempt": 1, "outcome": "Lost", "closedAt": "2026-11-29T11:59:00.000000Z"},
        });
        let answer = about(&json!({}), Some(worker(&json!({"phase": "Draining"}))), &lost);
        assert_eq!(answer.reason, "Lost");
        assert!(answer.message.ends_with("the next attempt begins once that worker is gone"), "{answer:?}");
        assert_ne!(about(&json!({}), None, &lost).reason, "Lost");
        let mut said = lost;
        said["conditions"] = json!([{"type": "Assigned", "status": "False", "reason": "LeaseNotRenewed",
            "message": "attempt 1 was Lost, and Lease l was not renewed since", "lastTransitionTime": NOW}]);
        let answer = about(&json!({}), None, &said);
        assert_eq!(answer.reason, "LeaseNotRenewed");
        assert!(answer.message.ends_with("Lease l was not renewed since"), "{answer:?}");
    }
}
