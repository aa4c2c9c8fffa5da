//! What a pool does about limits, health, updates, age and dispatches.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use crate::api::{Period, schema};

/// What rests after a rate limit.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The worker that met it.
    Worker,
    /// Every worker with the same credential.
    Credential,
}

/// How rate limits are recognised and what they do.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitPolicy {
    /// What rests. Default Worker.
    #[serde(default = "defaults::scope")]
    pub scope: Scope,
    /// The doubling of `cooldown` stops here; a time that the server named is never cut. Default 1h.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::max_cooldown")]
    pub max_cooldown: Period,
    /// After a rest one attempt goes first; the others follow when it succeeded or ran this long. Default 60s.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::probe_after")]
    pub probe_after: Period,
    /// Exit codes that mean RateLimited. Default 75.
    #[schemars(length(max = 64), inner(range(min = 1, max = 255)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default = "defaults::exit_codes")]
    pub exit_codes: Vec<i32>,
    /// Regular expressions over the output, with the named groups `retryAfter` and `resetAt`, and names of presets.
    #[schemars(length(max = 64), inner(length(min = 1, max = 1024)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
}

impl Default for RateLimitPolicy {
    fn default() -> Self {
        Self {
            scope: defaults::scope(),
            max_cooldown: defaults::max_cooldown(),
            probe_after: defaults::probe_after(),
            exit_codes: defaults::exit_codes(),
            patterns: Vec::new(),
        }
    }
}

/// How workers are checked.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HealthPolicy {
    /// Time between two checks of a worker; a death is seen at once, without them. Default 2m.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::health_interval")]
    pub interval: Period,
    /// A check that takes longer has failed. Default 10s.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::health_timeout")]
    pub timeout: Period,
    /// A worker that is not Ready after this has failed. Default 5m.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::start_timeout")]
    pub start_timeout: Period,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self {
            interval: defaults::health_interval(),
            timeout: defaults::health_timeout(),
            start_timeout: defaults::start_timeout(),
        }
    }
}

/// How a changed template is rolled out.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct UpdatePolicy {
    /// How many workers, or what share of them, may be away because of an update. Default 25%.
    #[schemars(schema_with = "schema::number_or_percent")]
    #[serde(default = "max_unavailable")]
    pub max_unavailable: IntOrString,
}

fn max_unavailable() -> IntOrString {
    IntOrString::String("25%".to_owned())
}

impl Default for UpdatePolicy {
    fn default() -> Self {
        Self { max_unavailable: max_unavailable() }
    }
}

/// When a worker is replaced although nothing is wrong with it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RecyclePolicy {
    /// After this many dispatches. Default 0: never.
    #[schemars(range(min = 0))]
    #[serde(default)]
    pub after_dispatches: i64,
    /// At this age. Default `0s`: never.
    #[serde(default)]
    pub max_age: Period,
}

/// How dispatches wait, run and are remembered.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DispatchPolicy {
    /// Most dispatches that may wait; one more is refused. Default 1000.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default = "defaults::queue_limit")]
    pub queue_limit: i32,
    /// How long one may wait. Default `0s`: no limit.
    #[serde(default)]
    pub queue_timeout: Period,
    /// How long one attempt may run; `0s`: no limit. Default 6h.
    #[serde(default = "defaults::attempt_timeout")]
    pub timeout: Period,
    /// How long finished ones are kept.
    #[serde(default)]
    pub history: HistoryPolicy,
}

impl Default for DispatchPolicy {
    fn default() -> Self {
        Self {
            queue_limit: defaults::queue_limit(),
            queue_timeout: Period::ZERO,
            timeout: defaults::attempt_timeout(),
            history: HistoryPolicy::default(),
        }
    }
}

/// How long finished dispatches are kept: until either bound is reached.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct HistoryPolicy {
    /// Default 1h.
    #[serde(default = "defaults::history_ttl")]
    pub ttl: Period,
    /// Default 1000.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default = "defaults::history_limit")]
    pub limit: i32,
}

impl Default for HistoryPolicy {
    fn default() -> Self {
        Self { ttl: defaults::history_ttl(), limit: defaults::history_limit() }
    }
}
