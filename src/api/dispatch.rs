//! `Dispatch`: one task's claim on one worker, from queued to finished.
#![allow(clippy::duplicated_attributes, reason = "printer columns have types and priorities in common")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, Period, RuntimeKind, Time, schema};

/// Most characters of `spec.note` and of messages.
pub const MAX_TEXT: usize = 4096;

/// What is asked for. Immutable but for `cancel` and `result`.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "poolkeeper.dev",
    version = "v1alpha1",
    kind = "Dispatch",
    plural = "dispatches",
    doc = "One task's claim on one worker of a pool, from queued to finished.",
    shortname = "pkd",
    category = "poolkeeper",
    namespaced,
    status = "DispatchStatus",
    derive = "PartialEq",
    selectable = ".spec.pool",
    selectable = ".status.phase",
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.pool"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Worker", type_ = "string", json_path = ".status.worker.name"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt"),
    printcolumn(
        name = "Outcome",
        type_ = "string",
        json_path = ".status.lastResult.outcome",
        description = "How the last closed attempt ended."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    printcolumn(name = "Until", type_ = "string", json_path = ".status.lastResult.until", priority = 1),
    printcolumn(name = "Assigned", type_ = "date", json_path = ".status.assignedAt", priority = 1),
    printcolumn(name = "Finished", type_ = "date", json_path = ".status.finishedAt", priority = 1),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.lastResult.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct DispatchSpec {
    /// Name of the pool, in the same namespace. It may be made later.
    #[schemars(schema_with = "schema::pool_name")]
    pub pool: String,
    /// Higher goes first. Default 0.
    #[schemars(range(min = -1_000_000_000, max = 1_000_000_000))]
    #[serde(default)]
    pub priority: i32,
    /// How long it may wait for a worker before it is Expired. Default: the pool's `dispatch.queueTimeout`; `0s`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<Period>,
    /// How long one attempt may run before it is TimedOut. Default: the pool's `dispatch.timeout`; `0s`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// A coordination.k8s.io Lease in the same namespace that the supervisor renews. When it stops, the attempt ends as HolderLost.
    #[schemars(schema_with = "schema::object_name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_name: Option<String>,
    /// How often to try again, by outcome.
    #[serde(default)]
    pub retry: Retry,
    /// Free text, kept in the history.
    #[schemars(length(max = MAX_TEXT))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// True: end it. Cannot be taken back.
    #[serde(default)]
    pub cancel: bool,
    /// What the holder reports of the current attempt. It replaces the report on the attempt before: a merge patch sets
    /// to null what it does not name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<DispatchResult>,
}

/// Further attempts allowed after each outcome: 0 none, -1 no limit.
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
}

/// What a holder may say of its attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportedOutcome {
    /// The task is done.
    Succeeded,
    /// The task failed of itself.
    Failed,
    /// Whoever is called said: not now.
    RateLimited,
    /// Whoever is called refused the credential.
    Unauthorized,
}

/// A report on one attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DispatchResult {
    /// The attempt that is reported on, from 1.
    #[schemars(range(min = 1, max = i32::MAX))]
    pub attempt: i32,
    /// How it ended.
    pub outcome: ReportedOutcome,
    /// With RateLimited: the rest that the server named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Period>,
    /// Free text, kept in the history.
    #[schemars(length(max = MAX_TEXT))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Where a Dispatch is in its life.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DispatchPhase {
    /// Waits for a worker.
    #[default]
    Pending,
    /// An attempt is open on a worker.
    Assigned,
    /// Final.
    Succeeded,
    /// Final; `status.reason` says why.
    Failed,
    /// Final: `queueTimeout` ran out.
    Expired,
    /// Final.
    Cancelled,
}

impl DispatchPhase {
    /// True if nothing can follow.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Assigned)
    }
}

/// How an attempt ended.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Reported.
    Succeeded,
    /// Reported.
    Failed,
    /// Reported.
    RateLimited,
    /// Reported.
    Unauthorized,
    /// The runtime confirmed that the instance is gone.
    WorkerLost,
    /// The attempt's time ran out.
    TimedOut,
    /// The holder's Lease ran out.
    HolderLost,
    /// `spec.cancel`.
    Cancelled,
    /// Somebody forced the worker's deletion.
    Forced,
    /// Reserved, but the worker died or went before it was published: it never ran.
    NotStarted,
}

impl Outcome {
    /// True if the holder said it.
    pub const fn is_reported(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::RateLimited | Self::Unauthorized)
    }
}

impl From<ReportedOutcome> for Outcome {
    fn from(o: ReportedOutcome) -> Self {
        match o {
            ReportedOutcome::Succeeded => Self::Succeeded,
            ReportedOutcome::Failed => Self::Failed,
            ReportedOutcome::RateLimited => Self::RateLimited,
            ReportedOutcome::Unauthorized => Self::Unauthorized,
        }
    }
}

/// The worker of an attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct WorkerRef {
    /// Name of the Worker.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// All that is needed to reach the worker's container.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// What kind of container it is.
    pub runtime: RuntimeKind,
    /// Host as named in the pool. None: the runtime has no hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Container id, pod name, or path of the worker's socket.
    pub id: String,
    /// Run this, followed by the command: `["docker","exec","-i",ID]`.
    pub argv: Vec<String>,
}

/// How the last closed attempt ended.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LastResult {
    /// Which attempt.
    pub attempt: i32,
    /// How it ended.
    pub outcome: Outcome,
    /// When it was closed.
    pub closed_at: Time,
    /// The rest that follows from it, computed once, here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What was reported with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Attempts that ended so and were tried again, counted against `spec.retry`.
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
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// State of a Dispatch.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DispatchStatus {
    /// Where it is in its life.
    #[serde(default)]
    pub phase: DispatchPhase,
    /// The newest attempt, from 1; 0 before the first.
    #[serde(default)]
    pub attempt: i32,
    /// Worker of the newest attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerRef>,
    /// Where the open attempt runs. A holder acts on this alone, and starts an attempt at most once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The newest closed attempt. `attempt` is open while this is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<LastResult>,
    /// Retries used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// When the newest attempt was assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Time>,
    /// When the final phase was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// With phase Failed: the outcome, or QueueFull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `Accepted`, `Assigned`, `Finished`.
    #[schemars(transform = schema::keyed_by("type"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl DispatchStatus {
    /// True while the newest attempt has no result.
    pub fn is_open(&self) -> bool {
        self.attempt > 0 && self.last_result.as_ref().is_none_or(|r| r.attempt < self.attempt)
    }
}
