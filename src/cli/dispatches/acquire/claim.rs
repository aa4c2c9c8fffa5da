//! Making the Dispatch, and waiting until the controller has decided about it.
//!
//! The controller alone decides whether a worker comes in time: it expires the Dispatch, or it assigns it. So a worker that is
//! assigned at the last moment is claimed and not lost, and a Dispatch that expired has never run.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::explain::explain;
use super::stop::Stop;
use crate::api::dispatch::{DispatchPhase, DispatchSpec, DispatchStatus, ReportedOutcome};
use crate::api::vocabulary::{DispatchFinished, Reason};
use crate::api::{Dispatch, Period, names};
use crate::cli::dispatches::identity::can_run;
use crate::cli::dispatches::released::released;
use crate::cli::dispatches::watch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::server::{Server, is_conflict, is_not_found};
use crate::clock::Clock;
use crate::supervisor::report::params;

/// The pause before a Dispatch that a full queue refused is made again.
const QUEUE_PAUSE: Duration = Duration::from_secs(1);
/// How long after its time a Dispatch may be undecided, before no controller is taken to be there.
const UNDECIDED: Duration = Duration::from_mins(1);

/// What to do about a Dispatch of this name that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    Refuse,
    Again,
    Replace,
}

/// A claim that is being made.
pub(super) struct Claiming<'a> {
    pub server: &'a Server,
    pub stop: &'a Stop,
    pub clock: &'a dyn Clock,
    pub name: &'a str,
    /// Without `queueTimeout`.
    pub spec: DispatchSpec,
    /// How long to wait. Zero: no limit.
    pub wait: Period,
    pub existing: Existing,
}

/// A Dispatch with an open attempt, whose claim is not printed yet.
pub(super) struct Claim {
    pub dispatch: Dispatch,
    /// True if this command made the Dispatch: then nothing can run in it before the claim is printed.
    pub is_new: bool,
}

/// What the controller decided.
enum Decided {
    Assigned(Box<Dispatch>),
    Finished(Box<DispatchStatus>),
    Gone,
}

impl Claiming<'_> {
    /// Makes the Dispatch and waits for its worker.
    ///
    /// # Errors
    /// [`Exit::WaitedTooLong`]: no worker came in time. [`Exit::Conflict`]: the task exists. Those of a signal: then the
    /// Dispatch is cancelled.
    pub(super) async fn claim(&self) -> Result<Claim, Failure> {
        let start = self.clock.mono();
        let waited = || self.clock.mono().saturating_sub(start);
        let mut left = self.wait.get();
        loop {
            if left.is_zero() && !self.wait.is_zero() {
                return Err(self.too_late(&format!("none came within {} (--wait)", self.wait)));
            }
            let (dispatch, is_new) = match self.create(left).await? {
                Some(made) => (made, true),
                None => match self.existing(left).await? {
                    Some(there) => (there, false),
                    None => {
                        left = self.wait.get().saturating_sub(waited());
                        continue;
                    }
                },
            };
            let uid = dispatch.uid().unwrap_or_default();
            let decided = match Box::pin(self.stop.unless(self.decided(&uid, left, is_new))).await {
                Ok(decided) => decided?,
                Err(stopped) => {
                    self.take_back(&uid, is_new).await?;
                    return Err(stopped);
                }
            };
            match decided {
                Decided::Assigned(dispatch) => return Ok(Claim { dispatch: *dispatch, is_new }),
                Decided::Finished(status) if self.is_queue_full(&status) => {
                    self.delete(&uid).await?;
                    self.stop.unless(tokio::time::sleep(QUEUE_PAUSE)).await?;
                    left = self.wait.get().saturating_sub(waited());
                }
                Decided::Finished(status) => return Err(self.finished(&status)),
                Decided::Gone => {
                    let message = format!("task {} was deleted while it waited for a worker", self.name);
                    return Err(Failure::new(Exit::Conflict, message));
                }
            }
        }
    }

    fn api(&self) -> Api<Dispatch> {
        self.server.api()
    }

    /// Creates the Dispatch. None: there is one of this name. A signal waits for the end of this request, because without it
    /// there would be nothing to cancel.
    async fn create(&self, left: Duration) -> Result<Option<Dispatch>, Failure> {
        let mut dispatch = Dispatch::new(self.name, self.spec.clone());
        dispatch.spec.queue_timeout = Some(Period::from(left));
        let post = PostParams { field_manager: Some(names::MANAGER.to_owned()), ..PostParams::default() };
        match self.api().create(&post, &dispatch).await {
            Ok(made) => Ok(Some(made)),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error @ kube::Error::Api(_)) => Err(self.server.failed(&error)),
            Err(error) => {
                let mut failure = self.server.failed(&error);
                failure.message =
                    format!("{failure}; whether task {} was created is not known: --again finds out", self.name);
                Err(failure)
            }
        }
    }

    /// The Dispatch of this name, if it may be used. None: it is not there any more.
    async fn existing(&self, left: Duration) -> Result<Option<Dispatch>, Failure> {
        let name = self.name;
        let Some(there) = self.api().get_opt(name).await.map_err(|e| self.server.failed(&e))? else { return Ok(None) };
        let status = there.status.clone().unwrap_or_default();
        let refused = |message: String| Err(Failure::new(Exit::Conflict, message));
        if status.phase.is_final() {
            let ended = ended(&status);
            if self.existing != Existing::Replace {
                return refused(format!(
                    "task {name} exists and is finished ({ended}); --replace makes a new Dispatch for it"
                ));
            }
            let gone = self.stop.unless(self.within(left, released(self.server, &there))).await?;
            gone.ok_or_else(|| {
                self.too_late(&format!("the worker of the old Dispatch ({ended}) is still there after {}", self.wait))
            })??;
            self.delete(&there.uid().unwrap_or_default()).await?;
            return Ok(None);
        }
        if self.existing != Existing::Again {
            let holder = match &status.worker {
                Some(worker) if status.is_open() => {
                    format!("attempt {} is open on worker {}", status.attempt, worker.name)
                }
                _ => "it waits for a worker".to_owned(),
            };
            return refused(format!("task {name} exists and is not finished: {holder}; --again prints its claim"));
        }
        if there.spec.pool != self.spec.pool {
            return refused(format!("task {name} exists, in pool {} and not in {}", there.spec.pool, self.spec.pool));
        }
        Ok(Some(there))
    }

    /// Waits for the decision of the controller, and says why that takes long.
    async fn decided(&self, uid: &str, left: Duration, is_new: bool) -> Result<Decided, Failure> {
        let look = |now: Option<Dispatch>| {
            let Some(now) = now.filter(|now| now.uid().as_deref() == Some(uid)) else { return Some(Decided::Gone) };
            let status = now.status.clone().unwrap_or_default();
            if status.phase.is_final() {
                return Some(Decided::Finished(Box::new(status)));
            }
            can_run(&now).then(|| Decided::Assigned(Box::new(now)))
        };
        // A Dispatch of before has a time of its own.
        let limit = if is_new { left.saturating_add(UNDECIDED) } else { left };
        let waiting = self.within(limit, watch::until(self.server, self.name, watch::PATIENCE, look));
        let ended = tokio::select! {
            ended = waiting => ended,
            never = explain(self.server, self.name, &self.spec.pool) => match never {},
        };
        match ended {
            Some(decided) => decided,
            None if is_new => {
                self.take_back(uid, true).await?;
                Err(self.too_late("no controller has decided about it: is one running?"))
            }
            None => Err(self.too_late(&format!("none came within {} (--wait); it goes on waiting", self.wait))),
        }
    }

    /// Waits no longer than that, unless there is no limit. None: the time is over.
    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        if self.wait.is_zero() { Some(work.await) } else { tokio::time::timeout(limit, work).await.ok() }
    }

    /// Gives the Dispatch up. If it waits, it is cancelled. If it was assigned at the same moment, nothing ran
    /// in the worker, and that is reported, so the worker is free again at once.
    ///
    /// # Errors
    /// The server fails.
    pub(super) async fn take_back(&self, uid: &str, is_new: bool) -> Result<(), Failure> {
        loop {
            let now = self.api().get_opt(self.name).await.map_err(|e| self.server.failed(&e))?;
            let Some(now) = now.filter(|now| now.uid().as_deref() == Some(uid)) else { return Ok(()) };
            let status = now.status.clone().unwrap_or_default();
            if status.phase.is_final() {
                return Ok(());
            }
            let mut spec = json!({"cancel": true});
            if status.is_open() {
                if !is_new {
                    let say = "task {} has a worker, whose claim was not printed: `acquire --again` prints it";
                    output::say(&say.replace("{}", self.name));
                    return Ok(());
                }
                spec["result"] = json!({
                    "attempt": status.attempt, "outcome": ReportedOutcome::Failed, "retryAfter": null,
                    "message": "acquire was stopped before it printed the claim: nothing ran",
                });
            }
            let patch = json!({"metadata": {"uid": uid, "resourceVersion": now.resource_version()}, "spec": spec});
            match self.api().patch(self.name, &params(), &Patch::Merge(&patch)).await {
                Ok(_) => return Ok(()),
                Err(error) if is_conflict(&error) || is_not_found(&error) => {}
                Err(error) => return Err(self.server.failed(&error)),
            }
        }
    }

    async fn delete(&self, uid: &str) -> Result<(), Failure> {
        let exactly = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() };
        match self.api().delete(self.name, &params).await {
            Ok(_) => Ok(()),
            // It is gone, or another one is there, which the next step finds.
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(()),
            Err(error) => Err(self.server.failed(&error)),
        }
    }

    fn is_queue_full(&self, status: &DispatchStatus) -> bool {
        status.reason.as_deref() == Some(DispatchFinished::QueueFull.as_str())
    }

    fn too_late(&self, why: &str) -> Failure {
        let message = format!("task {} got no worker of pool {}: {why}", self.name, self.spec.pool);
        Failure::new(Exit::WaitedTooLong, message)
    }

    /// The failure of a Dispatch that ended before its worker was claimed.
    fn finished(&self, status: &DispatchStatus) -> Failure {
        let why = status.message.clone().unwrap_or_default();
        match status.phase {
            DispatchPhase::Expired => self.too_late(&why),
            _ => Failure::new(Exit::Conflict, format!("task {} ended as {}", self.name, ended(status))),
        }
    }
}

/// How a Dispatch ended, in a few words.
fn ended(status: &DispatchStatus) -> String {
    let phase = format!("{:?}", status.phase);
    let reason = status.reason.as_ref().filter(|reason| **reason != phase).map(|reason| format!(", {reason}"));
    let message = status.message.as_ref().filter(|m| !m.is_empty()).map(|message| format!(": {message}"));
    format!("{phase}{}{}", reason.unwrap_or_default(), message.unwrap_or_default())
}
