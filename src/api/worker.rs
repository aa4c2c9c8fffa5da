//! `Worker`: one container in one slot of a pool.
#![allow(clippy::duplicated_attributes, reason = "printer columns have types and priorities in common")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::is_false;
use super::{Condition, RuntimeKind, Seconds, Time, schema};

/// What the worker is made from. The controller writes it once. Only `cordoned` can change.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "poolkeeper.dev",
    version = "v1alpha1",
    kind = "Worker",
    plural = "workers",
    doc = "One container in one slot of a pool. The controller creates and deletes Workers.",
    shortname = "pkw",
    category = "poolkeeper",
    namespaced,
    status = "WorkerStatus",
    derive = "PartialEq",
    selectable = ".spec.pool",
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.pool"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Rests-Until",
        type_ = "string",
        json_path = ".status.restsUntil",
        description = "End of the rest of the worker or its credential. The worker gets no dispatch before it."
    ),
    printcolumn(name = "Dispatch", type_ = "string", json_path = ".status.dispatch.name"),
    printcolumn(name = "Dispatches", type_ = "integer", json_path = ".status.dispatches"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Credential", type_ = "string", json_path = ".spec.credential", priority = 1),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host", priority = 1),
    printcolumn(name = "Cordoned", type_ = "boolean", json_path = ".spec.cordoned", priority = 1),
    printcolumn(name = "Strikes", type_ = "integer", json_path = ".status.cooldown.strikes", priority = 1),
    printcolumn(name = "Last", type_ = "date", json_path = ".status.lastDispatchTime", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSpec {
    /// Name of the pool, in the same namespace.
    #[schemars(schema_with = "schema::pool_name")]
    pub pool: String,
    /// `metadata.generation` of the pool when this Worker was created.
    #[schemars(range(min = 0))]
    pub pool_generation: i64,
    /// Runtime of the worker: that of the pool, or else the default of the controller, when this Worker was created.
    pub runtime: RuntimeKind,
    /// Name of the pool's credential that the worker has.
    #[schemars(schema_with = "schema::label")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Name of the host that the worker runs on, with runtimes that have hosts.
    #[schemars(schema_with = "schema::label")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Directory on that host that is the worker's credential. It is counted over all pools and namespaces.
    #[schemars(schema_with = "schema::absolute_path")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Box<str>>,
    /// Hash of the fields of the pool that the worker is made from.
    #[schemars(length(min = 1, max = 128))]
    pub template_hash: String,
    /// True: the worker gets no new dispatch.
    #[serde(default)]
    pub cordoned: bool,
}

/// Phase of a Worker.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkerPhase {
    /// The container is not ready yet.
    #[default]
    Starting,
    /// The container runs, and the worker has no dispatch.
    Ready,
    /// The worker has a dispatch.
    Busy,
    /// The worker is being deleted. If it has a dispatch, it stays until that has ended.
    Draining,
    /// The container is gone, or never became ready.
    Failed,
}

/// Attempt `attempt` of the Dispatch with this name and uid.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DispatchRef {
    /// Name of the Dispatch, in the same namespace.
    pub name: String,
    /// Uid of the Dispatch. A later Dispatch of the same name has another one.
    pub uid: String,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// Time at which the Worker was reserved.
    pub assigned_at: Time,
    /// True if the attempt probes a credential that was refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub probe: bool,
}

/// The container of the worker. A Worker has only one in its life.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Handle {
    /// Id of the container, uid of the Pod, or process id.
    pub id: String,
    /// Start time in the words of the runtime. Together with the id it identifies one container for ever.
    pub started: String,
    /// Id of the Docker Engine that has the container; with runtime Docker only. An engine with another id at the same address is not
    /// asked about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

/// Rest of a worker.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Cooldown {
    /// End of the rest. The worker gets no dispatch before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Number of rate limits in a row. The rest doubles with each.
    #[serde(default)]
    pub strikes: i32,
    /// Reported message, or `set by hand`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time at which the rest was last cleared by an annotation. Attempts assigned before it do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Time>,
}

/// Present state of a Worker. It changes with transitions only, never as a heartbeat.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// Phase of the worker.
    #[serde(default)]
    pub phase: WorkerPhase,
    /// The worker's container, once it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    /// Dispatch that the worker is reserved for. The attempt runs only once the Dispatch names this Worker too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<DispatchRef>,
    /// Time at which the last dispatch was assigned. The Worker with the oldest time is chosen first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_dispatch_time: Option<Time>,
    /// Time at which the worker last became idle. The pool's `idleTimeout` counts from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Time>,
    /// End of the rest that keeps the worker from work: its own, or that of its credential in any pool of the namespace. Of a
    /// refused credential: the time from which the pool probes it. Whole seconds, rounded up. Rests of a credential that are
    /// shorter than 10 s are not shown on idle workers. A time in the past is the end of an earlier rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Box<Seconds>>,
    /// Number of dispatches that the worker was reserved for.
    #[serde(default)]
    pub dispatches: i64,
    /// Rest of the worker, with the pool's `rateLimit.scope` Worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Cooldown>,
    /// What the worker waits for or why it failed, in the words of the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Conditions: `Ready`, `Healthy`.
    #[schemars(transform = schema::keyed_by("type"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
