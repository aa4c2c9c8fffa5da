//! What runtimes tell.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::worker::WorkerPhase;
use crate::core::actions::Attempted;
use crate::core::object::worker_status;
use crate::core::state::instances::{InstanceEntry, InstanceView, host_of};
use crate::core::state::workers::Op;
use crate::core::{Core, HostKey, Now, Object, ObjectKey, RuntimeFact, Subject};
use crate::runtime::{Instance, InstanceKey, InstanceState, Observation, StartError};

impl Core {
    pub(in crate::core) fn runtime_fact(&mut self, fact: RuntimeFact, now: Now) {
        match fact {
            RuntimeFact::Observed(host, Observation::Listed(instances)) => {
                self.instances.listed(&host);
                let listed: BTreeSet<&InstanceKey> = instances.iter().map(|i| &i.key).collect();
                // Whoever was there and is not in the list is asked for: a listing may be older than a start.
                let gone: Vec<InstanceKey> = self
                    .instances
                    .on_host(&host)
                    .filter(|(k, e)| e.view != InstanceView::Gone && !listed.contains(*k))
                    .map(|(k, _)| k.clone())
                    .collect();
                for i in instances {
                    self.observed(&host, i, now);
                }
                for k in gone {
                    if let Some(e) = self.workers.get_mut(&ObjectKey::of_instance(&k)) {
                        e.checked = Duration::ZERO;
                        e.missed = e.missed.max(1);
                    }
                    self.instances.uncheck_orphan(&k);
                    self.agenda.mark(Subject::Orphan(Box::new(k)));
                }
                self.reindex_host(&host, now);
            }
            RuntimeFact::Observed(host, Observation::Unreachable(message)) => {
                self.instances.unreachable(&host, message);
                self.reindex_host(&host, now);
            }
            RuntimeFact::Observed(host, Observation::Changed(i)) => self.observed(&host, i, now),
            RuntimeFact::Observed(host, Observation::Gone(key)) => self.instance_gone(&host, &key, now),
            RuntimeFact::Started(key, result) => {
                let host = self.end_op(&key, Op::Start);
                match (result, host) {
                    (Ok(i), Some(host)) => self.answered(&host, i, now),
                    (Err(error @ (StartError::NotNow(_) | StartError::Unknown(_))), _) => {
                        self.put_off(&key, &error, now);
                    }
                    (Err(StartError::Refused(why)), _) => self.start_failed(&key, why),
                    (Err(StartError::Unreachable(why)), Some(host)) => {
                        // Nothing is known until the host is listed again.
                        self.instances.unreachable(&host, why);
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
                        self.failed(&subject, Attempted::Stop, &e.to_string(), now);
                    }
                    _ => {}
                }
                self.touch_instance(&key, now);
            }
            RuntimeFact::Checked(key, result) => {
                let host = self.end_op(&key, Op::Check);
                let worker = ObjectKey::of_instance(&key);
                if let Some(e) = self.workers.of_instance_mut(&key) {
                    e.checked = now.mono;
                    if e.start_unknown {
                        match &result {
                            Err(_) if self.instances.get(&key).is_some() => e.start_unknown = false,
                            Err(why) => {
                                let why = why.to_string();
                                self.failed(&Subject::Worker(worker.clone()), Attempted::Start, &why, now);
                            }
                            Ok(found) => {
                                e.start_unknown = false;
                                if found.is_none() {
                                    self.touch_instance(&key, now); // it was not made: start it again
                                    return;
                                }
                            }
                        }
                        if let (Ok(Some(i)), Some(host)) = (result, host) {
                            self.answered(&host, i, now);
                        }
                        self.touch_instance(&key, now);
                        return;
                    }
                    let starting = worker_status(&e.obj).phase == WorkerPhase::Starting;
                    match &result {
                        Ok(Some(i)) if starting || i.state == InstanceState::Running => e.missed = 0,
                        Ok(_) => {}
                        Err(_) => e.missed += 1,
                    }
                }
                match (result, host) {
                    (Ok(Some(i)), Some(host)) => self.answered(&host, i, now),
                    (Ok(None), Some(host)) => self.instance_gone(&host, &key, now),
                    _ => {}
                }
                self.touch_instance(&key, now);
            }
        }
    }

    /// A start did not come about as far as is known. Whoever answered so is not asked again at once.
    fn put_off(&mut self, instance: &InstanceKey, error: &StartError, now: Now) {
        let Some(e) = self.workers.of_instance_mut(instance).filter(|e| !e.obj.is_deleting()) else { return };
        if matches!(error, StartError::NotNow(_)) {
            e.since = now.mono; // it is not given up for what is no fault of its own
        } else if e.observed {
            return; // it was made
        } else {
            e.start_unknown = true;
        }
        let why = error.to_string();
        e.not_now = Some(why.clone());
        self.failed(&Subject::Worker(ObjectKey::of_instance(instance)), Attempted::Start, &why, now);
    }

    /// A start is put off no longer.
    pub(in crate::core) fn put_off_no_longer(&mut self, worker: &ObjectKey) {
        if self.workers.get_mut(worker).is_some_and(|e| e.not_now.take().is_some()) {
            self.agenda.forget_failures(&Subject::Worker(worker.clone()));
        }
    }

    /// An observation showed an instance.
    fn observed(&mut self, host: &HostKey, i: Instance, now: Now) {
        if let Some(e) = self.workers.of_instance_mut(&i.key) {
            e.observed = true;
        }
        self.saw_instance(host, i, now);
    }

    /// The answer to an order shows an instance as it was at some time since the order began. What was observed meanwhile may
    /// be newer, and if it is not, the observation goes on; only an end is final.
    fn answered(&mut self, host: &HostKey, i: Instance, now: Now) {
        let is_old = self.workers.of_instance(&i.key).is_some_and(|e| e.observed);
        if !is_old || matches!(i.state, InstanceState::Exited(_)) {
            self.saw_instance(host, i, now);
        }
    }

    /// Ends an order, and says on which host it was.
    pub(in crate::core) fn end_op(&mut self, key: &InstanceKey, op: Op) -> Option<HostKey> {
        if let Some(e) = self.workers.of_instance_mut(key) {
            if e.op == Some(op) {
                e.op = None;
            }
            return Some(host_of(&e.obj));
        }
        self.instances.end_stop(key);
        self.instances.get(key).map(|e| e.host.clone())
    }

    pub(in crate::core) fn subject_of(&self, key: &InstanceKey) -> Subject {
        match self.workers.of_instance(key) {
            Some(_) => Subject::Worker(ObjectKey::of_instance(key)),
            None => Subject::Orphan(Box::new(key.clone())),
        }
    }

    pub(in crate::core) fn saw_instance(&mut self, host: &HostKey, i: Instance, now: Now) {
        let key = i.key.clone();
        let worker = ObjectKey::of_instance(&key);
        if let Some(e) = self.workers.of_instance_mut(&key) {
            // While it is held, the time that a start may take does not run.
            let held = |s: &InstanceState| matches!(s, InstanceState::NotReady { held: true, .. });
            let was = matches!(self.instances.get(&key).map(|e| &e.view), Some(InstanceView::There { state, .. }) if held(state));
            if was || held(&i.state) {
                e.since = now.mono;
            }
            // The answer of a check that asks whether it was made may be older.
            if e.op != Some(Op::Check) {
                e.start_unknown = false;
            }
            self.put_off_no_longer(&worker);
        }
        let view = match i.state {
            InstanceState::Exited(exit) => InstanceView::Ended(exit),
            state => InstanceView::There { handle: i.handle, state },
        };
        // What has ended does not come back: a late answer may be older than the end.
        let ended = self.instances.get(&key).is_some_and(|e| e.view.is_dead());
        if !ended {
            self.instances.record(key.clone(), InstanceEntry { host: host.clone(), own: i.own, view });
        }
        self.touch_instance(&key, now);
    }

    pub(in crate::core) fn instance_gone(&mut self, host: &HostKey, key: &InstanceKey, now: Now) {
        // An end with an exit code says more than that it is gone; the finalizer asks by a stop order.
        if !self.instances.get(key).is_some_and(|e| matches!(e.view, InstanceView::Ended(..)) && !self.is_leaving(key))
        {
            let (host, view) = (host.clone(), InstanceView::Gone);
            self.instances.record(key.clone(), InstanceEntry { host, own: true, view });
        }
        self.touch_instance(key, now);
    }

    pub(in crate::core) fn is_leaving(&self, key: &InstanceKey) -> bool {
        self.workers.of_instance(key).is_none_or(|e| e.obj.is_deleting())
    }

    /// Marks all that depends on an instance.
    pub(in crate::core) fn touch_instance(&mut self, key: &InstanceKey, now: Now) {
        match self.workers.of_instance(key) {
            Some(e) => {
                let worker = ObjectKey::of_instance(key);
                let running = e.obj.status.as_ref().and_then(|s| s.dispatch.clone());
                self.reindex_worker(&worker, now);
                self.agenda.mark_worker(&worker);
                if let Some(d) = running {
                    self.agenda.mark_dispatch(&worker.sibling(d.name));
                }
            }
            None => {
                let orphan = Subject::Orphan(Box::new(key.clone()));
                if self.instances.get(key).is_none_or(|e| e.view == InstanceView::Gone) {
                    self.instances.forget(key);
                    self.instances.uncheck_orphan(key);
                    self.agenda.forget_failures(&orphan);
                } else {
                    self.agenda.mark(orphan);
                }
            }
        }
    }

    /// A host came or went: every worker on it is looked at, and every attempt that no worker leads to. Rare, so a scan will do.
    pub(in crate::core) fn reindex_host(&mut self, host: &HostKey, now: Now) {
        let on_it: Vec<ObjectKey> =
            self.workers.iter().filter(|(_, e)| host_of(&e.obj) == *host).map(|(k, _)| k.clone()).collect();
        for w in on_it {
            self.reindex_worker(&w, now);
            self.agenda.mark_worker(&w);
            let running = self.workers.get(&w).and_then(|e| e.obj.status.as_ref()?.dispatch.clone());
            if let Some(d) = running {
                self.agenda.mark_dispatch(&w.sibling(d.name));
            }
        }
        let known: BTreeSet<&str> = self.workers.iter().map(|(_, e)| e.obj.uid_str()).collect();
        for dispatch in self.claims.open_on_others(&known) {
            self.agenda.mark_dispatch(dispatch);
        }
        let pools: Vec<ObjectKey> = self.pools.iter().map(|(k, _)| k.clone()).collect();
        for p in pools {
            self.agenda.mark_pool(&p);
        }
        let orphans: Vec<InstanceKey> = self.instances.on_host(host).map(|(k, _)| k.clone()).collect();
        for k in orphans {
            if matches!(self.subject_of(&k), Subject::Orphan(_)) {
                self.agenda.mark(Subject::Orphan(Box::new(k)));
            }
        }
    }
}
