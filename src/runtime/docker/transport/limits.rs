//! How long a connection may take and be silent, and a connection that could not be made.

use std::io;
use std::time::Duration;

/// How long it may take to make a connection.
pub const CONNECT: Duration = Duration::from_secs(20);
/// The time between two signs of life that are asked for on a quiet connection, and how many may be missing: then it is broken.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
pub const MISSING: u32 = 3;
/// A connection that could not be made, in words that say what to do.
#[derive(thiserror::Error, Debug)]
#[error("{0}")]
pub struct Problem(pub String);

impl From<Problem> for io::Error {
    fn from(problem: Problem) -> Self {
        Self::other(problem)
    }
}
