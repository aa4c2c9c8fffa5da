//! The schema of the view. Times are those of the server.

use jiff::Timestamp;
use serde::Serialize;

use super::store::Lost;
use super::text::Text;
use crate::api::dispatch::{DispatchPhase, Outcome};
use crate::api::{Condition, RuntimeKind};

/// Everything that is shown.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// Time of the view.
    pub now: Timestamp,
    /// False until every kind was listed once: something may be missing.
    pub complete: bool,
    /// Present while the server is lost. The objects are as they were last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// Pools, by namespace and name.
    pub pools: Vec<Pool>,
    /// Workers, by namespace, pool and ordinal.
    pub workers: Vec<Worker>,
    /// Dispatches: open ones, then those that wait, in the order of their queues, then finished ones, the newest first.
    pub dispatches: Vec<Dispatch>,
    /// Credentials, by namespace, name and key.
    pub credentials: Vec<Credential>,
}

/// A pool.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Namespace.
    pub namespace: Text,
    /// Name.
    pub name: Text,
    /// Time at which it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Runtime, if the pool names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeKind>,
    /// Image, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `spec.min`.
    pub min: i32,
    /// `spec.max`.
    pub max: i32,
    /// True if it is paused.
    pub paused: bool,
    /// True once its deletion was requested.
    pub deleting: bool,
    /// Its workers and dispatches, in numbers.
    pub counts: Counts,
    /// What its queue waits for, or would wait for.
    pub wait: Wait,
    /// The head of its queue waits since then. Absent: nothing waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_since: Option<Timestamp>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// Its Docker hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
}

/// Numbers of workers and dispatches of a pool.
#[derive(Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Workers: the sum of the next five.
    pub workers: usize,
    /// Idle, and can take work.
    pub ready: usize,
    /// Have a dispatch.
    pub busy: usize,
    /// Idle, and they or their credentials rest.
    pub resting: usize,
    /// Are being started.
    pub starting: usize,
    /// Idle, and cannot take work for another reason.
    pub unavailable: usize,
    /// Dispatches that wait for a worker.
    pub queued: usize,
    /// Dispatches that wait for a time, or for the end of the worker of a Lost attempt.
    pub delayed: usize,
    /// Finished dispatches that succeeded.
    pub succeeded: usize,
    /// Other finished dispatches.
    pub failed: usize,
}

/// Why something waits.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// In one word.
    pub reason: Text,
    /// In words.
    pub words: Text,
    /// Time at which it may end, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A Docker host of a pool.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// Name.
    pub name: String,
    /// Number of the pool's workers on it.
    pub workers: i32,
    /// Why it cannot be reached. Absent: it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
}

/// What a worker can do.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It has a dispatch.
    Busy,
    /// It is idle, and can take work.
    Ready,
    /// It is idle, and it or its credential rests or was refused.
    Resting,
    /// It is being started.
    Starting,
    /// It is being deleted.
    Draining,
    /// It cannot take work: it is cordoned, not well, or its host does not answer.
    Unavailable,
    /// Its container is gone, or never became ready.
    Failed,
}

/// A worker.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Namespace.
    pub namespace: Text,
    /// Name.
    pub name: Text,
    /// Name of its pool.
    pub pool: String,
    /// What it can do.
    pub standing: Standing,
    /// Since when, as far as the objects show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Time at which it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Its dispatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<String>,
    /// Number of the attempt that it has, or 0.
    pub attempt: i32,
    /// Number of the dispatches that it had so far.
    pub dispatches: i64,
    /// Its rest, or that of its credential, whichever ends later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
    /// Name of its credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Runtime.
    pub runtime: RuntimeKind,
    /// Name of its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What it waits for, or what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A rest of a worker or of a credential.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rest {
    /// End of the rest; if it was refused, the time of the next probe. Absent: none is planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// True if the credential was refused.
    pub parked: bool,
    /// Number of limits in a row.
    pub strikes: i32,
    /// What was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A dispatch.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Dispatch {
    /// Namespace.
    pub namespace: Text,
    /// Name.
    pub name: Text,
    /// Name of its pool.
    pub pool: String,
    /// Phase.
    pub phase: DispatchPhase,
    /// Number of its newest attempt. 0: there was none.
    pub attempt: i32,
    /// Priority.
    pub priority: i32,
    /// Time at which it was created: queues go by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Its worker, while an attempt is open; else that of its last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The beginning of its wait or of its attempt, or its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// No attempt begins before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Its place in the queue, from 1, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// Why it waits, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// Time at which it expires in the queue, or at which its attempt times out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// How its last closed attempt ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What was said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A credential, in all pools of a namespace that have it.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Namespace.
    pub namespace: Text,
    /// Its name in the first of its pools.
    pub name: String,
    /// What it is, such as `secret/NAME/KEY`. Pools with the same one share its rests.
    pub key: String,
    /// Names of the pools that have it.
    pub pools: Vec<Text>,
    /// Number of workers with it.
    pub workers: usize,
    /// Number of those that have a dispatch.
    pub busy: usize,
    /// The least `maxConcurrent` of its pools, if any has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<i32>,
    /// Its rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
    /// Name of the pool that met the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met_by: Option<String>,
}
