//! The present state of a pool, in sums.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::dispatch::{Outcome, is_zero};
use crate::api::{Condition, Seconds, Time, schema};

/// Summary of the pool's present state. `rateLimits` is more than a summary: the controller stores the rests of
/// credentials there.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPoolStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Label selector of the pool's Pods, for `kubectl scale` and autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Number of workers. It is the sum of ready, busy, resting, starting and unavailable.
    #[serde(default)]
    pub workers: i32,
    /// Number of workers that are idle and can take work now.
    #[serde(default)]
    pub ready: i32,
    /// Number of workers that have a dispatch.
    #[serde(default)]
    pub busy: i32,
    /// Number of idle workers that rest, or whose credential rests.
    #[serde(default)]
    pub resting: i32,
    /// Number of workers that are being started.
    #[serde(default)]
    pub starting: i32,
    /// Number of idle workers that cannot take work: they failed, cannot be reached, are cordoned or are being deleted.
    #[serde(default)]
    pub unavailable: i32,
    /// Number of dispatches that wait for a worker.
    #[serde(default)]
    pub queued: i32,
    /// Number of dispatches that wait for something else first, such as the end of the worker of a Lost attempt. They need no
    /// worker yet, and are not counted in `queued`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delayed: i32,
    /// Number of workers that match the present spec.
    #[serde(default)]
    pub updated: i32,
    /// Time at which the next worker can take work, while all of them rest. In whole seconds, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_available_time: Option<Seconds>,
    /// Workers that cannot take work, and why, and busy ones whose host does not answer. At most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_ready: Vec<NotReady>,
    /// Newest finished dispatches. At most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Recent>,
    /// Credentials of the pool that rest now or were refused, whichever pool met the limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resting_credentials: Vec<RestingCredential>,
    /// Docker hosts of `spec.hosts`, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<PoolHostStatus>,
    /// Rests of credentials that this pool met, as the controller stores them: after a rate limit if `rateLimit.scope` is Credential, or after Unauthorized.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<CredentialRest>,
    /// Present while workers do not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_backoff: Option<StartBackoff>,
    /// Conditions: `Ready`, `Dispatching`, `Progressing`, `ScalingLimited`, `RequestsAccepted`, `RuntimeAllowed`, `PatternsValid`.
    #[schemars(transform = schema::keyed_by("type"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A worker that cannot take work.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// Name of the Worker.
    pub worker: String,
    /// Reason, in one CamelCase word.
    pub reason: String,
    /// Time until which it lasts, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// A Docker host of a pool.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct PoolHostStatus {
    /// Name of the host.
    pub name: String,
    /// Number of the pool's workers on it.
    #[serde(default)]
    pub workers: i32,
    /// Reason why the host cannot be reached. It gets no new workers then, and those on it keep their places. Absent: it can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
}

/// A finished dispatch.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Recent {
    /// Name of the Dispatch.
    pub dispatch: String,
    /// Worker of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Outcome of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Outcome")]
    pub outcome: Option<Outcome>,
    /// Time at which the last attempt was assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Time>,
    /// Time at which the dispatch became final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// A credential that rests, for people.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RestingCredential {
    /// Name of the credential in this pool. The annotation `cooldown.poolkeeper.dev/NAME=clear` ends the rest.
    pub name: String,
    /// Identity of the credential, which other pools share: `secret/NAME/KEY`, `env/NAME`, `file/PATH` or `command/...`.
    pub key: String,
    /// Name of the pool that met the limit.
    pub pool: String,
    /// End of the rest, in whole seconds, rounded up. If the credential was refused: the time of the next probe, see
    /// `spec.rateLimit.parkProbe`; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Seconds>,
    /// True after Unauthorized: the credential rests until it is cleared or changed, or a probe succeeds.
    #[serde(default)]
    pub parked: bool,
    /// Number of rate limits in a row. The rest doubles with each.
    #[serde(default)]
    pub strikes: i32,
    /// Reported message, or `set by hand`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Rest of one credential.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRest {
    /// Identity of the credential: `secret/NAME/KEY`, `env/NAME`, `file/PATH` or `command/...`.
    pub key: String,
    /// End of the rest. No dispatch is assigned before it. If the credential was refused: the time from which it is probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// True after Unauthorized: the credential rests until it is cleared or changed, or a probe succeeds.
    #[serde(default)]
    pub parked: bool,
    /// Number of rate limits in a row. The rest doubles with each.
    #[serde(default)]
    pub strikes: i32,
    /// Reported message, or `set by hand`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time at which the rest was last cleared by an annotation. Attempts assigned before it do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Time>,
    /// Time up to which workers may have an older value of the credential: it was refused then, or its value changed. Workers created
    /// before, or in the same second, take no work and are replaced. While the credential is refused they are replaced only for a probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_before: Option<Time>,
}

/// Backoff while workers do not start.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct StartBackoff {
    /// Number of failed starts in a row.
    pub failures: i32,
    /// Time of the next start.
    pub until: Time,
    /// Newest failure: exit code, last lines of output, and advice.
    pub message: String,
}
