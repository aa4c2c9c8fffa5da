//! Says on a dispatch why it waits.
//!
//! That costs a write, so it is said only once the reason has lasted. The write is a compare-and-swap of a status that waits,
//! and changes nothing that the commit protocol reads. If it loses a race, the next look sees what the dispatch is by then.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::commit::waits;
use crate::api::Condition;
use crate::api::vocabulary::{DispatchAssigned, Reason};
use crate::core::agenda::Wake;
use crate::core::object::dispatch_status;
use crate::core::{Core, Now, ObjectKey, Subject, Verb};

/// How long a reason must last before it is written. Most waits are over by then.
const LASTS: Duration = Duration::from_secs(10);
/// At most once in this time the words change while the reason stays. Words have times and names of Pods in them, which
/// change at every try.
const WORDS_EVERY: Duration = Duration::from_secs(60);

impl Core {
    /// Writes on a waiting dispatch why it waits, if that has lasted and it does not say so. `words_count`: other words for the
    /// same reason are written too.
    #[allow(clippy::too_many_arguments, reason = "what is said, and when")]
    pub(in crate::core) fn explain_wait(
        &mut self,
        key: &ObjectKey,
        reason: DispatchAssigned,
        text: &str,
        until: Option<Timestamp>,
        words_count: bool,
        now: Now,
        wake: &mut Wake,
    ) {
        let Some(e) = self.dispatches.get_mut(key) else { return };
        let (since, written) = e.waits_for(reason, now);
        let base = e.obj().clone();
        let said = Condition::find::<DispatchAssigned>(&dispatch_status(&base).conditions);
        let due = match said.filter(|c| !c.is_true() && c.reason == reason.as_str()) {
            Some(c) if !words_count || c.message == text => return,
            Some(_) => (written + WORDS_EVERY).max(since + LASTS),
            // While two controllers lead, each would correct the words of the other at every look.
            None => since.max(written) + LASTS,
        };
        let subject = Subject::Dispatch(key.clone());
        if self.agenda.is_locked(&subject) {
            return; // the end of its write marks the dispatch and its pool
        }
        let due = self.agenda.blocked_until(&subject, now).map_or(due, |until| until.max(due));
        if due > now.mono {
            wake.after(due);
            return;
        }
        if let Some(e) = self.dispatches.get_mut(key) {
            e.wait_is_written(now);
        }
        let status = waits(&base, reason, text, until, now);
        self.write(subject, Verb::DispatchStatus(Arc::clone(&base), Box::new(status)));
    }
}
