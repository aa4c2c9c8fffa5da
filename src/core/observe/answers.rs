//! How writes ended, and what live GETs showed.

use crate::api::{Worker, names};
use crate::core::agenda::{Attempted, Identity};
use crate::core::{Action, Core, Fetched, Now, Object, ObjectKey, Settled, Subject};

impl Core {
    /// A write or a live GET ended: unlocks its subject, and takes in what the answer shows.
    pub(in crate::core) fn settled(&mut self, subject: Subject, settled: Settled, now: Now) {
        let was = self.agenda.unlock(&subject);
        let requests = self.pending.take_requests(&subject);
        let event = self.pending.take_event(&subject);
        self.actions.extend(event.filter(|_| matches!(settled, Settled::Done(_))).map(Action::Record));
        let mut reserved = None;
        if let Subject::Worker(key) = &subject {
            if let Some(e) = self.workers.get_mut(key) {
                reserved = e.end_reservation(&mut self.claims);
            }
            self.forget_creating(key, matches!(settled, Settled::Done(_) | Settled::Refreshed(_)));
        }
        match (&requests.by, &settled) {
            (Some(by), _) => self.request_answered(by, &settled, now),
            // The status with the reason was written. That does not shorten the wait before the next start.
            (None, Settled::Done(_) | Settled::Refreshed(_)) if self.waits_to_start(&subject) => {}
            (None, Settled::Done(_) | Settled::Refreshed(_)) => {
                self.agenda.forget_failures(&subject);
            }
            (None, Settled::Refused(why)) => {
                self.failed(&subject, Attempted::Write { refused: true }, why, now);
            }
            (None, Settled::Failed(_, why)) => {
                self.failed(&subject, Attempted::Write { refused: false }, why, now);
            }
        }
        match settled {
            Settled::Done(Some(fetched)) | Settled::Refreshed(fetched) | Settled::Failed(Some(fetched), _) => {
                self.saw_fetched(&subject, fetched, &was, now);
            }
            _ => {}
        }
        if let Subject::Worker(key) = &subject {
            self.reindex_worker(key, now);
            let pool =
                self.workers.get(key).map(|e| (e.pool().clone(), e.ordinal().filter(|_| !e.obj().is_deleting())));
            if let Some((p, stays)) = pool {
                self.replacement_stays(&p, stays);
                self.agenda.mark_pool(&p);
            }
            if let Some(d) = reserved {
                self.agenda.mark_dispatch(&key.sibling(d.name));
            }
        }
        if let Subject::Pool(key) = &subject {
            let gated = self.pools.get_mut(key).map(|p| p.due_rests.take_waiting());
            for worker in gated.into_iter().flatten() {
                self.agenda.mark(Subject::Worker(worker));
            }
        }
        for pool in &requests.awaited_by {
            self.agenda.mark_pool(pool);
        }
        if let Subject::Dispatch(key) = &subject {
            let pool = self.dispatches.get(key).map(|e| e.pool().clone());
            if let Some(p) = pool {
                self.agenda.mark_pool(&p);
            }
            self.mark_namers(key);
        }
        // After a failure about a Worker that does not exist the next creation of its name waits. Nothing waits for these two.
        let is_gone = match &subject {
            Subject::Dispatch(key) => !self.dispatches.contains(key),
            Subject::Orphan(key) => self.instances.get(key).is_none(),
            _ => false,
        };
        if is_gone {
            self.agenda.forget_failures(&subject);
        }
        self.agenda.mark(subject);
    }

    fn waits_to_start(&self, subject: &Subject) -> bool {
        matches!(subject, Subject::Worker(key) if self.workers.get(key).is_some_and(|e| e.life().waits_for().is_some()))
    }

    /// The creation of a Worker ended: it exists, or its ordinal is free again. `done`: the server says that it exists.
    fn forget_creating(&mut self, worker: &ObjectKey, done: bool) {
        let Some((pool, _)) = worker.name.rsplit_once('-') else { return };
        let pool = worker.sibling(pool);
        if let (Some(p), Some(o)) = (self.pools.get_mut(&pool), names::ordinal(&pool.name, &worker.name))
            && let Some(spec) = p.members.end_creation(o)
        {
            if done {
                p.learned.replacements.created(o);
            } else {
                p.learned.replacements.not_created(o);
            }
            if !done && self.workers.get(worker).is_none() {
                self.directory_left(worker, &spec);
            }
            self.agenda.mark_pool(&pool);
        }
    }

    /// Takes in what a GET or the answer to a write showed. Absence is a fact for the asker as it was then (`asked`), and about
    /// the object that it named then.
    fn saw_fetched(&mut self, asker: &Subject, fetched: Fetched, asked: &Identity, now: Now) {
        let is = self.identity(asker);
        // The answer says nothing about another object with the asker's name, nor about another object that it names by now.
        let same = is.uid == asked.uid;
        let names_same = same && is.names == asked.names;
        match (asker, fetched) {
            (_, Fetched::Pool(Some(p))) => self.saw_pool(p, now),
            (Subject::Worker(key), Fetched::Pool(None)) => {
                if let Some(e) = self.workers.get_mut(key).filter(|_| same) {
                    e.found_pool_gone();
                }
            }
            (Subject::Pool(key), Fetched::Pool(None)) if same => self.lost_pool(key, None),
            (Subject::Dispatch(key), Fetched::Worker(found)) => {
                if names_same {
                    self.worker_fact(key, found.as_deref());
                }
                if let Some(w) = found {
                    self.saw_worker(w, now);
                }
            }
            (Subject::Worker(key), Fetched::Dispatch(found)) => {
                if let (Some((named, _)), Some(e)) = (is.names.filter(|_| names_same), self.workers.get_mut(key))
                    && found.as_ref().is_none_or(|d| d.uid_str() != named)
                {
                    e.found_dispatch_gone(named);
                }
                if let Some(d) = found {
                    self.saw_dispatch(d, now);
                }
            }
            (Subject::Orphan(key), Fetched::Worker(found)) => {
                let gone = found.as_ref().is_none_or(|w| w.uid_str() != key.uid);
                if self.instances.get(key).is_some() {
                    self.instances.checked_orphan((**key).clone(), gone);
                }
                if let Some(w) = found {
                    self.saw_worker(w, now);
                }
            }
            (_, Fetched::Worker(Some(w))) => self.saw_worker(w, now),
            (Subject::Worker(key), Fetched::Worker(None)) if same => self.lost_worker(key, None),
            (_, Fetched::Dispatch(Some(d))) => self.saw_dispatch(d, now),
            (Subject::Dispatch(key), Fetched::Dispatch(None)) if same => self.lost_dispatch(key, None),
            _ => {}
        }
    }

    /// What a live GET of the worker of a dispatch's newest attempt showed.
    fn worker_fact(&mut self, dispatch: &ObjectKey, found: Option<&Worker>) {
        let Some(d) = self.dispatches.get_mut(dispatch) else { return };
        let status = d.obj().status.clone().unwrap_or_default();
        let Some(worker) = status.worker else { return };
        match found.filter(|w| w.uid_str() == worker.uid) {
            None => {
                d.found_worker_gone(worker.uid);
                d.release(status.attempt);
            }
            Some(w) => {
                let named = w.status.as_ref().and_then(|s| s.dispatch.as_ref());
                if named.is_none_or(|n| n.uid != d.obj().uid_str() || n.attempt != status.attempt) {
                    d.release(status.attempt);
                }
            }
        }
    }
}
