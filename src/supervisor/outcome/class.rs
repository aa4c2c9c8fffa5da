//! What the output of a program says about its end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::dispatch::ReportedOutcome;

/// A kind of end that a preset or a pattern recognises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// The service refused for now. With or without a time.
    RateLimited,
    /// A quota or the credit of the account is used up. Waiting for minutes does not help.
    Exhausted,
    /// The service refused the credential.
    Unauthorized,
    /// The service is busy. No credential is at fault.
    Overloaded,
    /// A failure that looks like one of the others and is none of them.
    Failed,
}

impl Class {
    /// The outcome to report. `timed`: the output names when the service can be used again.
    pub const fn outcome(self, timed: bool) -> ReportedOutcome {
        match (self, timed) {
            (Self::RateLimited, _) | (Self::Exhausted, true) => ReportedOutcome::RateLimited,
            // Without a time only a person can end it, by paying: the credential is parked.
            (Self::Exhausted, false) | (Self::Unauthorized, _) => ReportedOutcome::Unauthorized,
            (Self::Overloaded, _) => ReportedOutcome::Overloaded,
            (Self::Failed, _) => ReportedOutcome::Failed,
        }
    }

    /// True if a time in the output is a rest of the credential.
    pub const fn rests(self) -> bool {
        matches!(self, Self::RateLimited | Self::Exhausted)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RateLimited => "rate limit",
            Self::Exhausted => "quota or credit used up",
            Self::Unauthorized => "credential refused",
            Self::Overloaded => "service overloaded",
            Self::Failed => "failed",
        })
    }
}
