//! What the runtime remembers: one instance a Worker, one task an instance, and the stop rule.

use poolkeeper::api::worker::WorkerPhase;

use super::{Audit, is_open, state_of, status_of};
use crate::fake::{FakeEvent, What};

impl Audit<'_> {
    pub(super) fn event(&mut self, event: &FakeEvent) {
        self.rv = u64::try_from(event.at.as_microsecond()).unwrap();
        match &event.what {
            What::Started { key, id, nth, .. } => {
                let worker = self.workers.get(&key.uid);
                let known = worker.is_some();
                let wanted = worker.is_some_and(|w| w.gone.is_none() && w.last().metadata.deletion_timestamp.is_none());
                // A starting worker's instance may be unknown to all: another controller may lead by now.
                let ran = worker.is_some_and(|w| state_of(w.last()).phase != WorkerPhase::Starting);
                self.count("instance started");
                self.check(known, "an instance is of a Worker", || key.to_string());
                if *nth > 1 {
                    // An order that was under way may arrive after the end, when it is no longer wanted.
                    self.count(if wanted {
                        "instance made again for a worker that was never up"
                    } else {
                        "instance made again for a worker that goes"
                    });
                    let text = || format!("{key}: number {nth}");
                    self.check(!wanted || !ran, "one instance for each Worker uid", text);
                }
                let body = self.bodies.entry(key.uid.clone()).or_default();
                (body.id, body.exists, body.runs, body.changed) = (id.clone(), true, true, self.rv);
                body.again = *nth > 1 && ran;
            }
            What::Ended { key, lost, .. } => {
                let cause = matches!(&event.what, What::Ended { cause: crate::fake::Cause::Vanished, .. });
                let body = self.bodies.entry(key.uid.clone()).or_default();
                (body.runs, body.exists, body.changed) = (false, body.exists && !cause, self.rv);
                body.tasks.clear();
                if !lost.is_empty() {
                    self.count("task lost with its worker");
                }
            }
            What::Stopped { key, ran, lost, .. } => {
                self.count("instance stopped");
                let worker = self
                    .workers
                    .get(&key.uid)
                    .filter(|w| w.gone.is_none())
                    .map(|w| (w.last().metadata.deletion_timestamp.is_some(), state_of(w.last()).dispatch));
                if let Some((deleting, named)) = worker {
                    self.check(
                        deleting && named.is_none(),
                        "only a worker that goes and names no dispatch is stopped",
                        || format!("{key}: deleting {deleting}, names {named:?}"),
                    );
                }
                for (dispatch, attempt) in lost {
                    let open = self.dispatches.get(dispatch).filter(|d| d.gone.is_none()).is_some_and(|d| {
                        let s = status_of(d.last());
                        is_open(&s) && s.attempt == *attempt
                    });
                    self.check(!open || !*ran, "no worker with an open attempt is stopped", || {
                        format!("{key}: {dispatch} {attempt}")
                    });
                }
                let body = self.bodies.entry(key.uid.clone()).or_default();
                (body.runs, body.exists, body.changed) = (false, false, self.rv);
                body.tasks.clear();
            }
            What::TaskStarted { key, dispatch, attempt, beside } => {
                self.count("task started");
                self.check(beside.is_empty(), "a container runs one task", || {
                    format!("{key}: {dispatch} {attempt} while {beside:?}")
                });
                let elsewhere = self
                    .bodies
                    .iter()
                    .find(|(_, b)| b.tasks.iter().any(|(d, _)| d == dispatch))
                    .map(|(k, _)| k.clone());
                self.check(elsewhere.is_none(), "a dispatch has one live worker", || {
                    format!("{dispatch} {attempt} begins on {key} and runs on {elsewhere:?}")
                });
                let published =
                    self.attempts.get(dispatch).and_then(|a| a.get(attempt)).is_some_and(|a| a.worker == key.uid);
                let paused = self.bodies.get(&key.uid).is_some_and(|body| body.paused);
                let calm = self.is_calm(event.mono);
                self.check(!paused || !calm, "a task begins where nothing stands still", || {
                    format!("{key}: {dispatch} {attempt}")
                });
                self.check(published, "a task runs where it was published", || format!("{key}: {dispatch} {attempt}"));
                let body = self.bodies.entry(key.uid.clone()).or_default();
                let again = body.again;
                body.tasks.insert((dispatch.clone(), *attempt));
                self.check(!again, "one instance for each Worker uid", || {
                    format!("{key} runs a task in another than the one that it came up with")
                });
            }
            What::PauseSet { key, paused, tasks, by } => {
                self.count(if *paused { "instance paused" } else { "instance unpaused" });
                // Two controllers, or one that has died, may not know of the task. The one that leads makes up for it.
                let calm = self.is_calm(event.mono);
                self.check(!*paused || !calm || tasks.is_empty(), "no worker is paused while it works", || {
                    format!("{key} by {by}: {tasks:?}")
                });
                self.bodies.entry(key.uid.clone()).or_default().paused = *paused;
            }
            What::TaskEnded { key, dispatch, attempt } => {
                let body = self.bodies.entry(key.uid.clone()).or_default();
                body.tasks.remove(&(dispatch.clone(), *attempt));
            }
        }
    }
}
