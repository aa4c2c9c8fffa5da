//! What the auditor reads: a history of writes, what a runtime did, and when conclusions are sound.

use std::collections::BTreeMap;
use std::time::Duration;

use poolkeeper::local::Record;
use poolkeeper::runtime::Instance;

use crate::fake::FakeEvent;

/// What must not be stored anywhere: the value of every credential.
pub const SECRET: &str = "sk-ant-planted-a5e1";
/// Whose writes are those of a controller that is no more, and come late.
pub const GHOST: &str = "ghost";
/// How long a holder's Lease holds, in seconds.
pub const LEASE_SECONDS: i32 = 20;

/// When a write took effect, and whose it was.
#[derive(Clone, Debug)]
pub struct Mark {
    pub mono: Duration,
    /// `user` and `holders` are not controllers; every other writer is.
    pub writer: String,
}

/// A credential got another value.
#[derive(Clone, Debug)]
pub struct NewValue {
    /// When.
    pub mono: Duration,
    /// [`poolkeeper::api::pool::Credential::identity`].
    pub key: String,
    /// Workers that run see it.
    pub in_place: bool,
    /// What the clock of the controller said that got it. None: there was no controller.
    pub noticed: Option<jiff::Timestamp>,
}

/// All that is left of a run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What the store remembers, in order.
    pub records: Vec<Record>,
    /// When each write took effect, and whose it was.
    pub marks: BTreeMap<u64, Mark>,
    /// What the runtime remembers. `at` counts as the number of the write after which it was, in microseconds.
    pub events: Vec<FakeEvent>,
    /// What runs at the end.
    pub instances: Vec<Instance>,
    /// From when to when one controller was active, and nothing was wrong.
    pub calm: Vec<(Duration, Duration)>,
    /// The same, where hosts that are cut off do not count.
    pub calm_but_for_hosts: Vec<(Duration, Duration)>,
    /// From when to when a host was cut off.
    pub unreachable: Vec<(String, Duration, Duration)>,
    /// When all was quiet; None: never.
    pub quiet_at: Option<Duration>,
    pub tally: BTreeMap<String, u64>,
    /// What went wrong while it ran.
    pub accidents: Vec<String>,
    /// Credentials that got another value.
    pub new_values: Vec<NewValue>,
    /// The clocks of the server and of all controllers always showed the same time.
    pub clocks_agree: bool,
}
