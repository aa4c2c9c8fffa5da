//! `Worker`: one instance of a container in one slot of a pool.
#![allow(clippy::duplicated_attributes, reason = "printer columns have types and priorities in common")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, RuntimeKind, Time, schema};

/// What a Worker is made from. Written once, by the pool reconciler; only `cordoned` may change.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "poolkeeper.dev",
    version = "v1alpha1",
    kind = "Worker",
    plural = "workers",
    doc = "One instance of a container in one slot of a pool. Made and deleted by the controller.",
    shortname = "pkw",
    category = "poolkeeper",
    namespaced,
    status = "WorkerStatus",
    derive = "PartialEq",
    selectable = ".spec.pool",
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.pool"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Dispatch", type_ = "string", json_path = ".status.dispatch.name"),
    printcolumn(
        name = "Until",
        type_ = "string",
        json_path = ".status.cooldown.until",
        description = "It gets no dispatch before this."
    ),
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
    /// `metadata.generation` of the pool when this Worker was made.
    #[schemars(range(min = 0))]
    pub pool_generation: i64,
    /// What makes it real: the pool's runtime, or the controller's default, when this Worker was made.
    pub runtime: RuntimeKind,
    /// Name of the pool's credential that the instance gets.
    #[schemars(schema_with = "schema::label")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Name of the host that the instance runs on. None: the runtime has no hosts.
    #[schemars(schema_with = "schema::label")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Hash of the pool's fields that shape the instance, as they were written.
    #[schemars(length(min = 1, max = 128))]
    pub template_hash: String,
    /// True: gets no new dispatch.
    #[serde(default)]
    pub cordoned: bool,
}

/// Where a Worker is in its life.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkerPhase {
    /// The instance is not Ready yet.
    #[default]
    Starting,
    /// The instance runs and no dispatch has it.
    Ready,
    /// A dispatch has it.
    Busy,
    /// It is being deleted.
    Draining,
    /// The instance is gone or never came up.
    Failed,
}

/// A dispatch as a Worker names it: attempt `attempt` of the Dispatch with this name and uid.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DispatchRef {
    /// Name of the Dispatch, in the same namespace.
    pub name: String,
    /// Its uid: a namesake made later is another one.
    pub uid: String,
    /// 1 for the first attempt.
    pub attempt: i32,
    /// When the Worker was reserved.
    pub assigned_at: Time,
}

/// The one instance that a Worker uid ever gets.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Handle {
    /// Container id, pod uid, or pid.
    pub id: String,
    /// Start time as the runtime words it: with the id it names one instance for ever.
    pub started: String,
}

/// Rest of one worker.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Cooldown {
    /// No dispatch before this. None: not resting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Rate limits in a row.
    #[serde(default)]
    pub strikes: i32,
    /// What was reported, or who set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was last cleared by hand: attempts assigned before this no longer count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Time>,
}

/// State of a Worker. Records transitions, never heartbeats.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// Where it is in its life.
    #[serde(default)]
    pub phase: WorkerPhase,
    /// Its instance, once started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    /// The reservation. An attempt runs only when the Dispatch names this Worker too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<DispatchRef>,
    /// When its last dispatch was assigned. The Worker for which this is oldest is chosen first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_dispatch_time: Option<Time>,
    /// When it last became idle: `idleTimeout` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Time>,
    /// Dispatches that it was reserved for.
    #[serde(default)]
    pub dispatches: i64,
    /// Its rest, where `rateLimit.scope` is Worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Cooldown>,
    /// What went wrong, in the runtime's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Ready`, `Healthy`.
    #[schemars(transform = schema::keyed_by("type"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
