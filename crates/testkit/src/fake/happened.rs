//! What a simulated runtime records.
use std::time::Duration;

use jiff::Timestamp;
use poolkeeper::runtime::InstanceKey;

/// Something that really happened.
#[derive(Clone, Debug, PartialEq)]
pub struct FakeEvent {
    /// By the clock that the world was made with.
    pub at: Timestamp,
    /// The same, on the monotonic clock.
    pub mono: Duration,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An instance was made. `nth` is 1 unless this uid had one before.
    Started { key: InstanceKey, host: String, id: String, nth: u32, by: String },
    /// An instance ended by itself or was killed; `lost` are the tasks that ended with it.
    Ended { key: InstanceKey, cause: Cause, lost: Vec<(String, i32)> },
    /// An instance was removed on the word of a controller; `lost` are the tasks that ended with it. `ran`: it
    /// had not ended before.
    Stopped { key: InstanceKey, by: String, ran: bool, lost: Vec<(String, i32)> },
    /// A task began; `beside` are those that ran in the same instance at that moment.
    TaskStarted { key: InstanceKey, dispatch: String, attempt: i32, beside: Vec<(String, i32)> },
    /// An instance was made to stand still, or to go on; `tasks` are those that run in it.
    PauseSet { key: InstanceKey, by: String, paused: bool, tasks: Vec<(String, i32)> },
    /// A task ended by itself.
    TaskEnded { key: InstanceKey, dispatch: String, attempt: i32 },
}

/// Why an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its command ended.
    Exited,
    /// The fault injector killed it.
    Killed,
    /// The fault injector removed it without a trace.
    Vanished,
}
