//! Types that several kinds share.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A point in time as stored: RFC 3339, six fractional digits.
pub type Time = v1::MicroTime;
/// A point in time that is stored to be read by people: RFC 3339, in whole seconds. [`seconds`] makes one.
pub type Seconds = v1::Time;

/// A time in whole seconds, rounded up: it is not over before the time that it was made from.
pub fn seconds(t: Timestamp) -> Seconds {
    let up = t.as_second() + i64::from(t.subsec_nanosecond() > 0);
    v1::Time(Timestamp::from_second(up).unwrap_or(Timestamp::MAX))
}

/// API group of all three kinds.
pub const GROUP: &str = "poolkeeper.dev";
/// API version of all three kinds.
pub const VERSION: &str = "v1alpha1";

/// One observation of an object, in the shape of `metav1.Condition`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition, in CamelCase.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason for the status, in one CamelCase word.
    pub reason: String,
    /// Reason for the status, for people.
    #[serde(default)]
    pub message: String,
    /// Time at which `status` last changed.
    pub last_transition_time: Time,
    /// Generation of the spec that the condition describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// What the workers run in.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuntimeKind {
    /// Pods in the namespace of the pool.
    Pod,
    /// Containers of a Docker Engine.
    Docker,
    /// Process groups on the controller's own machine. Local mode only.
    Process,
}

impl RuntimeKind {
    /// Its name in objects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Docker => "Docker",
            Self::Process => "Process",
        }
    }
}

impl std::fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
