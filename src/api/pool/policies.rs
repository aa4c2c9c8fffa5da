//! Policies of a pool: rate limits, health, updates, age and dispatches.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::scope::Scope;
use crate::api::{Period, schema};

/// How rate limits are recognised, and how long they last.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitPolicy {
    /// What rests after a rate limit: the Worker that met it, or every worker with the same Credential. Default Worker.
    #[serde(default = "defaults::scope")]
    pub scope: Scope,
    /// Maximum that `cooldown` doubles to. A time that the service named is never shortened. Default 1h.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::max_cooldown")]
    pub max_cooldown: Period,
    /// Maximum time for which other attempts wait for the first one after a rest. They start earlier if it succeeds.
    /// Default 60s.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::probe_after")]
    pub probe_after: Period,
    /// Time after which a credential that was refused is probed: one dispatch is tried on it, on a worker that was created
    /// since. If the credential is refused again, that costs the dispatch no retry, and the next probe follows after the same time. Pools
    /// that share a credential wait for the longest of their times. `0s`: the pool never probes. Default 1h.
    #[serde(default = "defaults::park_probe")]
    pub park_probe: Period,
    /// True: the container of a worker is paused while the worker or its credential rests. A rest then costs no processor
    /// time. It goes on before the next dispatch. With runtime Docker only. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pause: bool,
    /// Exit codes of a task that mean RateLimited. Default 75.
    #[schemars(length(max = 64), inner(range(min = 1, max = 255)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default = "defaults::exit_codes")]
    pub exit_codes: Vec<i32>,
    /// Names of presets, and regular expressions that recognise a rate limit in the last lines that a task prints, with the
    /// named groups `retryAfter` and `resetAt`. `poolkeeper run` and `poolkeeper report --output` use them; the controller does
    /// not see outputs. A word of lower-case letters, digits and hyphens is the name of a preset (`poolkeeper preset list`).
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
            park_probe: defaults::park_probe(),
            pause: false,
            exit_codes: defaults::exit_codes(),
            patterns: Vec::new(),
        }
    }
}

/// Health checks of the workers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HealthPolicy {
    /// Time between two checks of a worker. The end of a worker is noticed at once, without a check. Default 2m.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::health_interval")]
    pub interval: Period,
    /// Time after which a check has failed. Default 10s.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::health_timeout")]
    pub timeout: Period,
    /// Time after which the start of a worker has failed. Default 5m.
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

/// Replacement of workers after a change of the pool.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct UpdatePolicy {
    /// Maximum number of workers, or share of them in percent, that an update may take away at the same time. A share is
    /// rounded down. If it comes to 0, a worker is removed only when `maxSurge` has brought another one up; where
    /// `maxSurge` allows none, it counts as 1. Default 25%.
    #[schemars(schema_with = "schema::number_or_percent")]
    #[serde(default = "max_unavailable")]
    pub max_unavailable: IntOrString,
    /// Maximum number of workers, or share of them in percent, that an update may create before it removes others. A share
    /// is rounded up. The pool never has more than `max` workers, so there is no surge in a pool that has `max` workers
    /// already. 0 to 100000. Default 1.
    #[schemars(schema_with = "schema::number_or_percent_or_none")]
    #[serde(default = "max_surge")]
    pub max_surge: IntOrString,
}

const fn max_surge() -> IntOrString {
    IntOrString::Int(1)
}

fn max_unavailable() -> IntOrString {
    IntOrString::String("25%".to_owned())
}

impl Default for UpdatePolicy {
    fn default() -> Self {
        Self { max_unavailable: max_unavailable(), max_surge: max_surge() }
    }
}

/// Replacement of workers by age and use.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RecyclePolicy {
    /// Number of dispatches after which a worker is replaced. Default 0: never.
    #[schemars(range(min = 0))]
    #[serde(default)]
    pub after_dispatches: i64,
    /// Age at which a worker is replaced. Default `0s`: never.
    #[serde(default)]
    pub max_age: Period,
}

/// Limits and history of the pool's dispatches.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DispatchPolicy {
    /// Maximum number of dispatches that can wait for their first attempt. A further one is refused with QueueFull.
    /// Default 1000.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default = "defaults::queue_limit")]
    pub queue_limit: i32,
    /// Time after which a waiting dispatch expires. Default `0s`: no limit.
    #[serde(default)]
    pub queue_timeout: Period,
    /// Time after which a running attempt is ended as TimedOut. `0s`: no limit. Default 6h.
    #[serde(default = "defaults::attempt_timeout")]
    pub timeout: Period,
    /// How long finished dispatches are retained.
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

/// How long finished dispatches are retained: until `ttl` or `limit` is reached.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct HistoryPolicy {
    /// Time after which a finished dispatch is deleted. Default 1h.
    #[serde(default = "defaults::history_ttl")]
    pub ttl: Period,
    /// Maximum number of finished dispatches. The oldest are deleted first. Default 1000.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default = "defaults::history_limit")]
    pub limit: i32,
}

impl Default for HistoryPolicy {
    fn default() -> Self {
        Self { ttl: defaults::history_ttl(), limit: defaults::history_limit() }
    }
}
