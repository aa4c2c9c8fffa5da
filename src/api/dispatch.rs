//! `Dispatch`: a request for one worker of a pool, for one task.
#![allow(clippy::duplicated_attributes, reason = "printer columns have types and priorities in common")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, Period, RuntimeKind, Seconds, Time, schema};

/// Maximum number of characters of `spec.note` and of messages.
pub const MAX_TEXT: usize = 4096;

/// The request. It cannot change, except `cancel` and `result`.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "poolkeeper.dev",
    version = "v1alpha1",
    kind = "Dispatch",
    plural = "dispatches",
    doc = "A request for one worker of a pool, for one task. It waits, is assigned to a worker, and ends.",
    shortname = "pkd",
    category = "poolkeeper",
    namespaced,
    status = "DispatchStatus",
    derive = "PartialEq",
    selectable = ".spec.pool",
    selectable = ".status.phase",
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.pool"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.reason",
        description = "Why the dispatch waits, or why it is final."
    ),
    printcolumn(name = "Worker", type_ = "string", json_path = ".status.worker.name"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Outcome",
        type_ = "string",
        json_path = ".status.lastResult.outcome",
        description = "Outcome of the last closed attempt.",
        priority = 1
    ),
    printcolumn(
        name = "Until",
        type_ = "string",
        json_path = ".status.waitsUntil",
        description = "When the wait may end, if that is known.",
        priority = 1
    ),
    printcolumn(name = "Assigned", type_ = "date", json_path = ".status.assignedAt", priority = 1),
    printcolumn(name = "Finished", type_ = "date", json_path = ".status.finishedAt", priority = 1),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        description = "The reason, for people.",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct DispatchSpec {
    /// Name of the pool, in the same namespace. The dispatch waits for a pool that does not exist yet.
    #[schemars(schema_with = "schema::pool_name")]
    pub pool: String,
    /// Priority in the queue: higher first, and older first among equals. Default 0.
    #[schemars(range(min = -1_000_000_000, max = 1_000_000_000))]
    #[serde(default)]
    pub priority: i32,
    /// Time after which the waiting dispatch expires. `0s`: no limit. Default: the pool's `dispatch.queueTimeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<Period>,
    /// Time after which a running attempt is ended as TimedOut. `0s`: no limit. Default: the pool's `dispatch.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Name of a coordination.k8s.io Lease in the same namespace that the supervisor renews. If it stops, the attempt ends
    /// as HolderLost, or as Lost if `retry.lost` is not 0.
    #[schemars(schema_with = "schema::object_name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_name: Option<String>,
    /// Number of retries, by outcome.
    #[serde(default)]
    pub retry: Retry,
    /// Note of any content, for people.
    #[schemars(length(max = MAX_TEXT))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// True: cancels the dispatch. It cannot become false again.
    #[serde(default)]
    pub cancel: bool,
    /// Report of the supervisor on the current attempt. It replaces the report on the previous attempt, so a merge patch
    /// must set fields that it does not use to null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<DispatchResult>,
}

/// Number of further attempts after each outcome: 0 for none, -1 for no limit.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// After RateLimited and Unauthorized.
    #[schemars(range(min = -1, max = 1_000_000))]
    #[serde(default)]
    pub rate_limited: i32,
    /// After WorkerLost.
    #[schemars(range(min = -1, max = 1_000_000))]
    #[serde(default)]
    pub worker_lost: i32,
    /// After Failed.
    #[schemars(range(min = -1, max = 1_000_000))]
    #[serde(default)]
    pub failed: i32,
    /// After Lost: a reported one, or a Lease that is not renewed. The next attempt begins once the worker of the lost one is
    /// gone, and the Lease, if there is one, was renewed since. Default 0.
    #[schemars(range(min = -1, max = 1_000_000))]
    #[serde(default)]
    pub lost: i32,
    /// After Overloaded. Default 0.
    #[schemars(range(min = -1, max = 1_000_000))]
    #[serde(default)]
    pub overloaded: i32,
    /// Shortest wait before an attempt that follows Overloaded, Failed or WorkerLost. It doubles with each of these retries, up to
    /// `maxBackoff`; up to half of it is added so that not all of them come back at once. A time that the service named with Overloaded
    /// holds instead. `0s`: no wait. Default: 10s after Overloaded, none after the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Period>,
    /// Longest wait that follows from `backoff`, before the part that is added. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_backoff: Option<Period>,
}

/// Outcomes that a supervisor can report.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportedOutcome {
    /// The task is done.
    Succeeded,
    /// The task itself failed.
    Failed,
    /// The service refused for now, because of a rate limit.
    RateLimited,
    /// The service refused the credential.
    Unauthorized,
    /// The service is busy, and no credential is at fault: nothing rests. The dispatch waits before its next attempt.
    Overloaded,
    /// The supervisor does not know whether the task still runs. Its worker is removed. It does not replace another outcome.
    Lost,
}

impl ReportedOutcome {
    /// True if the service may have named a time with it (`retryAfter`).
    pub const fn names_a_time(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded | Self::Succeeded)
    }
}

/// Report on one attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DispatchResult {
    /// Number of the attempt, from 1. It must be the current one (`status.attempt`).
    #[schemars(range(min = 1, max = i32::MAX))]
    pub attempt: i32,
    /// How the attempt ended.
    pub outcome: ReportedOutcome,
    /// Time that the service named: the rest after RateLimited, the wait after Overloaded, or the rest after Succeeded, if the task
    /// used up what the service allows. With these only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Period>,
    /// Message of any content, for people.
    #[schemars(length(max = MAX_TEXT))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Phase of a Dispatch.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DispatchPhase {
    /// The dispatch waits for a worker.
    #[default]
    Pending,
    /// An attempt is open on a worker.
    Assigned,
    /// Final.
    Succeeded,
    /// Final. `status.reason` and `status.message` say why.
    Failed,
    /// Final. The dispatch waited longer than its `queueTimeout`.
    Expired,
    /// Final.
    Cancelled,
}

impl DispatchPhase {
    /// True if no phase can follow.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Assigned)
    }
}

/// How an attempt ended.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Reported by the supervisor.
    Succeeded,
    /// Reported by the supervisor.
    Failed,
    /// Reported by the supervisor.
    RateLimited,
    /// Reported by the supervisor.
    Unauthorized,
    /// The runtime confirmed that the worker's instance is gone.
    WorkerLost,
    /// The attempt ran longer than its `timeout`.
    TimedOut,
    /// The supervisor stopped renewing its Lease, and `spec.retry.lost` is 0.
    HolderLost,
    /// `spec.cancel` was set.
    Cancelled,
    /// Someone forced the worker's deletion.
    Forced,
    /// The attempt never ran: its worker ended or was deleted before the supervisor could see it.
    NotStarted,
    /// Reported by the supervisor. Nothing rests; a retry waits for `status.notBefore`.
    Overloaded,
    /// The supervisor does not know whether the task still runs: it reported that, or it stopped renewing its Lease and
    /// `spec.retry.lost` is not 0.
    Lost,
}

impl Outcome {
    /// True if the supervisor reports it, and knows that the task has ended: its worker can be used again.
    pub const fn is_reported(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::RateLimited | Self::Unauthorized | Self::Overloaded)
    }
}

impl From<ReportedOutcome> for Outcome {
    fn from(o: ReportedOutcome) -> Self {
        match o {
            ReportedOutcome::Succeeded => Self::Succeeded,
            ReportedOutcome::Failed => Self::Failed,
            ReportedOutcome::RateLimited => Self::RateLimited,
            ReportedOutcome::Unauthorized => Self::Unauthorized,
            ReportedOutcome::Overloaded => Self::Overloaded,
            ReportedOutcome::Lost => Self::Lost,
        }
    }
}

/// Worker of an attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct WorkerRef {
    /// Name of the Worker.
    pub name: String,
    /// Uid of the Worker.
    pub uid: String,
}

/// How to reach the worker's container.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Runtime of the worker.
    pub runtime: RuntimeKind,
    /// Name of the host, with runtimes that have hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Id of the container, name of the Pod, or path of the worker's socket.
    pub id: String,
    /// Command that runs a task in the worker. Append the command of the task: `["docker","exec","-i",ID]`.
    pub argv: Vec<String>,
    /// Address of the Docker Engine, as the controller reaches it, without user, password and paths on other machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Result of the last closed attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LastResult {
    /// Number of the attempt.
    pub attempt: i32,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// Time at which the attempt was closed.
    pub closed_at: Time,
    /// End of the rest that follows from RateLimited, or from Succeeded with `retryAfter`. After Unauthorized, and after another end of
    /// a probe: the time from which the refused credential is probed next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Reported message, or what is known of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Number of retries so far, by the outcome before them. They count against `spec.retry`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// After RateLimited and Unauthorized.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rate_limited: i32,
    /// After WorkerLost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub worker_lost: i32,
    /// After Failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: i32,
    /// After Lost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: i32,
    /// After Overloaded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overloaded: i32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_false(is: &bool) -> bool {
    !is
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// Present state of a Dispatch.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DispatchStatus {
    /// Phase of the dispatch. It is final except for Pending and Assigned.
    #[serde(default)]
    pub phase: DispatchPhase,
    /// Number of the newest attempt, from 1. It is 0 before the first.
    #[serde(default)]
    pub attempt: i32,
    /// Worker of the newest attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerRef>,
    /// Where to run the open attempt. A supervisor relies on this field only, and starts each attempt at most once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Result of the newest closed attempt. `attempt` is open while its number is higher than the one here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<LastResult>,
    /// Number of retries so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// No attempt is assigned before this time. Present while the dispatch waits after an attempt, see `spec.retry.backoff`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Time from which `queueTimeout` counts after NotStarted: the wait before that attempt goes on. Absent while it counts from the end of
    /// the last attempt, from `notBefore`, or from the creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// Time at which the newest attempt was assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Time>,
    /// True if the newest attempt probes a credential that was refused, see the pool's `spec.rateLimit.parkProbe`. If it ends as
    /// Unauthorized, the dispatch is Pending again and has used no retry.
    #[serde(default, skip_serializing_if = "is_false")]
    pub probe: bool,
    /// Time at which the final phase was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Reason of the present phase, in one word: why the dispatch waits, or why it is final. A final one has the outcome of its
    /// last attempt, QueueFull, Expired or PoolDeleted. Absent while Assigned, after Succeeded, and during the first 10 s of a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Reason of the present phase, for people. While the dispatch waits, the words can be a minute old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Time at which the wait may end, if that is known, in whole seconds. Present only while the dispatch waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Seconds>,
    /// Conditions: `Accepted`, `Assigned`, `Finished`.
    #[schemars(transform = schema::keyed_by("type"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl DispatchStatus {
    /// The worker of the last attempt, if that was Lost and the dispatch waits for the next one.
    pub fn lost_on(&self) -> Option<&WorkerRef> {
        let last = self.last_result.as_ref().filter(|r| r.attempt == self.attempt && r.outcome == Outcome::Lost)?;
        self.worker.as_ref().filter(|_| self.phase == DispatchPhase::Pending && last.attempt > 0)
    }

    /// The time before which no attempt is assigned, if the dispatch waits and there is one. One that is not later than the end of
    /// the last attempt is left from an earlier one, by a controller that does not know the field.
    pub fn waits_before(&self) -> Option<jiff::Timestamp> {
        let closed = self.last_result.as_ref().filter(|_| self.phase == DispatchPhase::Pending)?.closed_at.0;
        self.not_before.as_ref().map(|t| t.0).filter(|t| *t > closed)
    }

    /// The time from which `queueTimeout` counts, if it is not the creation: the end of the last attempt, or the time before which none
    /// may follow that. After NotStarted the wait before that attempt goes on. `None` too if an older controller wrote the NotStarted
    /// of a first attempt.
    pub fn waits_since(&self) -> Option<jiff::Timestamp> {
        let last = self.last_result.as_ref()?;
        // A leftover does not count.
        let before = self.waiting_since.as_ref().filter(|_| last.outcome == Outcome::NotStarted).map(|t| t.0);
        Some(before.or_else(|| self.waits_before()).unwrap_or(last.closed_at.0))
    }

    /// True if the dispatch waits for an attempt that follows Overloaded. A NotStarted in between changes nothing.
    pub fn follows_overloaded(&self) -> bool {
        let last = self.last_result.as_ref().filter(|_| self.phase == DispatchPhase::Pending).map(|r| r.outcome);
        let before = || self.retries.is_some_and(|r| r.overloaded > 0);
        last == Some(Outcome::Overloaded) || (last == Some(Outcome::NotStarted) && before())
    }

    /// True while the newest attempt has no result.
    pub fn is_open(&self) -> bool {
        self.attempt > 0 && self.last_result.as_ref().is_none_or(|r| r.attempt < self.attempt)
    }
}
