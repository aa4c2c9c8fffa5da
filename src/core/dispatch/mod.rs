//! A Dispatch, from its queue to its end.

pub(super) mod commit;
mod decide;
mod fate;
mod history;
mod lease;
mod outcome;
mod queue;

pub use outcome::{attempt_deadline, queue_deadline};
