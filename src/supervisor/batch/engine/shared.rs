//! What the engine does on a server that others use too.

use std::time::Duration;

use kube::api::{DeleteParams, PostParams, Preconditions};

use super::state::Engine;
use crate::api::dispatch::{DispatchPhase, DispatchStatus};
use crate::api::vocabulary::{DispatchFinished, Reason};
use crate::api::{Dispatch, names};
use crate::supervisor::Error;
use crate::supervisor::batch::former::{self, Adopted};

/// The pause before a Dispatch that a full queue refused is made again.
const QUEUE_PAUSE: Duration = Duration::from_secs(1);
/// After so long without a running attempt it is said why.
const EXPLAINED: Duration = Duration::from_secs(5);
/// How long the tasks of a run that ends before its time may take to be cancelled.
const GIVING_BACK: Duration = Duration::from_secs(10);

impl Engine {
    /// True if others use the server too.
    pub(super) const fn is_shared(&self) -> bool {
        self.options.lease.is_some()
    }

    /// Makes a Dispatch, and answers its uid. Its name is that of this run alone, so one that is there was made by a request whose
    /// answer was lost.
    pub(super) async fn queue(&self, dispatch: &Dispatch, task: &str) -> Result<String, Error> {
        let (dispatches, name) =
            (&self.runner.place.dispatches(), dispatch.metadata.name.as_deref().unwrap_or_default());
        let shared = self.is_shared();
        let create = || async move {
            match dispatches.create(&PostParams::default(), dispatch).await {
                Err(kube::Error::Api(status)) if status.code == 409 && shared => dispatches.get(name).await,
                made => made,
            }
        };
        let made = self.runner.patience.repeat(&format!("queueing task {task}"), create).await?;
        Ok(made.metadata.uid.unwrap_or_default())
    }

    /// The labels of the Dispatches of this run, and of those that it goes on with.
    pub(super) fn labels(&self) -> String {
        let (run, earlier) = (&self.options.run, &self.options.adopted.runs);
        if earlier.is_empty() {
            return format!("{}={run}", names::RUN);
        }
        let all: Vec<&str> = std::iter::once(run).chain(earlier).map(String::as_str).collect();
        format!("{} in ({})", names::RUN, all.join(","))
    }

    /// A Dispatch of an earlier run as it is now. What follows comes by the watch.
    pub(super) async fn of_earlier_run(&self, name: &str) -> Result<Option<Dispatch>, Error> {
        let dispatches = &self.runner.place.dispatches();
        self.runner.patience.repeat("looking for a task of the earlier run", || dispatches.get_opt(name)).await
    }

    /// True if a full queue refused this Dispatch. It is made again later.
    pub(super) fn is_refused_by_queue(&mut self, name: &str) -> bool {
        let (is_shared, now) = (self.is_shared(), self.mono());
        let Some(t) = self.in_flight.get_mut(name) else { return false };
        let full = DispatchFinished::QueueFull.as_str();
        let is_refused = t.last.as_ref().is_some_and(|last| last.reason.as_deref() == Some(full));
        if !is_shared || !is_refused || t.timed_out {
            return false;
        }
        t.last = None;
        t.waits = Some("the queue of the pool is full".to_owned());
        self.refused_by_queue.insert((now + QUEUE_PAUSE, name.to_owned()))
    }

    /// Makes Dispatches again that a full queue refused.
    pub(super) async fn queue_again(&mut self) -> Result<(), Error> {
        let now = self.mono();
        while let Some((_, name)) = self.refused_by_queue.first().filter(|(at, _)| *at <= now).cloned() {
            self.refused_by_queue.pop_first();
            let Some(t) = self.in_flight.get(&name) else { continue };
            let (task, uid, priority) = (t.task.id.clone(), t.uid.clone(), t.task.priority);
            let exactly = Preconditions { uid: Some(uid), resource_version: None };
            let params = &DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() };
            let dispatches = &self.runner.place.dispatches();
            let delete = || async {
                match dispatches.delete(&name, params).await {
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                    deleted => deleted.map(drop),
                }
            };
            self.runner.patience.repeat("removing a Dispatch that a full queue refused", delete).await?;
            let uid = self.queue(&self.dispatch(&name, &task, priority), &task).await?;
            if let Some(t) = self.in_flight.get_mut(&name) {
                t.uid = uid;
            }
        }
        Ok(())
    }

    /// A Dispatch was removed.
    pub(super) fn on_removed(&mut self, d: &Dispatch) {
        let name = d.metadata.name.as_deref().unwrap_or_default();
        let is_it = |t: &super::state::InFlight| Some(&t.uid) == d.metadata.uid.as_ref();
        if self.is_shared() && self.in_flight.get(name).is_some_and(is_it) {
            self.end_removed(name);
        }
    }

    /// Ends a task whose Dispatch is not there any more.
    pub(super) fn end_removed(&mut self, name: &str) {
        if let Some(running) = self.in_flight.get(name).and_then(|t| t.running.as_ref()) {
            running.cancel();
        }
        self.end(name, DispatchStatus { phase: DispatchPhase::Failed, ..DispatchStatus::default() });
    }

    /// If the pool was deleted, its last attempts have ended, and no other begins.
    pub(super) fn give_up_if_the_pool_is_gone(&self) -> Result<(), Error> {
        if self.pool_goes && self.in_flight.is_empty() && self.printing == 0 {
            return Err(Error::PoolGone(self.options.pool.metadata.name.clone().unwrap_or_default()));
        }
        Ok(())
    }

    /// When something is due that has to do with others.
    pub(super) fn shared_due(&self) -> Option<Duration> {
        let queue = self.refused_by_queue.first().map(|(at, _)| *at);
        let explained = self.idle_since.filter(|_| self.explanation().is_some()).map(|since| since + EXPLAINED);
        queue.into_iter().chain(explained).min()
    }

    /// Says why nothing runs, and again when that changes.
    pub(super) fn say_why_nothing_runs(&mut self) {
        let is_due = self.idle_since.is_some_and(|since| since + EXPLAINED <= self.mono());
        if let Some(why) = self.explanation().filter(|_| is_due) {
            self.tracker.note(format!("nothing runs: {why}"));
            self.said = why;
        }
    }

    /// Why nothing runs, if that was not said before.
    fn explanation(&self) -> Option<String> {
        let first = || self.in_flight.values().find_map(|t| t.waits.clone().filter(|_| t.last.is_none()));
        first().filter(|why| self.is_shared() && *why != self.said)
    }

    /// Cancels what is left of a run that ends before its time.
    pub(super) async fn give_back(&self) {
        let runner = &self.runner;
        let cancel = async {
            for run in std::iter::once(&self.options.run).chain(&self.options.adopted.runs) {
                former::cancel(&runner.place, run, &Adopted::default(), &runner.patience).await?;
            }
            Ok::<(), Error>(())
        };
        let cancelled = tokio::time::timeout(GIVING_BACK, cancel).await;
        if !matches!(cancelled, Ok(Ok(()))) {
            self.tracker.note("the tasks of this run could not be cancelled; they end with its Lease");
        }
    }
}
