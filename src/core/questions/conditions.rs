//! Which conditions of a pool say that something is wrong.

use crate::api::Condition;
use crate::api::vocabulary::{PoolProgressing, PoolScalingLimited, Reason};

/// True if there is nothing to say about a condition of a pool. Two of them are about something that happens, the others about something
/// that should be.
pub fn is_fine(condition: &Condition) -> bool {
    match &*condition.type_ {
        PoolProgressing::CONDITION => condition.reason == PoolProgressing::Steady.as_str(),
        PoolScalingLimited::CONDITION => !condition.is_true(),
        _ => condition.is_true(),
    }
}
