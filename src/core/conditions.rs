//! Sets conditions. Their time changes only when their status does.

use super::Now;
use crate::api::vocabulary::Reason;
use crate::api::{Condition, Time};

/// Sets the condition that a reason belongs to.
pub(super) fn set<R: Reason>(list: &mut Vec<Condition>, reason: R, message: &str, now: Now) {
    let (status, reason) = (Condition::status_word(reason.status()), reason.as_str());
    let at = list.iter_mut().find(|c| c.type_ == R::CONDITION);
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
            type_: R::CONDITION.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: Time::from(now.wall),
            observed_generation: None,
        }),
    }
}
