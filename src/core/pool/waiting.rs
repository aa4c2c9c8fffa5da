//! Says on the first dispatches of a queue why they wait, and on the pool that its queue is full.
//!
//! That costs a write for each, so it is said to few, and only once the reason has lasted (`dispatch/wait.rs`): a dispatch
//! that is assigned soon, or that stands far behind, costs nothing more.

use std::time::Duration;

use super::wait::Wait;
use crate::api::ContainerPool;
use crate::api::vocabulary::{DispatchAssigned, EventReason};
use crate::core::agenda::Wake;
use crate::core::{Core, EventType, Now, ObjectKey};

/// How many dispatches say why they wait: the head of the queue, and some that people may ask about.
const EXPLAINED: usize = 21;
/// At most once in this time the queue of a pool is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// At most once in this time an Event says that the queue is full. Each dispatch that is refused says so itself.
const REFUSALS_EVERY: Duration = Duration::from_secs(60);

impl Core {
    /// Records one Event for all dispatches that the queue refused lately.
    pub(super) fn report_refusals(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now, wake: &mut Wake) {
        let Some(p) = self.pools.get_mut(key) else { return };
        if let Some(next) = p.refusals_reported.map(|t| t + REFUSALS_EVERY).filter(|t| *t > now.mono) {
            if p.queue.admission.has_refused() {
                wake.after(next);
            }
            return;
        }
        if !p.queue.admission.take_refused() {
            return;
        }
        p.refusals_reported = Some(now.mono);
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
        if *wait == Wait::Nothing {
            if let Some(e) = self.dispatches.get_mut(key) {
                e.forget_wait();
            }
            return;
        }
        // While all are busy only numbers of workers can be other ones.
        let words_count = !matches!(wait, Wait::Busy { .. });
        let reason = DispatchAssigned::Waits(wait.reason());
        self.explain_wait(key, reason, text, wait.until(), words_count, now, wake);
    }
}
