//! A Dispatch, from its queue to its end.

pub(super) mod commit;
mod decide;
mod delay;
mod fate;
mod history;
mod lease;
mod lost;
mod outcome;
mod queue;
mod wait;

pub use fate::is_settled;
pub use outcome::{attempt_deadline, queue_deadline, queued_since};
