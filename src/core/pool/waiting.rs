//! Says on the first dispatches of a queue why they wait, and on the pool that its queue is full.
//!
//! That costs a write for each, so it is said to few, and only once the reason has lasted: a dispatch that is assigned soon,
//! or that stands far behind, costs nothing more. The write is a compare-and-swap of a status that waits, and changes nothing
//! that the commit protocol reads. If it loses a race, the next look sees what the dispatch is by then.

use std::sync::Arc;
use std::time::Duration;

use super::wait::Wait;
use crate::api::vocabulary::{DispatchAssigned, EventReason, Reason};
use crate::api::{Condition, ContainerPool};
use crate::core::agenda::Wake;
use crate::core::dispatch::commit::waits;
use crate::core::object::dispatch_status;
use crate::core::{Core, EventType, Now, ObjectKey, Subject, Verb};

/// How many dispatches say why they wait: the head of the queue, and some that people may ask about.
const EXPLAINED: usize = 21;
/// How long a reason must last before it is written. Most waits are over by then.
const LASTS: Duration = Duration::from_secs(10);
/// At most once in this time the words change while the reason stays. Words have times and names of Pods in them, which
/// change at every try.
const WORDS_EVERY: Duration = Duration::from_secs(60);
/// At most once in this time the queue of a pool is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// At most once in this time an Event says that the queue is full. Each dispatch that is refused says so itself.
const REFUSALS_EVERY: Duration = Duration::from_secs(60);

impl Core {
    /// Records one Event for all dispatches that the queue refused lately.
    pub(super) fn report_refusals(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now, wake: &mut Wake) {
        let Some(p) = self.pools.get_mut(key) else { return };
        if let Some(next) = p.refusals_told.map(|t| t + REFUSALS_EVERY).filter(|t| *t > now.mono) {
            if p.queue.admission.has_refused() {
                wake.after(next);
            }
            return;
        }
        if !p.queue.admission.take_refused() {
            return;
        }
        p.refusals_told = Some(now.mono);
        let text = format!(
            "dispatches are refused: {} wait already (spec.dispatch.queueLimit)",
            obj.spec.dispatch.queue_limit
        );
        self.record("ContainerPool", obj, EventType::Warning, EventReason::QueueFull, text, now);
    }

    /// Looks at the first dispatches of the queue, and writes on each why it waits, if it does not say so.
    pub(super) fn explain_queue(&mut self, key: &ObjectKey, now: Now, wake: &mut Wake) {
        let Some(p) = self.pools.get_mut(key).filter(|p| p.queue.head().is_some()) else { return };
        if let Some(next) = p.queue_looked_at.map(|t| t + LOOK_EVERY).filter(|t| *t > now.mono) {
            wake.after(next);
            return;
        }
        p.queue_looked_at = Some(now.mono);
        let first = p.queue.first(EXPLAINED);
        let wait = self.explain(key, now);
        let text = wait.to_string();
        for name in first {
            self.explain_to(&key.sibling(name), &wait, &text, now, wake);
        }
    }

    fn explain_to(&mut self, key: &ObjectKey, wait: &Wait, text: &str, now: Now, wake: &mut Wake) {
        self.visits.0 += 1;
        let Some(e) = self.dispatches.get_mut(key) else { return };
        if *wait == Wait::Nothing {
            e.forget_wait();
            return;
        }
        let reason = wait.reason();
        let (since, written) = e.waits_for(reason, now);
        let base = e.obj().clone();
        let said = Condition::find::<DispatchAssigned>(&dispatch_status(&base).conditions);
        let due = match said.filter(|c| !c.is_true() && c.reason == reason.as_str()) {
            // Only numbers of workers can be other ones.
            Some(_) if matches!(wait, Wait::Busy { .. }) => return,
            Some(c) if c.message == text => return,
            Some(_) => (written + WORDS_EVERY).max(since + LASTS),
            // While two controllers lead, each would correct the words of the other at every look.
            None => since.max(written) + LASTS,
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
