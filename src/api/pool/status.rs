//! A roll-up of what there is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::dispatch::Outcome;
use crate::api::{Condition, Time, schema};

/// A roll-up for people, except `rateLimits`, which is the truth about the pool's credentials.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPoolStatus {
    /// The generation that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Label selector of the pool's Pods, for /scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// All workers. The counts below it partition them.
    #[serde(default)]
    pub workers: i32,
    /// Idle and able to take work now.
    #[serde(default)]
    pub ready: i32,
    /// Named by a dispatch.
    #[serde(default)]
    pub busy: i32,
    /// Idle, but they or their credential rest.
    #[serde(default)]
    pub resting: i32,
    /// Not Ready yet.
    #[serde(default)]
    pub starting: i32,
    /// Idle, but failed, unreachable or being deleted.
    #[serde(default)]
    pub unhealthy: i32,
    /// Dispatches that wait.
    #[serde(default)]
    pub queued: i32,
    /// Workers made from the present template.
    #[serde(default)]
    pub updated: i32,
    /// When the next worker can take work, if all rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_available_time: Option<Time>,
    /// Workers that are not simply fine, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_ready: Vec<NotReady>,
    /// The newest finished dispatches, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Recent>,
    /// Rests of credentials, where `rateLimit.scope` is Credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<CredentialRest>,
    /// Set while starts fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_backoff: Option<StartBackoff>,
    /// `Ready`, `Progressing`, `ScalingLimited`, `RequestsAccepted`, `RuntimeAllowed`.
    #[schemars(transform = schema::keyed_by("type"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A worker that is not simply fine.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// Name of the Worker.
    pub worker: String,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Until when, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// A finished dispatch.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Recent {
    /// Name of the Dispatch.
    pub dispatch: String,
    /// Worker of its last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// How its last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Outcome")]
    pub outcome: Option<Outcome>,
    /// When its last attempt was assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// Rest of one credential.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRest {
    /// Secret identity: `secret/NAME/KEY`, `env/NAME`, ...
    pub key: String,
    /// No dispatch before this. None with `parked` false: not resting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// True after Unauthorized: rests until it is cleared or changed.
    #[serde(default)]
    pub parked: bool,
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

/// Set while starts fail.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct StartBackoff {
    /// Failed starts in a row.
    pub failures: i32,
    /// No start before this.
    pub until: Time,
    /// Exit code and last lines of the newest failure, and what to set.
    pub message: String,
}
