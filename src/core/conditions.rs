//! Conditions change their time only when their status changes.

use super::Now;
use crate::api::{Condition, Time};

/// Sets one condition.
pub(super) fn set(list: &mut Vec<Condition>, type_: &str, status: bool, reason: &str, message: &str, now: Now) {
    let status = if status { "True" } else { "False" };
    let at = list.iter_mut().find(|c| c.type_ == type_);
    match at {
        Some(c) => {
            if c.status != status {
                c.last_transition_time = Time::from(now.wall);
                status.clone_into(&mut c.status);
            }
            reason.clone_into(&mut c.reason);
            message.clone_into(&mut c.message);
        }
        None => list.push(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: Time::from(now.wall),
            observed_generation: None,
        }),
    }
}
