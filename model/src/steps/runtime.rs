//! Steps of the runtime. Stopping a container is no compare-and-swap: both objects may be seen in any past version.

use super::Steps;
use crate::recovery::{Fate, fate};
use crate::rules::Unreported;
use crate::state::{Attempt, ORPHAN, PAIR, UIDS, Uid, parts};

impl Steps<'_> {
    pub(super) fn instances(&mut self) {
        self.sweep();
        for uid in (0..UIDS).filter(|uid| *uid != ORPHAN) {
            let instance = self.now.instances[uid];
            let exists = uid < PAIR && self.now.workers[uid].exists;
            if !instance.alive && !self.rules.one_instance && exists && !instance.restarted {
                let mut next = self.now;
                next.instances[uid].alive = true;
                next.instances[uid].stopped = false;
                next.instances[uid].restarted = true;
                self.fault(format_args!("container {} starts again under the same uid", Uid(uid)), next);
            }
            if !instance.alive {
                continue;
            }
            if instance.idle_deleting {
                self.stop(uid, format_args!("deleting, no dispatch"));
            }
            if instance.forced && !self.rules.force_closes_first {
                self.stop(uid, format_args!("forced"));
            }
            if !self.rules.stop_names_none && exists && self.now.workers[uid].deleting {
                self.stop(uid, format_args!("deleting"));
            }
            self.stop_by_history(uid);
            let mut next = self.now;
            next.instances[uid].alive = false;
            next.instances[uid].tasks = [0; 2];
            self.fault(format_args!("container {} crashes", Uid(uid)), next);
        }
    }

    /// Stops that look at what the worker named in the past.
    fn stop_by_history(&mut self, uid: usize) {
        let rules = self.rules;
        let reserved = self.now.instances[uid].reserved;
        for key in (0..16u8).filter(|key| reserved >> key & 1 == 1) {
            let (name, incarnation, attempt) = parts(key);
            let dispatch = self.now.dispatches[name][incarnation];
            let versions = dispatch.versions();
            if rules.unreported == Unreported::Destroy {
                if versions.iter().any(|v| fate(v, attempt, uid, rules) == Some(Fate::Unreported)) {
                    self.stop(uid, format_args!("{} ended unreported", Attempt(key)));
                }
                if rules.gone_row && !dispatch.exists() {
                    self.stop(uid, format_args!("{} is gone", Attempt(key)));
                }
            }
            let open_here =
                versions.iter().any(|v| v.attempt == attempt && !v.closed && usize::from(v.worker) == uid + 1);
            if !rules.close_before_stop && dispatch.overdue && open_here {
                self.stop(uid, format_args!("{} is overdue", Attempt(key)));
            }
        }
    }

    fn stop(&mut self, uid: usize, why: std::fmt::Arguments<'_>) {
        let mut next = self.now;
        let instance = &mut next.instances[uid];
        instance.alive = false;
        instance.stopped = true;
        instance.tasks = [0; 2];
        let busy = self.now.dispatches.iter().flatten().any(|dispatch| dispatch.open() && dispatch.uid() == uid);
        let violation = busy.then_some("V_STOP_BUSY: stopped a busy worker");
        self.checked(format_args!("stop container {} ({why})", Uid(uid)), next, violation);
    }
}
