//! Taking in events: the caches and their indexes.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::index::{DispatchEntry, HostEntry, InstanceEntry, InstanceView, Op, Place, Trouble, WorkerEntry};
use super::{Core, Event, Fetched, HostKey, Key, Now, Object, RuntimeFact, Seen, Settled, Subject};
use crate::api::dispatch::DispatchPhase;
use crate::api::worker::WorkerPhase;
use crate::api::{ContainerPool, Dispatch, Worker, names};
use crate::runtime::{Instance, InstanceKey, InstanceState, Observation, StartError};

/// First wait after a write that was refused or failed; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

impl Core {
    /// Takes in one event. What follows from it is decided by [`Core::decide`].
    pub fn apply(&mut self, event: Event, now: Now) {
        match event {
            Event::Pool(Seen::Present(p)) => self.saw_pool(p, now),
            Event::Pool(Seen::Gone(p)) => self.lost_pool(&Key::of(&*p), Some(p.version())),
            Event::Pool(Seen::Listed(keys)) => {
                self.synced.0 = true;
                let known: Vec<Key> =
                    self.pools.iter().filter(|(_, p)| p.obj.is_some()).map(|(k, _)| k.clone()).collect();
                for k in known.iter().filter(|k| !keys.contains(k)) {
                    self.lost_pool(k, None);
                }
            }
            Event::Worker(Seen::Present(w)) => self.saw_worker(w, now),
            Event::Worker(Seen::Gone(w)) => self.lost_worker(&Key::of(&*w), Some(w.version())),
            Event::Worker(Seen::Listed(keys)) => {
                self.synced.1 = true;
                for k in missing(self.workers.keys(), &keys) {
                    self.lost_worker(&k, None);
                }
            }
            Event::Dispatch(Seen::Present(d)) => self.saw_dispatch(d),
            Event::Dispatch(Seen::Gone(d)) => self.lost_dispatch(&Key::of(&*d), Some(d.version())),
            Event::Dispatch(Seen::Listed(keys)) => {
                self.synced.2 = true;
                for k in missing(self.dispatches.keys(), &keys) {
                    self.lost_dispatch(&k, None);
                }
            }
            Event::Settled(subject, settled) => self.settled(subject, settled, now),
            Event::Runtime(fact) => self.runtime_fact(fact, now),
            Event::Lease(key, fact) => self.saw_lease(&key, fact, now),
            Event::Tick => {}
        }
    }

    fn saw_pool(&mut self, pool: Arc<ContainerPool>, now: Now) {
        let key = Key::of(&*pool);
        let entry = self.pools.entry(key.clone()).or_default();
        if entry.obj.as_ref().is_some_and(|old| old.version() > pool.version()) {
            return;
        }
        let old = entry.obj.replace(pool.clone());
        for w in std::mem::take(&mut entry.gated) {
            self.dirty.insert(Subject::Worker(w));
        }
        entry.backoff.adopt(pool.status.as_ref().and_then(|s| s.start_backoff.as_ref()));
        let changed = old.as_ref().is_none_or(|old| old.spec != pool.spec || old.uid_str() != pool.uid_str());
        if changed {
            let before: BTreeSet<String> =
                old.iter().flat_map(|p| p.spec.credentials.iter().map(|c| c.identity())).collect();
            let after: BTreeSet<String> = pool.spec.credentials.iter().map(|c| c.identity()).collect();
            for id in before.difference(&after) {
                if let Some(c) = self.creds.get_mut(&(key.namespace.clone(), id.clone())) {
                    c.pools.remove(&key);
                }
            }
            for id in after {
                self.creds.entry((key.namespace.clone(), id)).or_default().pools.insert(key.clone());
            }
            self.reindex_pool(&key, now);
            let waiting: Vec<Key> = self.pools[&key].waiting.iter().map(|(_, n)| key.sibling(n.clone())).collect();
            for d in waiting {
                self.mark_dispatch(&d);
            }
        }
        let rests = |p: &ContainerPool| p.status.as_ref().map(|s| s.rate_limits.clone()).unwrap_or_default();
        if changed || old.as_ref().is_none_or(|old| rests(old) != rests(&pool)) {
            // A credential's rest concerns every pool that names it.
            for c in &pool.spec.credentials {
                let sharing = self.creds.get(&(key.namespace.clone(), c.identity())).map(|c| c.pools.clone());
                for other in sharing.iter().flatten() {
                    self.mark_pool(other);
                }
            }
        }
        if pool.is_deleting()
            || old.is_some_and(|o| o.is_flagged(names::FORCE_DELETE) != pool.is_flagged(names::FORCE_DELETE))
        {
            self.reindex_pool(&key, now);
        }
        self.mark_pool(&key);
    }

    /// Marks and reindexes every worker of a pool: its spec changed.
    fn reindex_pool(&mut self, key: &Key, now: Now) {
        let workers: Vec<Key> =
            self.pools[key].workers.iter().map(|o| key.sibling(names::worker(&key.name, *o))).collect();
        for w in workers {
            self.reindex_worker(&w, now);
            self.mark_worker(&w);
            let running = self.workers.get(&w).and_then(|e| e.obj.status.as_ref()?.dispatch.clone());
            if let Some(d) = running {
                self.mark_dispatch(&key.sibling(d.name));
            }
        }
    }

    fn lost_pool(&mut self, key: &Key, version: Option<u64>) {
        let Some(entry) = self.pools.get_mut(key) else { return };
        let Some(old) = entry.obj.as_ref().filter(|o| version.is_none_or(|v| o.version() <= v)).cloned() else {
            return;
        };
        entry.obj = None;
        for c in &old.spec.credentials {
            if let Some(c) = self.creds.get_mut(&(key.namespace.clone(), c.identity())) {
                c.pools.remove(key);
            }
        }
        let (workers, waiting) = (entry.workers.clone(), entry.waiting.clone());
        for o in workers {
            self.mark_worker(&key.sibling(names::worker(&key.name, o)));
        }
        for (_, name) in waiting {
            self.mark_dispatch(&key.sibling(name));
        }
    }

    pub(super) fn saw_worker(&mut self, worker: Arc<Worker>, now: Now) {
        let key = Key::of(&*worker);
        let old = self.workers.get(&key).map(|e| e.obj.clone());
        if old.as_ref().is_some_and(|old| old.version() > worker.version()) {
            return;
        }
        if old.as_ref().is_some_and(|old| old.uid_str() != worker.uid_str()) {
            self.lost_worker(&key, None);
        }
        let pool = key.sibling(worker.spec.pool.clone());
        let phase = |w: &Worker| w.status.as_ref().map(|s| s.phase).unwrap_or_default();
        let named = |w: &Worker| w.status.as_ref().and_then(|s| s.dispatch.clone());
        let before = self.workers.get(&key).and_then(|e| named(&e.obj));
        if let Some(e) = self.workers.get_mut(&key) {
            if (phase(&e.obj) == WorkerPhase::Starting) != (phase(&worker) == WorkerPhase::Starting) {
                e.since = now.mono;
            }
            if named(&worker) != before {
                e.dispatch_gone = None;
            }
            self.count_hash(&pool, &old, Some(&worker));
            if let Some(e) = self.workers.get_mut(&key) {
                e.obj = worker.clone();
            }
        } else {
            let ordinal = names::ordinal(&pool.name, &key.name);
            let p = self.pools.entry(pool.clone()).or_default();
            if let Some(o) = ordinal {
                p.workers.insert(o);
            }
            let entry = WorkerEntry {
                obj: worker.clone(),
                pool: pool.clone(),
                ordinal,
                slot: None,
                reserving: None,
                op: None,
                since: now.mono,
                checked: now.mono,
                missed: 0,
                dispatch_gone: None,
                start_failed: None,
            };
            self.workers.insert(key.clone(), entry);
            self.count_hash(&pool, &None, Some(&worker));
        }
        let after = named(&worker);
        if before != after {
            if let Some(b) = &before {
                self.unname(&key, b);
            }
            if let Some(a) = &after {
                self.named.entry(a.uid.clone()).or_default().insert(key.clone());
                self.mark_dispatch(&key.sibling(a.name.clone()));
            }
        } else if let Some(a) = &after {
            // Its deletion or a flag may end the attempt.
            self.mark_dispatch(&key.sibling(a.name.clone()));
        }
        if worker.is_deleting() {
            if let (Some(p), Some(o)) = (self.pools.get_mut(&pool), names::ordinal(&pool.name, &key.name)) {
                p.deleting.insert(o);
            }
        }
        self.reindex_worker(&key, now);
        self.mark_worker(&key);
        self.mark_pool(&pool);
    }

    /// A worker no longer names this attempt.
    fn unname(&mut self, worker: &Key, was: &crate::api::worker::DispatchRef) {
        if let Some(set) = self.named.get_mut(&was.uid) {
            set.remove(worker);
            if set.is_empty() {
                self.named.remove(&was.uid);
            }
        }
        let key = worker.sibling(was.name.clone());
        if let Some(d) = self.dispatches.get_mut(&key) {
            let status = d.obj.status.as_ref();
            let uid = self.workers.get(worker).map(|w| w.obj.uid_str());
            let its = status.and_then(|s| s.worker.as_ref()).map(|w| w.uid.as_str());
            if d.obj.uid_str() == was.uid
                && status.is_some_and(|s| s.attempt == was.attempt)
                && uid.is_some()
                && its == uid
            {
                d.released = d.released.max(was.attempt);
            }
        }
        self.mark_dispatch(&key);
    }

    fn count_hash(&mut self, pool: &Key, old: &Option<Arc<Worker>>, new: Option<&Arc<Worker>>) {
        let p = self.pools.entry(pool.clone()).or_default();
        if let Some(old) = old {
            if let Some(n) = p.by_hash.get_mut(&old.spec.template_hash) {
                *n -= 1;
                if *n == 0 {
                    p.by_hash.remove(&old.spec.template_hash);
                }
            }
        }
        if let Some(new) = new {
            *p.by_hash.entry(new.spec.template_hash.clone()).or_default() += 1;
        }
    }

    fn lost_worker(&mut self, key: &Key, version: Option<u64>) {
        let Some(e) = self.workers.get(key) else { return };
        if version.is_some_and(|v| e.obj.version() > v) {
            return;
        }
        let (obj, pool, ordinal) = (e.obj.clone(), e.pool.clone(), e.ordinal);
        if let Some(d) = obj.status.as_ref().and_then(|s| s.dispatch.clone()) {
            self.unname(key, &d);
        }
        self.count_hash(&pool, &Some(obj.clone()), None);
        if let Some(e) = self.workers.remove(key) {
            if let Some(d) = &e.reserving {
                self.claims.remove(&d.uid);
                self.mark_dispatch(&key.sibling(d.name.clone()));
            }
            if let Some(slot) = &e.slot {
                self.unslot(key, &pool, ordinal.unwrap_or(-1), slot);
            }
        }
        if let (Some(p), Some(o)) = (self.pools.get_mut(&pool), ordinal) {
            p.workers.remove(&o);
            p.deleting.remove(&o);
        }
        let instance = Self::instance_key(&obj);
        match self.instances.get(&instance).map(|e| &e.view) {
            Some(InstanceView::Gone) => {
                self.instances.remove(&instance);
            }
            Some(_) => {
                self.dirty.insert(Subject::Orphan(instance));
            }
            None => {}
        }
        self.mark_worker(key);
        self.mark_pool(&pool);
    }

    fn saw_dispatch(&mut self, d: Arc<Dispatch>) {
        let key = Key::of(&*d);
        if let Some(e) = self.dispatches.get(&key) {
            if e.obj.version() > d.version() {
                return;
            }
            if e.obj.uid_str() != d.uid_str() {
                self.lost_dispatch(&key, None);
            }
        }
        let pool = key.sibling(d.spec.pool.clone());
        let created = d.metadata.creation_timestamp.as_ref().map_or(jiff::Timestamp::MIN, |t| t.0);
        if let Some(e) = self.dispatches.get_mut(&key) {
            e.obj = d;
        } else {
            let place = Place { priority: Reverse(d.spec.priority), created, name: key.name.clone() };
            let entry = DispatchEntry {
                obj: d,
                pool: pool.clone(),
                place,
                queued: false,
                waiting: false,
                finished: None,
                open_on: None,
                released: 0,
                worker_gone: None,
            };
            self.dispatches.insert(key.clone(), entry);
        }
        self.reindex_dispatch(&key);
        self.mark_dispatch(&key);
        self.mark_namers(&key);
    }

    /// Whoever names a dispatch has to be looked at when it changes.
    fn mark_namers(&mut self, key: &Key) {
        let Some(e) = self.dispatches.get(key) else { return };
        for w in self.named.get(e.obj.uid_str()).cloned().unwrap_or_default() {
            self.mark_worker(&w);
        }
    }

    pub(super) fn lost_dispatch(&mut self, key: &Key, version: Option<u64>) {
        let Some(e) = self.dispatches.get(key) else { return };
        if version.is_some_and(|v| e.obj.version() > v) {
            return;
        }
        self.mark_namers(key);
        let Some(e) = self.dispatches.remove(key) else { return };
        self.unlease(&e.obj);
        self.move_open(key, e.open_on.clone(), None);
        if let Some(p) = self.pools.get_mut(&e.pool) {
            p.queue.remove(&e.place);
            p.waiting.remove(&(e.place.created, key.name.clone()));
            if let Some(t) = e.finished {
                p.finals.remove(&(t, key.name.clone()));
            }
        }
        self.mark_dispatch(key);
        self.mark_pool(&e.pool);
    }

    /// Puts a dispatch into the sets of its pool in which it belongs. The queue itself is left to
    /// [`Core::decide_dispatch`], since a place in it may need a live GET first.
    fn reindex_dispatch(&mut self, key: &Key) {
        let Some(e) = self.dispatches.get_mut(key) else { return };
        let status = e.obj.status.clone().unwrap_or_default();
        let p = self.pools.entry(e.pool.clone()).or_default();
        let waiting = status.phase == DispatchPhase::Pending;
        if waiting != e.waiting {
            let at = (e.place.created, key.name.clone());
            if waiting {
                p.waiting.insert(at)
            } else {
                p.waiting.remove(&at)
            };
            e.waiting = waiting;
        }
        if !waiting && e.queued {
            p.queue.remove(&e.place);
            e.queued = false;
        }
        let finished = status.finished_at.as_ref().map(|t| t.0).filter(|_| status.phase.is_final());
        if finished != e.finished {
            if let Some(t) = e.finished {
                p.finals.remove(&(t, key.name.clone()));
            }
            if let Some(t) = finished {
                p.finals.insert((t, key.name.clone()));
            }
            e.finished = finished;
        }
        let open_on =
            status.worker.as_ref().filter(|_| status.is_open() && !status.phase.is_final()).map(|w| w.uid.clone());
        let before = std::mem::replace(&mut e.open_on, open_on.clone());
        let (pool, obj) = (e.pool.clone(), e.obj.clone());
        if before != open_on {
            self.move_open(key, before, open_on);
        }
        self.lease_of(&obj);
        self.mark_pool(&pool);
    }

    /// An attempt was opened on, or closed from, a worker uid.
    fn move_open(&mut self, key: &Key, from: Option<String>, to: Option<String>) {
        if let Some(uid) = from {
            if let Some(set) = self.open_on.get_mut(&uid) {
                set.remove(key);
                if set.is_empty() {
                    self.open_on.remove(&uid);
                }
            }
            // An orphan may have waited for this.
            let waiting: Vec<InstanceKey> = self.orphan_ops.keys().filter(|k| k.uid == uid).cloned().collect();
            self.dirty.extend(waiting.into_iter().map(Subject::Orphan));
        }
        if let Some(uid) = to {
            self.open_on.entry(uid).or_default().insert(key.clone());
        }
    }

    fn settled(&mut self, subject: Subject, settled: Settled, now: Now) {
        self.inflight.remove(&subject);
        let mut reserved = None;
        if let Subject::Worker(key) = &subject {
            if let Some(e) = self.workers.get_mut(key) {
                reserved = e.reserving.take();
            }
            if let Some(d) = &reserved {
                self.claims.remove(&d.uid);
            }
            self.forget_creating(key);
        }
        match &settled {
            Settled::Done(_) | Settled::Refreshed(_) => {
                self.trouble.remove(&subject);
            }
            Settled::Refused(why) | Settled::Failed(_, why) => self.trouble_with(&subject, why, now),
        }
        match settled {
            Settled::Done(Some(fetched)) | Settled::Refreshed(fetched) | Settled::Failed(Some(fetched), _) => {
                self.saw_fetched(&subject, fetched, now)
            }
            _ => {}
        }
        if let Subject::Worker(key) = &subject {
            self.reindex_worker(key, now);
            let pool = self.workers.get(key).map(|e| e.pool.clone());
            if let Some(p) = pool {
                self.mark_pool(&p);
            }
            if let Some(d) = reserved {
                self.mark_dispatch(&key.sibling(d.name));
            }
        }
        if let Subject::Pool(key) = &subject {
            let gated = self.pools.get_mut(key).map(|p| std::mem::take(&mut p.gated));
            self.dirty.extend(gated.into_iter().flatten().map(Subject::Worker));
        }
        if let Subject::Dispatch(key) = &subject {
            let pool = self.dispatches.get(key).map(|e| e.pool.clone());
            if let Some(p) = pool {
                self.mark_pool(&p);
            }
            self.mark_namers(key);
        }
        self.dirty.insert(subject);
    }

    fn trouble_with(&mut self, subject: &Subject, why: &str, now: Now) {
        let t = self.trouble.entry(subject.clone()).or_insert_with(Trouble::default);
        t.failures += 1;
        t.until = now.mono + (RETRY_MIN * 2u32.pow(t.failures.min(12) - 1)).min(RETRY_MAX);
        let failures = t.failures;
        self.report_trouble(subject, why, failures, now);
    }

    fn forget_creating(&mut self, worker: &Key) {
        let Some((pool, _)) = worker.name.rsplit_once('-') else { return };
        let pool = worker.sibling(pool);
        if let (Some(p), Some(o)) = (self.pools.get_mut(&pool), names::ordinal(&pool.name, &worker.name)) {
            if p.creating.remove(&o) {
                self.mark_pool(&pool);
            }
        }
    }

    /// Takes in what a GET or the answer to a write showed. Absence is a fact for whoever asked.
    fn saw_fetched(&mut self, asker: &Subject, fetched: Fetched, now: Now) {
        match (asker, fetched) {
            (_, Fetched::Pool(Some(p))) => self.saw_pool(p, now),
            (Subject::Pool(key), Fetched::Pool(None)) => self.lost_pool(key, None),
            (Subject::Dispatch(key), Fetched::Worker(found)) => {
                self.worker_fact(key, found.as_deref());
                if let Some(w) = found {
                    self.saw_worker(w, now);
                }
            }
            (Subject::Worker(key), Fetched::Dispatch(found)) => {
                let named = self.workers.get(key).and_then(|e| e.obj.status.as_ref()?.dispatch.clone());
                if let (Some(named), Some(e)) = (named, self.workers.get_mut(key)) {
                    if found.as_ref().is_none_or(|d| d.uid_str() != named.uid) {
                        e.dispatch_gone = Some(named.uid);
                    }
                }
                if let Some(d) = found {
                    self.saw_dispatch(d);
                }
            }
            (Subject::Orphan(key), Fetched::Worker(found)) => {
                let gone = found.as_ref().is_none_or(|w| w.uid_str() != key.uid);
                self.orphan_ops.insert(key.clone(), gone);
                if let Some(w) = found {
                    self.saw_worker(w, now);
                }
            }
            (_, Fetched::Worker(Some(w))) => self.saw_worker(w, now),
            (Subject::Worker(key), Fetched::Worker(None)) => self.lost_worker(key, None),
            (_, Fetched::Dispatch(Some(d))) => self.saw_dispatch(d),
            (Subject::Dispatch(key), Fetched::Dispatch(None)) => self.lost_dispatch(key, None),
            _ => {}
        }
    }

    /// What a live GET of the worker of a dispatch's newest attempt showed.
    fn worker_fact(&mut self, dispatch: &Key, found: Option<&Worker>) {
        let Some(d) = self.dispatches.get_mut(dispatch) else { return };
        let status = d.obj.status.clone().unwrap_or_default();
        let Some(worker) = status.worker else { return };
        match found.filter(|w| w.uid_str() == worker.uid) {
            None => {
                d.worker_gone = Some(worker.uid);
                d.released = d.released.max(status.attempt);
            }
            Some(w) => {
                let named = w.status.as_ref().and_then(|s| s.dispatch.as_ref());
                if named.is_none_or(|n| n.uid != d.obj.uid_str() || n.attempt != status.attempt) {
                    d.released = d.released.max(status.attempt);
                }
            }
        }
    }

    fn runtime_fact(&mut self, fact: RuntimeFact, now: Now) {
        match fact {
            RuntimeFact::Observed(host, Observation::Listed(instances)) => {
                self.hosts.insert(host.clone(), HostEntry { listed: true, message: String::new() });
                let listed: BTreeSet<InstanceKey> = instances.iter().map(|i| i.key.clone()).collect();
                for i in instances {
                    self.saw_instance(&host, i, now);
                }
                // Whoever was there and is not in the list is asked for: a listing may be older than a start.
                let gone: Vec<InstanceKey> = self
                    .instances
                    .iter()
                    .filter(|(k, e)| e.host == host && e.view != InstanceView::Gone && !listed.contains(*k))
                    .map(|(k, _)| k.clone())
                    .collect();
                for k in gone {
                    if let Some(e) = self.workers.get_mut(&Key::new(k.namespace.clone(), k.worker.clone())) {
                        e.checked = Duration::ZERO;
                        e.missed = e.missed.max(1);
                    }
                    self.orphan_ops.remove(&k);
                    self.dirty.insert(Subject::Orphan(k));
                }
                self.reindex_host(&host, now);
            }
            RuntimeFact::Observed(host, Observation::Unreachable(message)) => {
                self.hosts.insert(host.clone(), HostEntry { listed: false, message });
                self.reindex_host(&host, now);
            }
            RuntimeFact::Observed(host, Observation::Changed(i)) => self.saw_instance(&host, i, now),
            RuntimeFact::Observed(host, Observation::Gone(key)) => self.instance_gone(&host, &key, now),
            RuntimeFact::Started(key, result) => {
                let host = self.end_op(&key, Op::Start);
                match (result, host) {
                    (Ok(i), Some(host)) => {
                        let worker = Key::new(key.namespace.clone(), key.worker.clone());
                        if let Some(took) = self.workers.get(&worker).map(|e| now.mono.saturating_sub(e.checked)) {
                            let pool = self.workers[&worker].pool.clone();
                            self.pools.entry(pool).or_default().start_took = Some(took);
                        }
                        self.saw_instance(&host, i, now);
                    }
                    (Err(StartError::Refused(why)), _) => self.start_failed(&key, why, now),
                    (Err(StartError::Unreachable(why) | StartError::Unknown(why)), Some(host)) => {
                        // Nothing is known until the host is listed again.
                        self.hosts.insert(host.clone(), HostEntry { listed: false, message: why });
                        self.reindex_host(&host, now);
                    }
                    _ => {}
                }
                self.touch_instance(&key, now);
            }
            RuntimeFact::Stopped(key, result) => {
                let host = self.end_op(&key, Op::Stop);
                match (result, host) {
                    (Ok(()), Some(host)) => self.instance_gone(&host, &key, now),
                    (Err(e), _) => {
                        let subject = self.subject_of(&key);
                        self.trouble_with(&subject, &e.to_string(), now);
                    }
                    _ => {}
                }
                self.touch_instance(&key, now);
            }
            RuntimeFact::Checked(key, result) => {
                let host = self.end_op(&key, Op::Check);
                let worker = Key::new(key.namespace.clone(), key.worker.clone());
                if let Some(e) = self.workers.get_mut(&worker).filter(|e| e.obj.uid_str() == key.uid) {
                    e.checked = now.mono;
                    match &result {
                        Ok(Some(i)) if i.state == InstanceState::Running => e.missed = 0,
                        Ok(_) => {}
                        Err(_) => e.missed += 1,
                    }
                }
                match (result, host) {
                    (Ok(Some(i)), Some(host)) => self.saw_instance(&host, i, now),
                    (Ok(None), Some(host)) => self.instance_gone(&host, &key, now),
                    _ => {}
                }
                self.touch_instance(&key, now);
            }
        }
    }

    /// Ends an order, and says on which host it was.
    fn end_op(&mut self, key: &InstanceKey, op: Op) -> Option<HostKey> {
        let worker = Key::new(key.namespace.clone(), key.worker.clone());
        if let Some(e) = self.workers.get_mut(&worker).filter(|e| e.obj.uid_str() == key.uid) {
            if e.op == Some(op) {
                e.op = None;
            }
            return Some(Self::host_of(&e.obj));
        }
        self.orphan_ops.remove(key);
        self.stopping.remove(key);
        self.instances.get(key).map(|e| e.host.clone())
    }

    fn subject_of(&self, key: &InstanceKey) -> Subject {
        let worker = Key::new(key.namespace.clone(), key.worker.clone());
        match self.workers.get(&worker) {
            Some(e) if e.obj.uid_str() == key.uid => Subject::Worker(worker),
            _ => Subject::Orphan(key.clone()),
        }
    }

    fn saw_instance(&mut self, host: &HostKey, i: Instance, now: Now) {
        let key = i.key.clone();
        let view = match &i.state {
            InstanceState::Exited(exit) => InstanceView::Ended(i.clone(), exit.clone()),
            _ => InstanceView::There(i),
        };
        // What has ended does not come back: a late answer may be older than the end.
        let ended = self.instances.get(&key).is_some_and(|e| e.view.is_dead());
        if !ended {
            self.instances.insert(key.clone(), InstanceEntry { host: host.clone(), view });
        }
        self.touch_instance(&key, now);
    }

    fn instance_gone(&mut self, host: &HostKey, key: &InstanceKey, now: Now) {
        // An end with an exit code says more than that it is gone; the finalizer asks by a stop order.
        if !self.instances.get(key).is_some_and(|e| matches!(e.view, InstanceView::Ended(..)) && !self.is_leaving(key))
        {
            self.instances.insert(key.clone(), InstanceEntry { host: host.clone(), view: InstanceView::Gone });
        }
        self.touch_instance(key, now);
    }

    fn is_leaving(&self, key: &InstanceKey) -> bool {
        let worker = Key::new(key.namespace.clone(), key.worker.clone());
        self.workers.get(&worker).is_none_or(|e| e.obj.uid_str() != key.uid || e.obj.is_deleting())
    }

    /// Marks all that depends on an instance.
    fn touch_instance(&mut self, key: &InstanceKey, now: Now) {
        let worker = Key::new(key.namespace.clone(), key.worker.clone());
        match self.workers.get(&worker) {
            Some(e) if e.obj.uid_str() == key.uid => {
                let running = e.obj.status.as_ref().and_then(|s| s.dispatch.clone());
                self.reindex_worker(&worker, now);
                self.mark_worker(&worker);
                if let Some(d) = running {
                    self.mark_dispatch(&worker.sibling(d.name));
                }
            }
            _ => {
                if self.instances.get(key).is_some_and(|e| e.view == InstanceView::Gone) {
                    self.instances.remove(key);
                    self.orphan_ops.remove(key);
                } else if self.instances.contains_key(key) {
                    self.dirty.insert(Subject::Orphan(key.clone()));
                }
            }
        }
    }

    /// A host came or went: every worker on it is looked at. Rare, so a scan will do.
    fn reindex_host(&mut self, host: &HostKey, now: Now) {
        let on_it: Vec<Key> =
            self.workers.iter().filter(|(_, e)| Self::host_of(&e.obj) == *host).map(|(k, _)| k.clone()).collect();
        for w in on_it {
            self.reindex_worker(&w, now);
            self.mark_worker(&w);
            let running = self.workers.get(&w).and_then(|e| e.obj.status.as_ref()?.dispatch.clone());
            if let Some(d) = running {
                self.mark_dispatch(&w.sibling(d.name));
            }
        }
        let pools: Vec<Key> = self.pools.keys().cloned().collect();
        for p in pools {
            self.mark_pool(&p);
        }
        let orphans: Vec<InstanceKey> =
            self.instances.iter().filter(|(_, e)| e.host == *host).map(|(k, _)| k.clone()).collect();
        for k in orphans {
            if matches!(self.subject_of(&k), Subject::Orphan(_)) {
                self.dirty.insert(Subject::Orphan(k));
            }
        }
    }
}

fn missing<'a>(known: impl Iterator<Item = &'a Key>, listed: &BTreeSet<Key>) -> Vec<Key> {
    known.filter(|k| !listed.contains(*k)).cloned().collect()
}
