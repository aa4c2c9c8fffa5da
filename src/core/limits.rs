//! Constants that several rules share.

use std::time::Duration;

/// A worker that ends this soon after it became Ready counts as one that did not start.
pub const EARLY_END: Duration = Duration::from_secs(10);
/// An idle worker that missed this many checks in a row is replaced.
pub const MISSED_CHECKS: u32 = 3;
