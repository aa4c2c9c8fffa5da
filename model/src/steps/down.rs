//! Standing down: no worker is reserved, and the instance of a worker that names no dispatch goes although its Worker stays. It is
//! the one exception to the one stop rule: a worker that rests keeps its rest.

use super::Steps;
use crate::state::{PAIR, Uid};

impl Steps<'_> {
    pub(super) fn standing_down(&mut self) {
        let rules = self.rules;
        if !rules.stands_down {
            return;
        }
        if !self.now.down {
            let mut next = self.now;
            next.down = true;
            self.fault(format_args!("the controllers stand down"), next);
        }
        for uid in 0..PAIR {
            let instance = self.now.instances[uid];
            if !instance.idle_down || !instance.alive {
                continue;
            }
            let mut next = self.now;
            // As after a crash of the machine: a stop that no fault hides.
            next.instances[uid].alive = false;
            next.instances[uid].tasks = [0; 2];
            let busy = self.now.dispatches.iter().flatten().any(|dispatch| dispatch.open() && dispatch.uid() == uid);
            let violation = busy.then_some("V_STOP_BUSY: stopped a busy worker");
            self.checked(format_args!("stop container {} (standing down)", Uid(uid)), next, violation);
        }
        if self.now.down {
            let mut next = self.now;
            next.down = false;
            if rules.down_outlasts_stops {
                next.instances.iter_mut().for_each(|instance| instance.idle_down = false);
            }
            self.step(format_args!("the controllers stand up again"), next);
        }
    }
}
