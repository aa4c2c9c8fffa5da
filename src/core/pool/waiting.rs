//! Says on the first dispatches of a queue why they wait.
//!
//! That costs a write for each, so it is said to few, and only once the reason has lasted: a dispatch that is assigned soon,
//! or that stands far behind, costs nothing more. The write is a compare-and-swap of a status that waits, and changes nothing
//! that the commit protocol reads. If it loses a race, the next look sees what the dispatch is by then.

use std::sync::Arc;
use std::time::Duration;

use super::explain::Wait;
use crate::api::Condition;
use crate::api::vocabulary::{DispatchAssigned, Reason};
use crate::core::agenda::Wake;
use crate::core::dispatch::commit::waits;
use crate::core::object::dispatch_status;
use crate::core::{Core, Now, ObjectKey, Subject, Verb};

/// How many dispatches are told: the head of the queue, and some that people may ask about.
const TOLD: usize = 21;
/// How long a reason must last before it is told. Most waits are over by then.
const LASTS: Duration = Duration::from_secs(10);
/// At most once in this time the words change while the reason stays. Words have times and names of Pods in them, which
/// change at every try.
const WORDS_EVERY: Duration = Duration::from_secs(60);
/// At most once in this time the queue of a pool is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Core {
    /// Looks at the first dispatches of the queue, and tells them why they wait if they do not know.
    pub(super) fn tell_waiting(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(p) = self.pools.get_mut(key).filter(|p| p.queue.head().is_some()) else { return };
        if let Some(next) = p.queue_looked_at.map(|t| t + LOOK_EVERY).filter(|t| *t > now.mono) {
            wake.after(next);
            return;
        }
        p.queue_looked_at = Some(now.mono);
        let first = p.queue.first(TOLD);
        let wait = self.explain(key, now);
        let text = wait.to_string();
        for name in first {
            self.tell(&key.sibling(name), &wait, &text, now, wake);
        }
    }

    fn tell(&mut self, key: &ObjectKey, wait: &Wait, text: &str, now: Now, wake: &mut Wake) {
        self.visits.0 += 1;
        let Some(e) = self.dispatches.get_mut(key) else { return };
        if *wait == Wait::Nothing {
            e.forget_wait();
            return;
        }
        let reason = wait.reason();
        let (since, written) = e.waits_for(reason, now);
        let base = e.obj().clone();
        let told = Condition::find::<DispatchAssigned>(&dispatch_status(&base).conditions);
        let due = match told.filter(|c| !c.is_true() && c.reason == reason.as_str()) {
            Some(c) if c.message == text => return,
            Some(_) => (written + WORDS_EVERY).max(since + LASTS),
            None => since + LASTS,
        };
        let subject = Subject::Dispatch(key.clone());
        if self.agenda.is_locked(&subject) {
            return; // the end of its write marks the pool
        }
        let due = self.agenda.blocked_until(&subject, now).map_or(due, |until| until.max(due));
        if due > now.mono {
            wake.after(due);
            return;
        }
        if let Some(e) = self.dispatches.get_mut(key) {
            e.wait_is_written(now);
        }
        let status = waits(&base, reason, text, wait.until(), now);
        self.write(subject, Verb::DispatchStatus(Arc::clone(&base), Box::new(status)));
    }
}
