//! A Dispatch, from its queue to its end.

pub(super) mod commit;
mod decide;
mod fate;
mod history;
mod lease;
mod lost;
mod outcome;
mod queue;
<<<<<<< HEAD

pub use outcome::{attempt_deadline, queue_deadline};
=======
mod wait;
>>>>>>> 2041257 (Attempts after Lost: once the lost one's worker is gone by uid, and its holder has renewed its Lease; delayed in the pool's status, with a reason of its own)
