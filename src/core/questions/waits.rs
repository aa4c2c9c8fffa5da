//! What a pool and a dispatch wait for: the words of the core, and what only a controller can know.

use jiff::Timestamp;

use super::snapshot::Snapshot;
use crate::api::dispatch::Outcome;
use crate::api::vocabulary::{DispatchAssigned, PoolDispatching, PoolReady, Reason as _};
use crate::api::{Condition, ContainerPool, Dispatch, Worker, seconds};
use crate::core::{Wait, dispatch_status, worker_status};

/// What a pool waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolWait {
    /// It.
    pub wait: Wait,
    /// In one word, as the reason of the condition Ready.
    pub reason: String,
    /// In words.
    pub words: String,
}

impl PoolWait {
    /// The core's word, or the controller's if only that can know. `workers`: how many the pool has. `queued`: dispatches wait.
    pub fn of(snapshot: &mut Snapshot, pool: &ContainerPool, workers: usize, queued: bool) -> Self {
        let wait = snapshot.wait(pool);
        let conditions = pool.status.as_ref().map(|status| &*status.conditions).unwrap_or_default();
        let stored = [Condition::find::<PoolDispatching>(conditions), Condition::find::<PoolReady>(conditions)];
        let stored = stored.into_iter().flatten().filter(|c| !c.is_true()).find_map(known_to_the_controller);
        if let Some(wait) = stored.filter(|_| may_be_explained(&wait)) {
            return Self { reason: wait.reason().as_str().to_owned(), words: wait.to_string(), wait };
        }
        let words = match &wait {
            Wait::Nothing if workers == 0 && queued => "workers are about to be started".to_owned(),
            Wait::Nothing if workers == 0 => "workers are started once a dispatch waits".to_owned(),
            wait => wait.to_string(),
        };
        Self { reason: wait.reason().as_str().to_owned(), words, wait }
    }
}

/// What a dispatch waits for that is not in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// In one word.
    pub reason: &'static str,
    /// In words.
    pub words: String,
    /// When it ends, if that is known.
    pub until: Option<Timestamp>,
}

impl Held {
    /// Of a dispatch between its queue and a worker, or before its next attempt. `namer`: the worker that names it. `is_there`:
    /// whether there is a worker with a uid.
    pub fn of(
        dispatch: &Dispatch,
        namer: Option<&Worker>,
        is_there: impl FnOnce(&str) -> bool,
        now: Timestamp,
    ) -> Option<Self> {
        let held = |reason, words| Some(Self { reason, words, until: None });
        let status = dispatch_status(dispatch);
        if let Some(worker) = namer {
            let attempt = worker_status(worker).dispatch.as_ref()?.attempt;
            let name = worker.metadata.name.as_deref().unwrap_or_default();
            return if attempt > status.attempt {
                held(PoolReady::Available.as_str(), format!("it is being assigned to worker {name}"))
            } else {
                held(PoolReady::Replacing.as_str(), format!("worker {name} is being freed of its attempt {attempt}"))
            };
        }
        let last = status.last_result.as_ref()?;
        if let Some(worker) = status.worker.as_ref().filter(|_| last.outcome == Outcome::Lost) {
            // What the objects cannot show: a host that does not answer, and a Lease that is not renewed.
            let said = Condition::find::<DispatchAssigned>(&status.conditions).filter(|c| !c.is_true());
            let ways = [DispatchAssigned::LeaseNotRenewed, DispatchAssigned::LostWorkerRemains].into_iter();
            if let Some((way, c)) = ways.zip(said.into_iter().cycle()).find(|(way, c)| c.reason == way.as_str()) {
                return held(way.as_str(), c.message.clone());
            }
            if is_there(&worker.uid) {
                let words = format!(
                    "attempt {} was lost, so its task may still run in worker {}: the next attempt begins once that worker is gone",
                    last.attempt, worker.name
                );
                return held(Outcome::Lost.as_str(), words);
            }
        }
        let time = status.waits_before().filter(|time| *time > now)?;
        let words = format!("attempt {} ended as {}; it is retried at {}", last.attempt, last.outcome, seconds(time).0);
        Some(Self { reason: last.outcome.as_str(), words, until: Some(time) })
    }
}

/// True if the objects cannot show why it is so.
const fn may_be_explained(wait: &Wait) -> bool {
    matches!(wait, Wait::Nothing | Wait::Starting | Wait::Replaced(_) | Wait::Unavailable(_))
}

/// A reason that is not in the objects: the words of runtimes, of the API server, what a controller allows, and that it stands down.
fn known_to_the_controller(condition: &Condition) -> Option<Wait> {
    let is = |reason: PoolReady| condition.reason == reason.as_str();
    let words = condition.message.clone();
    if is(PoolReady::Paused) {
        (words == Wait::StandingDown.to_string()).then_some(Wait::StandingDown)
    } else if is(PoolReady::Refused) {
        Some(Wait::Refused(words))
    } else if is(PoolReady::HostUnreachable) {
        Some(Wait::HostUnreachable(words))
    } else if is(PoolReady::StartsWait) {
        let lead = Wait::StartsPostponed(String::new()).to_string();
        Some(Wait::StartsPostponed(words.strip_prefix(&lead).unwrap_or(&words).to_owned()))
    } else if is(PoolReady::WriteRefused) {
        let lead = Wait::WriteRefused(String::new()).to_string();
        Some(Wait::WriteRefused(words.strip_prefix(&lead).unwrap_or(&words).to_owned()))
    } else {
        None
    }
}
