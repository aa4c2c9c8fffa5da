//! `ContainerPool`: what the user wants, and a roll-up of what there is.
#![allow(clippy::duplicated_attributes, reason = "printer columns have types and priorities in common")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Outcome;
use super::{Condition, Period, RuntimeKind, Time, schema};

/// Every default of a pool. They reach the CRD, the CLI and the docs from here.
pub mod defaults {
    use super::{Period, Scope};

    /// `spec.max`
    pub const fn max() -> i32 {
        8
    }
    /// `spec.cooldown`
    pub const fn cooldown() -> Period {
        Period::minutes(5)
    }
    /// `spec.idleTimeout`
    pub const fn idle_timeout() -> Period {
        Period::minutes(30)
    }
    /// `spec.rateLimit.scope`
    pub const fn scope() -> Scope {
        Scope::Worker
    }
    /// `spec.rateLimit.maxCooldown`
    pub const fn max_cooldown() -> Period {
        Period::hours(1)
    }
    /// `spec.rateLimit.probeAfter`
    pub const fn probe_after() -> Period {
        Period::seconds(60)
    }
    /// `spec.rateLimit.exitCodes`: `EX_TEMPFAIL` of sysexits.h.
    pub fn exit_codes() -> Vec<i32> {
        vec![75]
    }
    /// `spec.health.interval`
    pub const fn health_interval() -> Period {
        Period::minutes(2)
    }
    /// `spec.health.timeout`
    pub const fn health_timeout() -> Period {
        Period::seconds(10)
    }
    /// `spec.health.startTimeout`
    pub const fn start_timeout() -> Period {
        Period::minutes(5)
    }
    /// `spec.dispatch.queueLimit`
    pub const fn queue_limit() -> i32 {
        1000
    }
    /// `spec.dispatch.timeout`
    pub const fn attempt_timeout() -> Period {
        Period::hours(6)
    }
    /// `spec.dispatch.history.ttl`
    pub const fn history_ttl() -> Period {
        Period::hours(1)
    }
    /// `spec.dispatch.history.limit`
    pub const fn history_limit() -> i32 {
        1000
    }
    /// `spec.mounts[].readOnly`
    pub const fn read_only() -> bool {
        true
    }
}

/// What the user wants of a pool.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "poolkeeper.dev",
    version = "v1alpha1",
    kind = "ContainerPool",
    plural = "containerpools",
    doc = "A pool of warm worker containers: what the user wants, and a roll-up of what there is.",
    shortname = "cpool",
    category = "poolkeeper",
    namespaced,
    status = "ContainerPoolStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.min",
        status_replicas_path = ".status.workers",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.ready"),
    printcolumn(name = "Busy", type_ = "integer", json_path = ".status.busy"),
    printcolumn(name = "Resting", type_ = "integer", json_path = ".status.resting"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.queued"),
    printcolumn(name = "Min", type_ = "integer", json_path = ".spec.min"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.max"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.workers", priority = 1),
    printcolumn(name = "Starting", type_ = "integer", json_path = ".status.starting", priority = 1),
    printcolumn(name = "Unhealthy", type_ = "integer", json_path = ".status.unhealthy", priority = 1),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextAvailableTime", priority = 1),
    printcolumn(name = "Runtime", type_ = "string", json_path = ".spec.runtime", priority = 1),
    printcolumn(name = "Paused", type_ = "boolean", json_path = ".spec.paused", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPoolSpec {
    /// Image of the workers. Required, unless the runtime is Process.
    #[schemars(schema_with = "schema::image")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Fewest workers: a floor, not a size. `kubectl scale --replicas` sets it. Default 0.
    #[schemars(range(min = 0, max = 100_000))]
    #[serde(default)]
    pub min: i32,
    /// Most workers. Default 8.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default = "defaults::max")]
    pub max: i32,
    /// Idle workers kept ready beyond what is busy. Default 0.
    #[schemars(range(min = 0, max = 100_000))]
    #[serde(default)]
    pub warm: i32,
    /// Rest after a rate limit that named no time. Default 5m.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::cooldown")]
    pub cooldown: Period,
    /// How long a worker above what is wanted may idle before it leaves. Default 30m.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::idle_timeout")]
    pub idle_timeout: Period,
    /// What makes the workers real. Default: the controller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RuntimeKind")]
    pub runtime: Option<RuntimeKind>,
    /// Replaces the image's ENTRYPOINT. With runtime Process: the program that is the worker.
    #[schemars(length(max = 256), inner(length(max = 131_072)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Replaces the image's CMD.
    #[schemars(length(max = 256), inner(length(max = 131_072)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment of the workers.
    #[schemars(length(max = 256), transform = schema::keyed_by("name"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Working directory of the workers.
    #[schemars(schema_with = "schema::absolute_path")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Limits and requests of the workers, as a Pod's container has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Directories of the host inside the workers.
    #[schemars(length(max = 64), transform = schema::keyed_by("mountPath"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Who the workers are, to whoever limits them. Workers are spread over them.
    #[schemars(length(max = 64), transform = schema::keyed_by("name"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// How rate limits are recognised and what they do.
    #[serde(default)]
    pub rate_limit: RateLimitPolicy,
    /// How workers are checked.
    #[serde(default)]
    pub health: HealthPolicy,
    /// How a changed template is rolled out.
    #[serde(default)]
    pub update: UpdatePolicy,
    /// When a worker is replaced although nothing is wrong with it.
    #[serde(default)]
    pub recycle: RecyclePolicy,
    /// How dispatches wait, run and are remembered.
    #[serde(default)]
    pub dispatch: DispatchPolicy,
    /// Docker hosts that the workers are spread over; their endpoints are in the controller's configuration.
    #[schemars(length(max = 64), transform = schema::keyed_by("name"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<PoolHost>,
    /// With runtime Pod: merged over the generated Pod.
    #[schemars(schema_with = "schema::open_object")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<serde_json::Map<String, serde_json::Value>>,
    /// True: nothing is reserved, created or removed.
    #[serde(default)]
    pub paused: bool,
}

impl Default for ContainerPoolSpec {
    /// As the API server would default an empty spec.
    fn default() -> Self {
        Self {
            image: None,
            min: 0,
            max: defaults::max(),
            warm: 0,
            cooldown: defaults::cooldown(),
            idle_timeout: defaults::idle_timeout(),
            runtime: None,
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            resources: None,
            mounts: Vec::new(),
            credentials: Vec::new(),
            rate_limit: RateLimitPolicy::default(),
            health: HealthPolicy::default(),
            update: UpdatePolicy::default(),
            recycle: RecyclePolicy::default(),
            dispatch: DispatchPolicy::default(),
            hosts: Vec::new(),
            pod_template: None,
            paused: false,
        }
    }
}

/// One environment variable.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct EnvVar {
    /// Its name.
    #[schemars(schema_with = "schema::env_name")]
    pub name: String,
    /// Its value. Not for secrets: see `credentials`.
    #[schemars(length(max = 131_072))]
    #[serde(default)]
    pub value: String,
}

/// Compute resources, by name (`cpu`, `memory`), in Kubernetes quantities.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Upper bounds.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, IntOrString>,
    /// What is set aside. Runtime Pod only.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, IntOrString>,
}

/// A directory or file of the host inside the workers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Absolute path on the host. It must exist.
    #[schemars(schema_with = "schema::absolute_path")]
    pub host_path: String,
    /// Absolute path in the worker.
    #[schemars(schema_with = "schema::mount_path")]
    pub mount_path: String,
    /// Default true.
    #[serde(default = "defaults::read_only")]
    pub read_only: bool,
}

/// Who a worker is, to whoever limits it: an environment variable and where its value comes from.
/// Exactly one of `secretKeyRef`, `fromEnv`, `fromFile`, `fromCommand`; the last three in local mode only.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Its name in this pool.
    #[schemars(schema_with = "schema::label")]
    pub name: String,
    /// The variable in the worker.
    #[schemars(schema_with = "schema::env_name")]
    pub env: String,
    /// A key of a Secret in the pool's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A variable of the controller's own environment.
    #[schemars(schema_with = "schema::env_name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_env: Option<String>,
    /// A file on the controller's machine; its last newline is cut off.
    #[schemars(schema_with = "schema::absolute_path")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_file: Option<String>,
    /// A command on the controller's machine; the last newline of its output is cut off.
    #[schemars(length(min = 1, max = 64), inner(length(max = 4096)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_command: Vec<String>,
    /// Most attempts at a time on this credential. None: no limit.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<i32>,
}

impl Credential {
    /// Whose limits it shares: two entries with the same identity, in any pools of the namespace, rest together.
    pub fn identity(&self) -> String {
        if let Some(s) = &self.secret_key_ref {
            format!("secret/{}/{}", s.name, s.key)
        } else if let Some(v) = &self.from_env {
            format!("env/{v}")
        } else if let Some(path) = &self.from_file {
            format!("file/{path}")
        } else {
            format!("command/{}", self.from_command.join(" "))
        }
    }
}

/// A key of a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// Key in it.
    #[schemars(schema_with = "schema::secret_key")]
    pub key: String,
}

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

/// A Docker host of a pool.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct PoolHost {
    /// Name in the controller's configuration; `local` is always there.
    #[schemars(schema_with = "schema::label")]
    pub name: String,
    /// Most workers of this pool on it. None: no limit but the pool's.
    #[schemars(range(min = 0, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
}

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
