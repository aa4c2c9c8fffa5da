//! `ContainerPool`: the desired state of a pool, and a summary of its present state.
#![allow(clippy::duplicated_attributes, reason = "printer columns have types and priorities in common")]

pub mod defaults;
mod directory;
mod policies;
mod scope;
mod status;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use directory::{LoginDirectory, RunAs};
pub use policies::{DispatchPolicy, HealthPolicy, HistoryPolicy, RateLimitPolicy, RecyclePolicy, UpdatePolicy};
pub use scope::Scope;
pub use status::{
    ContainerPoolStatus, CredentialRest, NotReady, PoolHostStatus, Recent, RestingCredential, StartBackoff,
};

use super::{Period, RuntimeKind, schema};

/// Desired state of a pool.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "poolkeeper.dev",
    version = "v1alpha1",
    kind = "ContainerPool",
    plural = "containerpools",
    doc = "A pool of warm worker containers, which dispatches are assigned to.",
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
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Reason of the condition Ready."
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.ready",
        description = "Workers that can take work now."
    ),
    printcolumn(name = "Busy", type_ = "integer", json_path = ".status.busy"),
    printcolumn(name = "Resting", type_ = "integer", json_path = ".status.resting"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.queued"),
    printcolumn(
        name = "Dispatching",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Dispatching")].reason"#,
        description = "Whether queued work goes on: the reason of the condition Dispatching."
    ),
    printcolumn(name = "Min", type_ = "integer", json_path = ".spec.min"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.max"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.workers", priority = 1),
    printcolumn(name = "Starting", type_ = "integer", json_path = ".status.starting", priority = 1),
    printcolumn(
        name = "Unavailable",
        type_ = "integer",
        json_path = ".status.unavailable",
        description = "Idle workers that cannot take work. status.notReady says why.",
        priority = 1
    ),
    printcolumn(name = "Delayed", type_ = "integer", json_path = ".status.delayed", priority = 1),
    printcolumn(
        name = "Rests-Until",
        type_ = "string",
        json_path = ".status.nextAvailableTime",
        description = "While all workers rest: when the next can take work.",
        priority = 1
    ),
    printcolumn(name = "Runtime", type_ = "string", json_path = ".spec.runtime", priority = 1),
    printcolumn(name = "Paused", type_ = "boolean", json_path = ".spec.paused", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPoolSpec {
    /// Container image of the workers. Required, except with `runtime: Process`, which has none.
    #[schemars(schema_with = "schema::image")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Minimum number of workers. The pool grows from here up to `max` with its queue. `kubectl scale --replicas` sets it.
    /// Default 0.
    #[schemars(range(min = 0, max = 100_000))]
    #[serde(default)]
    pub min: i32,
    /// Maximum number of workers. Default 8.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default = "defaults::max")]
    pub max: i32,
    /// Number of idle workers to keep ready in addition to the busy ones, up to `max`. Default 0.
    #[schemars(range(min = 0, max = 100_000))]
    #[serde(default)]
    pub warm: i32,
    /// Rest after a rate limit that was reported without a time. It doubles with each further limit, up to
    /// `rateLimit.maxCooldown`. Default 5m.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::cooldown")]
    pub cooldown: Period,
    /// Time after which an idle worker is removed, if the pool has more workers than it needs. Default 30m.
    #[schemars(schema_with = "schema::period_above_zero")]
    #[serde(default = "defaults::idle_timeout")]
    pub idle_timeout: Period,
    /// Runtime of the workers: Pod, Docker or Process. Default: the default of the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RuntimeKind")]
    pub runtime: Option<RuntimeKind>,
    /// Command of the workers, in place of the image's ENTRYPOINT. It must keep running, since tasks run next to it. With
    /// runtime Process: the program that is the worker.
    #[schemars(length(max = 256), inner(length(max = 131_072)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments of the command, in place of the image's CMD.
    #[schemars(length(max = 256), inner(length(max = 131_072)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables of the workers.
    #[schemars(length(max = 256), transform = schema::keyed_by("name"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Working directory of the workers.
    #[schemars(schema_with = "schema::absolute_path")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Resource limits and requests of each worker, as in the container of a Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Directories and files of the host that are mounted into the workers.
    #[schemars(length(max = 64), transform = schema::keyed_by("mountPath"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Credentials that the workers use at the rate-limited service. Workers are spread evenly over them.
    #[schemars(length(max = 64), transform = schema::keyed_by("name"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// How rate limits are recognised, and how long they last.
    #[serde(default)]
    pub rate_limit: RateLimitPolicy,
    /// Health checks of the workers.
    #[serde(default)]
    pub health: HealthPolicy,
    /// Replacement of workers after a change of the pool.
    #[serde(default)]
    pub update: UpdatePolicy,
    /// Replacement of workers by age and use.
    #[serde(default)]
    pub recycle: RecyclePolicy,
    /// Limits and history of the pool's dispatches.
    #[serde(default)]
    pub dispatch: DispatchPolicy,
    /// Docker hosts that the workers are spread over. Their addresses are in the controller's configuration.
    #[schemars(length(max = 64), transform = schema::keyed_by("name"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<PoolHost>,
    /// Time between the order to stop a worker and its end by force. A task that still runs in it, since its Pod is deleted
    /// or evicted, has this long to save its work. In whole seconds, at most 24h. `0s`: the end comes at once. Default: 5s
    /// with runtime Pod, 2s with Docker and Process.
    #[schemars(schema_with = "schema::grace")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<Period>,
    /// Time for which a busy worker stays protected from eviction after its node was cordoned, as `kubectl drain` does it.
    /// Then the next eviction ends its attempt as WorkerLost. Idle workers leave the node at once. `0s`: workers are not
    /// protected. Runtime Pod only. Default 1h.
    #[serde(default = "defaults::drain_timeout")]
    pub drain_timeout: Period,
    /// Part of a Pod that is merged over each generated Pod. Runtime Pod only.
    #[schemars(schema_with = "schema::open_object")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<serde_json::Map<String, serde_json::Value>>,
    /// True: the pool assigns no dispatch, and creates and removes no worker, except that idle workers leave cordoned nodes.
    /// Running attempts go on.
    #[serde(default)]
    pub paused: bool,
}

impl Default for ContainerPoolSpec {
    /// The defaults that the API server would fill into an empty spec.
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
            termination_grace_period: None,
            drain_timeout: defaults::drain_timeout(),
            pod_template: None,
            paused: false,
        }
    }
}

/// One environment variable.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(schema_with = "schema::env_name")]
    pub name: String,
    /// Value of the variable. Use `credentials` for secrets.
    #[schemars(length(max = 131_072))]
    #[serde(default)]
    pub value: String,
}

/// Compute resources, by name (`cpu`, `memory`), in Kubernetes quantities.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Maximum amounts.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, IntOrString>,
    /// Reserved amounts. Runtime Pod only.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, IntOrString>,
}

/// A directory or file of the host that is mounted into the workers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Absolute path on the host. It must exist there.
    #[schemars(schema_with = "schema::absolute_path")]
    pub host_path: String,
    /// Absolute path in the worker.
    #[schemars(schema_with = "schema::mount_path")]
    pub mount_path: String,
    /// True: workers cannot write to it. Default true.
    #[serde(default = "defaults::read_only")]
    pub read_only: bool,
}

/// A credential: an environment variable of the worker, and where its value comes from. It needs exactly one of
/// `secretKeyRef`, `fromEnv`, `fromFile`, `fromCommand` and `directory`. The last four are for local mode.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Name of the credential in this pool.
    #[schemars(schema_with = "schema::label")]
    pub name: String,
    /// Name of the environment variable in the worker.
    #[schemars(schema_with = "schema::env_name")]
    pub env: String,
    /// Key of a Secret in the pool's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// Name of an environment variable of the controller. Local mode only.
    #[schemars(schema_with = "schema::env_name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_env: Option<String>,
    /// File on the controller's machine. Newlines at its end are removed. Local mode only.
    #[schemars(schema_with = "schema::absolute_path")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_file: Option<String>,
    /// Command that prints the value, run on the controller's machine. Newlines at the end are removed. Local mode only.
    #[schemars(length(min = 1, max = 64), inner(length(max = 4096)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_command: Vec<String>,
    /// Directory of the host with the login of an agent. The variable names it. Local mode only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<LoginDirectory>,
    /// File of the worker that holds the value, such as `/run/token`; the variable then holds the path of the file. `docker inspect`
    /// and the environment do not show the value, and it may have several lines. With runtime Process the path is another one.
    /// Docker: an engine on this machine only.
    #[schemars(schema_with = "schema::mount_path")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Maximum number of attempts on this credential at the same time, over all pools of the namespace. Default: no limit.
    /// With `directory`: also the maximum number of workers that have the directory, over all pools and namespaces, and 1 by default.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<i32>,
}

impl Credential {
    /// Two entries with the same identity, in any pools of the namespace, share their rests.
    pub fn identity(&self) -> String {
        if let Some(s) = &self.secret_key_ref {
            format!("secret/{}/{}", s.name, s.key)
        } else if let Some(v) = &self.from_env {
            format!("env/{v}")
        } else if let Some(path) = &self.from_file {
            format!("file/{path}")
        } else if let Some(directory) = &self.directory {
            format!("directory{}", directory.plain_path())
        } else {
            format!("command/{}", self.from_command.join(" "))
        }
    }
}

/// Key of a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// Key in the Secret.
    #[schemars(schema_with = "schema::secret_key")]
    pub key: String,
}

/// A Docker host of a pool.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct PoolHost {
    /// Name of the host in the controller's configuration. `local` always exists.
    #[schemars(schema_with = "schema::label")]
    pub name: String,
    /// Maximum number of workers of this pool on the host. Default: the pool's `max`.
    #[schemars(range(min = 0, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
}
