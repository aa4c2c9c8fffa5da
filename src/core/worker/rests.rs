//! How a worker shows that it, or its credential, rests: `status.restsUntil`.
//!
//! A decision never reads the field. The write that frees a worker, or shows that it is Ready, sets it for nothing. What rests
//! a credential concerns idle workers too: each of them is written once, unless the rest is short. The end of a rest costs no
//! write, because a time in the past says that no rest lasts. A rest that is cleared early costs each worker that is not
//! reserved at once a write.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::worker::WorkerStatus;
use crate::api::{ContainerPool, Worker, names, seconds};
use crate::core::agenda::Wake;
use crate::core::object::worker_status;
use crate::core::state::shown_rests::Changed;
use crate::core::{Core, Now, ObjectKey, time};

/// A rest of a credential that ends sooner is not written to idle workers: it would be over before people read it.
const WORTH_A_WRITE: Duration = Duration::from_secs(10);

impl Core {
    /// Sets the rest that a status of an idle worker shows. `limited`: the credential may rest since the last decision about
    /// its pool.
    pub(in crate::core) fn show_rest(
        &mut self,
        pool: &ObjectKey,
        w: &Worker,
        status: &mut WorkerStatus,
        limited: bool,
        now: Now,
    ) {
        let mut end = self.lasting_rest(pool, w, status, now);
        if limited && let Ok(Some(id)) = self.identity_of(w) {
            end = end.max(self.shown_end(pool, &id, now));
        }
        status.rests_until = end.map(seconds).map(Box::new);
    }

    /// The end of the rest of a worker with this status, or of its credential as its pool noted it.
    fn lasting_rest(&self, pool: &ObjectKey, w: &Worker, status: &WorkerStatus, now: Now) -> Option<Timestamp> {
        let own = status.cooldown.as_ref().and_then(|c| c.until.as_ref()).map(|t| t.0);
        let noted = self.pools.get(pool).map(|p| &p.shown_rests).filter(|r| !r.is_empty());
        let shared = noted.and_then(|noted| noted.of(&self.identity_of(w).ok()??));
        own.into_iter().chain(shared).filter(|end| self.rest_ends.lasts(*end, now)).max()
    }

    /// The end of a credential's rest. Of a refused one: the time from which the pool probes it, if it does.
    fn shown_end(&mut self, pool: &ObjectKey, identity: &str, now: Now) -> Option<Timestamp> {
        let rest = self.credential_rest(&pool.namespace, identity);
        let probes = || self.pool_obj(pool).is_some_and(|p| !p.spec.rate_limit.park_probe.is_zero());
        rest.until.map(|t| t.0).filter(|end| self.rest_ends.lasts(*end, now) && (!rest.parked || probes()))
    }

    /// Notes the rests of a pool's credentials after work was assigned, and marks the idle workers that show something else.
    /// Several rate limits in a row make a rest longer several times; the workers are marked at most once in an interval.
    pub(in crate::core) fn note_rests(&mut self, key: &ObjectKey, pool: &ContainerPool, now: Now, wake: &mut Wake) {
        for c in &pool.spec.credentials {
            let id = c.identity();
            let end = self.shown_end(key, &id, now);
            if let Some(p) = self.pools.get_mut(key) {
                p.shown_rests.note(&id, end, now.wall);
            }
        }
        let Some(p) = self.pools.get_mut(key) else { return };
        match p.shown_rests.take_changed(self.cfg.rollup_interval, now.mono) {
            Changed::Nothing => {}
            Changed::Later(at) => wake.after(at),
            Changed::Credentials(ids) => {
                let idle = ids.into_iter().filter_map(|id| p.slots.idle().get(&Some(id))).flatten();
                let idle: Vec<ObjectKey> = idle.map(|(_, o)| key.sibling(names::worker(&key.name, *o))).collect();
                self.visits.0 += idle.len() as u64;
                for worker in idle {
                    self.agenda.mark_worker(&worker);
                }
            }
        }
    }

    /// The status of an idle worker that shows the rest of its credential wrongly. `None`: it shows what is right, or what is
    /// not worth a write.
    pub(super) fn rest_to_show(&self, pool: &ObjectKey, w: &Worker, now: Now) -> Option<WorkerStatus> {
        let status = worker_status(w);
        let next = self.lasting_rest(pool, w, status, now).map(seconds).map(Box::new);
        // What is shown is up to a second later than the rest ends.
        let over = time::after(now.wall, Duration::from_secs(1));
        let lasts = status.rests_until.as_ref().is_some_and(|t| t.0 > over);
        let worth = next.as_ref().is_some_and(|end| end.0 >= time::after(now.wall, WORTH_A_WRITE));
        (next != status.rests_until && (lasts || worth)).then(|| WorkerStatus { rests_until: next, ..status.clone() })
    }
}
