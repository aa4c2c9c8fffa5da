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
            self.strip(uid);
        }
    }

    /// The attempts that some version of their dispatch lets be reserved, and whether that version is stale.
    fn reservable(&self) -> Vec<(u8, bool)> {
        let rules = self.rules;
        let mut targets = Vec::new();
        for (name, incarnation) in PLACES {
            let dispatch = &self.now.dispatches[name][incarnation];
            for attempt in 1..=rules.attempts {
                let open = !rules.reserve_after_close;
                let named = attempt > 1 && dispatch.released >> (attempt - 2) & 1 == 0;
                if named && rules.reserve_after_free && !self.is_absent(dispatch, attempt) {
                    continue;
                }
                if rules.lost_at_reserve && !self.may_follow(dispatch, attempt) {
                    continue;
                }
                if dispatch.versions().iter().any(|v| v.attempt == attempt - 1 && (v.closed || open) && !v.is_final) {
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
        let down = self.now.down && self.rules.down_reserves_none;
        if worker.names != 0 || (worker.deleting && self.rules.reserve_not_deleting) || worker.resting || down {
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
            Some("V_TAINT: worker reused after an end without a report")
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
        let mut fates: Vec<Fate> = dispatch.versions().iter().filter_map(|v| fate(v, attempt, uid, rules)).collect();
        if rules.gone_row && (!dispatch.exists() || !rules.gone_by_live_get) {
            fates.push(Fate::Unreported); // a live GET: gone, or another uid
        }
        fates.sort();
        fates.dedup();
        let mut freed = self.now;
        freed.workers[uid].names = 0;
        for fate in fates {
            match fate {
                Fate::NeverRan => self.step(format_args!("free {} (never ran)", Uid(uid)), freed),
                Fate::NotStarted => self.step(format_args!("free {} (not started)", Uid(uid)), freed),
                Fate::Reported(Outcome::Limited) => {
                    let at = usize::from(attempt) - 1;
                    let own = dispatch.outcome[at] == Outcome::Limited && usize::from(dispatch.worker[at]) == uid + 1;
                    let mut next = freed;
                    next.workers[uid].resting = true;
                    next.instances[uid].owed &= !own;
                    let violation = (!own).then_some("V_REST: a worker rests for what another one did");
                    self.checked(format_args!("free {} (reported, rests)", Uid(uid)), next, violation);
                }
                Fate::Reported(_) => self.step(format_args!("free {} (reported)", Uid(uid)), freed),
                Fate::Unreported => self.free_unreported(uid, freed, dispatch.exists()),
            }
            let may_go_on = matches!(fate, Fate::NeverRan | Fate::NotStarted | Fate::Reported(Outcome::Done));
            let down = self.now.down && rules.down_reserves_none;
            if may_go_on && !worker.deleting && !worker.resting && !down {
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
        if !rules.free_not_on_absence {
            self.step(format_args!("free {} (dispatch absent from cache)", Uid(uid)), freed);
        }
        let here = dispatch.open() && dispatch.attempt == attempt && dispatch.uid() == uid;
        if !rules.free_after_close && here && dispatch.report.0 == attempt {
            self.step(format_args!("free {} (result seen, not closed)", Uid(uid)), freed);
        }
        if !rules.roll_forward && dispatch.pending() && dispatch.attempt == attempt - 1 {
            self.step(format_args!("free {} (drops an unpublished reservation)", Uid(uid)), freed);
        }
    }

    fn free_unreported(&mut self, uid: usize, mut freed: State, dispatch_exists: bool) {
        let (rules, worker) = (self.rules, self.now.workers[uid]);
        if rules.check_credential && worker.deleting && !dispatch_exists {
            freed.instances[uid].owed = false; // its user took the only record of the rate limit away
        }
        if rules.check_credential && worker.deleting && freed.instances[uid].owed {
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
            if !self.rules.unreported_delete_rv && self.ended_unreported(uid) {
                self.step(format_args!("delete {} (an unreported end, stale)", Uid(uid)), next);
            }
            if worker.names == 0 || !self.rules.idle_delete_rv {
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

    /// Some version of this worker names an attempt of which some version of its dispatch says that it ended unreported.
    fn ended_unreported(&self, uid: usize) -> bool {
        (0..16u8).filter(|key| self.now.instances[uid].reserved >> key & 1 == 1).any(|key| {
            let (name, incarnation, attempt) = parts(key);
            let dispatch = &self.now.dispatches[name][incarnation];
            let ended = |v| fate(v, attempt, uid, self.rules) == Some(Fate::Unreported);
            (self.rules.gone_row && !dispatch.exists()) || dispatch.versions().iter().any(ended)
        })
    }

    fn remove_finalizer(&mut self, uid: usize) {
        let worker = self.now.workers[uid];
        let instance = self.now.instances[uid];
        if !worker.deleting || instance.alive || (worker.names != 0 && self.rules.finalizer_names_none) {
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
        let lost = (self.rules.check_credential && instance.owed)
            .then_some("V_CRED: a rate limit never reaches its credential");
        self.checked(format_args!("finalizer of {} removed{still}", Uid(uid)), next, lost);
    }
}
