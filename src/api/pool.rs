//! `ContainerPool`: what the user wants, and a roll-up of what there is.
#![allow(clippy::duplicated_attributes, reason = "printer columns have types and priorities in common")]

pub mod defaults;
mod policies;
mod status;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use policies::{DispatchPolicy, HealthPolicy, HistoryPolicy, RateLimitPolicy, RecyclePolicy, Scope, UpdatePolicy};
pub use status::{ContainerPoolStatus, CredentialRest, NotReady, Recent, StartBackoff};

use super::{Period, RuntimeKind, schema};

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
