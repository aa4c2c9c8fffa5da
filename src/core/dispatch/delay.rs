//! What waits for something else than a worker: after Lost for the end of the worker, else for a time.
//!
//! The time counts by the wall clock, and is looked at before a reservation alone: a reservation is rolled forward whatever this
//! controller's clock says. So an attempt is assigned at that time or later, as the stored times show, and clocks that differ do
//! no harm.

use std::time::Duration;

use crate::api::dispatch::DispatchStatus;
use crate::core::agenda::Wake;
use crate::core::object::dispatch_status;
use crate::core::state::queue::Delay;
use crate::core::{Core, Now, ObjectKey};

/// At least once in this time it is looked whether the wall clock was set.
const LOOK_EVERY: Duration = Duration::from_secs(30);

impl Core {
    /// Holds back a dispatch until the time before which no attempt may follow the last one. Returns false if there is none, or it
    /// has come.
    pub(super) fn waits_for_time(
        &mut self,
        key: &ObjectKey,
        status: &DispatchStatus,
        now: Now,
        wake: &mut Wake,
    ) -> bool {
        let Some(time) = status.waits_before().filter(|t| *t > now.wall) else { return false };
        self.delay(key, Some(if status.follows_overloaded() { Delay::Overloaded(time) } else { Delay::Other }));
        wake.at(time);
        wake.after(now.mono + LOOK_EVERY);
        true
    }

    /// True if the clock was set back since a dispatch came into the queue, and it has to wait again. It leaves the queue.
    pub(in crate::core) fn is_too_early(&mut self, key: &ObjectKey, now: Now) -> bool {
        let Some(e) = self.dispatches.get(key) else { return false };
        let early = dispatch_status(e.obj()).waits_before().is_some_and(|t| t > now.wall);
        if early {
            self.unqueue(key);
            self.agenda.mark_dispatch(key);
        }
        early
    }

    /// A dispatch waits for something else than a worker, or no longer does.
    pub(super) fn delay(&mut self, key: &ObjectKey, delay: Option<Delay>) {
        if delay.is_some() {
            self.unqueue(key);
        }
        let Some(e) = self.dispatches.get_mut(key) else { return };
        if let Some(p) = self.pools.get_mut(e.pool())
            && e.set_delay(delay, &mut p.queue)
        {
            self.agenda.mark_pool(e.pool());
            if delay.is_none() {
                e.forget_wait();
            }
        }
    }
}
