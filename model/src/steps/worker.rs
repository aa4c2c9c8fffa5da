//! Steps that write a Worker: create, reserve, free, delete, finalizer. The Worker is seen in its present version
//! (each of these writes is a compare-and-swap), the dispatch in any version that it ever had.

use super::Steps;
use crate::recovery::{Fate, fate};
use crate::rules::Unreported;
use crate::state::{Attempt, DEAD, Instance, Outcome, PAIR, PLACES, State, Uid, Worker, key, parts};

impl Steps<'_> {
    pub(super) fn workers(&mut self) {
        let targets = self.reservable();
        for uid in 0..PAIR {
            if !self.now.workers[uid].exists {
                let mut next = self.now;
                next.workers[uid].exists = true;
                next.instances[uid].alive = true;
                self.step(format_args!("create {}", Uid(uid)), next);
                continue;
            }
            if self.now.workers[uid].resting {
                let mut next = self.now;
                next.workers[uid].resting = false;
                self.step(format_args!("{} has rested", Uid(uid)), next);
            }
            self.reserve(uid, &targets);
            self.free(uid, &targets);
            self.delete(uid);
            self.remove_finalizer(uid);
        }
    }

    /// The attempts that some version of their dispatch lets be reserved, and whether that version is stale.
    fn reservable(&self) -> Vec<(u8, bool)> {
        let rules = self.rules;
        let mut targets = Vec::new();
        for (name, incarnation) in PLACES {
            let dispatch = &self.now.dispatches[name][incarnation];
            let versions = self.versions(name, incarnation);
            for attempt in 1..=rules.attempts {
                let open = rules.reserve_open;
                if versions.iter().any(|v| v.attempt == attempt - 1 && (v.closed || open) && !v.is_final) {
                    let fresh = (dispatch.pending() || open && dispatch.open())
                        && dispatch.attempt == attempt - 1
                        && !dispatch.cancel
                        && incarnation == self.now.incarnation(name);
                    targets.push((key(name, incarnation, attempt), !fresh));
                }
            }
        }
        targets
    }

    fn reserve(&mut self, uid: usize, targets: &[(u8, bool)]) {
        let worker = self.now.workers[uid];
        if worker.names != 0 || (worker.deleting && !self.rules.reserve_del) || worker.resting {
            return;
        }
        for &(key, stale) in targets {
            let next = self.reserved(uid, key);
            let violation = self.check_reserve(uid);
            if !stale {
                self.checked(format_args!("reserve {} for {}", Uid(uid), Attempt(key)), next, violation);
            } else if self.now.faults > 0 {
                let next = State { faults: next.faults - 1, ..next };
                self.put(format_args!("reserve {} for {} (stale)", Uid(uid), Attempt(key)), next, true, violation);
            }
        }
    }

    fn reserved(&self, uid: usize, key: u8) -> State {
        let mut next = self.now;
        next.workers[uid].names = key + 1;
        next.instances[uid].reserved |= 1 << key;
        next
    }

    fn check_reserve(&self, uid: usize) -> Option<&'static str> {
        let instance = &self.now.instances[uid];
        if instance.tainted {
            Some("V_TAINT: worker reused after an end nobody reported")
        } else if instance.owed {
            Some("V_COOLDOWN: reserved though its rate limit was never written")
        } else if instance.stopped {
            Some("V_WASTE: reserved after the controller destroyed its container")
        } else {
            None
        }
    }

    fn free(&mut self, uid: usize, targets: &[(u8, bool)]) {
        let (rules, worker) = (self.rules, self.now.workers[uid]);
        if worker.names == 0 {
            return;
        }
        let named = worker.names - 1;
        let (name, incarnation, attempt) = parts(named);
        let dispatch = self.now.dispatches[name][incarnation];
        let mut fates: Vec<Fate> =
            self.versions(name, incarnation).iter().filter_map(|v| fate(v, attempt, uid, rules)).collect();
        if rules.gone_row && (!dispatch.exists() || rules.absent_row4) {
            fates.push(Fate::Unreported); // a live GET: gone, or another uid
        }
        fates.sort();
        fates.dedup();
        let mut freed = self.now;
        freed.workers[uid].names = 0;
        for fate in fates {
            match fate {
                Fate::NeverRan => self.step(format_args!("free {} (never ran)", Uid(uid)), freed),
                Fate::Reported(outcome) => {
                    let mut next = freed;
                    if outcome == Outcome::Limited {
                        next.workers[uid].resting = true;
                        if dispatch.outcome[usize::from(attempt) - 1] == Outcome::Limited {
                            next.instances[uid].owed = false;
                        }
                    }
                    self.step(format_args!("free {} (reported)", Uid(uid)), next);
                }
                Fate::Unreported => self.free_unreported(uid, freed),
            }
            if matches!(fate, Fate::NeverRan | Fate::Reported(Outcome::Done)) && !worker.deleting && !worker.resting {
                for &(key, stale) in targets.iter().filter(|target| target.0 != named) {
                    if !stale {
                        let next = self.reserved(uid, key);
                        let violation = self.check_reserve(uid);
                        self.checked(
                            format_args!("free {} and reserve for {}", Uid(uid), Attempt(key)),
                            next,
                            violation,
                        );
                    }
                }
            }
        }
        if rules.free_on_absence {
            self.step(format_args!("free {} (dispatch absent from cache)", Uid(uid)), freed);
        }
        let here = dispatch.open() && dispatch.attempt == attempt && dispatch.uid() == uid;
        if rules.free_before_close && here && dispatch.report.0 == attempt {
            self.step(format_args!("free {} (result seen, not closed)", Uid(uid)), freed);
        }
        if rules.drop_resv && dispatch.pending() && dispatch.attempt == attempt - 1 {
            self.step(format_args!("free {} (drops an unpublished reservation)", Uid(uid)), freed);
        }
    }

    fn free_unreported(&mut self, uid: usize, freed: State) {
        let (rules, worker) = (self.rules, self.now.workers[uid]);
        if rules.cred && worker.deleting && self.now.instances[uid].owed {
            self.checked(
                format_args!("free {} (unreported)", Uid(uid)),
                freed,
                Some("V_CRED: a rate limit never reaches its credential"),
            );
            return;
        }
        match rules.unreported {
            Unreported::Free => self.step(format_args!("free {} (unreported)", Uid(uid)), freed),
            Unreported::Destroy => {
                if !self.now.instances[uid].alive {
                    self.step(format_args!("free {} (unreported, destroyed)", Uid(uid)), freed);
                }
            }
            Unreported::Delete if worker.deleting => {
                self.step(format_args!("free {} (unreported, deleting)", Uid(uid)), freed);
            }
            Unreported::Delete => {
                let mut next = self.now;
                next.workers[uid].deleting = true;
                self.step(format_args!("delete {} (unreported end)", Uid(uid)), next);
            }
        }
    }

    fn delete(&mut self, uid: usize) {
        let worker = self.now.workers[uid];
        let mut next = self.now;
        next.workers[uid].deleting = true;
        if !worker.deleting {
            if worker.names == 0 || !self.rules.delete_rv {
                self.fault(format_args!("scale down {}", Uid(uid)), next);
            }
            self.fault(format_args!("user deletes {}", Uid(uid)), next);
            if worker.names == 0 && !self.now.instances[uid].alive {
                self.step(format_args!("delete {} (dead)", Uid(uid)), next);
            }
        }
        if !worker.forced {
            next.workers[uid].forced = true;
            self.fault(format_args!("user force-deletes {}", Uid(uid)), next);
        }
    }

    fn remove_finalizer(&mut self, uid: usize) {
        let worker = self.now.workers[uid];
        let instance = self.now.instances[uid];
        if !worker.deleting || instance.alive || (worker.names != 0 && self.rules.fin_nodisp) {
            return;
        }
        let mut next = self.now;
        next.workers[uid] = Worker::default();
        next.instances[DEAD].reserved |= instance.reserved;
        next.instances[uid] = Instance::default();
        for dispatch in next.dispatches.iter_mut().flatten() {
            for worker in dispatch.worker.iter_mut().filter(|worker| usize::from(**worker) == uid + 1) {
                *worker = DEAD as u8 + 1;
            }
        }
        let still = if worker.names == 0 { "" } else { " (still names a dispatch)" };
        let lost = (self.rules.cred && instance.owed).then_some("V_CRED: a rate limit never reaches its credential");
        self.checked(format_args!("finalizer of {} removed{still}", Uid(uid)), next, lost);
    }
}
