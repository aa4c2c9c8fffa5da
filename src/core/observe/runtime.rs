//! What runtimes report and answer.

use std::collections::BTreeSet;

use crate::api::worker::WorkerPhase;
use crate::core::agenda::Attempted;
use crate::core::object::worker_status;
use crate::core::state::instances::{InstanceEntry, InstanceView, host_of};
use crate::core::state::life::Order;
use crate::core::state::workers::WorkerEntry;
use crate::core::{Core, HostKey, Now, Object, ObjectKey, RuntimeFact, Subject};
use crate::runtime::{Instance, InstanceKey, InstanceState, Observation, RuntimeError, StartError};

impl Core {
    /// Takes in what a runtime reported or answered.
    pub(in crate::core) fn runtime_fact(&mut self, fact: RuntimeFact, now: Now) {
        match fact {
            RuntimeFact::Observed(host, Observation::Listed(instances)) => self.host_listed(&host, instances, now),
            RuntimeFact::Observed(host, Observation::Unreachable(why)) => self.host_unreachable(&host, why, now),
            RuntimeFact::Observed(host, Observation::Changed(i)) => self.observed(&host, i, now),
            RuntimeFact::Observed(host, Observation::Gone(key)) => self.instance_gone(&host, &key, now),
            RuntimeFact::Started(key, result) => {
                let host = self.order_answered(&key, Order::Start);
                self.start_answered(&key, host.as_ref(), result, now);
                self.mark_dependents(&key, now);
            }
            RuntimeFact::Stopped(key, result) => {
                let host = self.order_answered(&key, Order::Stop);
                match (result, host) {
                    (Ok(()), Some(host)) => self.instance_gone(&host, &key, now),
                    (Ok(()), None) => {}
                    (Err(e), _) => {
                        let subject = self.subject_of(&key);
                        self.failed(&subject, Attempted::Stop, &e.to_string(), now);
                    }
                }
                self.mark_dependents(&key, now);
            }
            RuntimeFact::Checked(key, result) => {
                let host = self.order_answered(&key, Order::Check);
                if self.workers.of_instance(&key).is_some_and(|e| e.life().is_unanswered()) {
                    self.start_checked(&key, host.as_ref(), result, now);
                } else {
                    self.health_checked(&key, host.as_ref(), result, now);
                }
                self.mark_dependents(&key, now);
            }
            RuntimeFact::PausedSet(key, paused, result) => {
                let host = self.order_answered(&key, Order::SetPaused);
                self.pause_answered(&key, host.as_ref(), paused, result, now);
                self.mark_dependents(&key, now);
            }
        }
    }

    /// The answer to an order to pause an instance, or to let it go on.
    fn pause_answered(
        &mut self,
        key: &InstanceKey,
        host: Option<&HostKey>,
        paused: bool,
        result: Result<Option<Instance>, RuntimeError>,
        now: Now,
    ) {
        if let Some(e) = self.workers.of_instance_mut(key).filter(|_| !paused) {
            match &result {
                Ok(Some(i)) if i.state == InstanceState::Paused => e.life_mut().cannot_go_on(),
                Ok(_) => e.life_mut().goes_on(),
                Err(_) => e.life_mut().cannot_go_on(),
            }
        }
        match (result, host) {
            (Ok(Some(i)), Some(host)) => self.answered(host, i, now),
            (Ok(None), Some(host)) => self.instance_gone(host, key, now),
            _ => {}
        }
    }

    fn host_listed(&mut self, host: &HostKey, instances: Vec<Instance>, now: Now) {
        self.instances.listed(host);
        let listed: BTreeSet<&InstanceKey> = instances.iter().map(|i| &i.key).collect();
        // An instance that was there and is not in the list is checked: a listing may be older than a start.
        let gone: Vec<InstanceKey> = self
            .instances
            .on_host(host)
            .filter(|(k, e)| e.view != InstanceView::Gone && !listed.contains(*k))
            .map(|(k, _)| k.clone())
            .collect();
        for i in instances {
            self.observed(host, i, now);
        }
        for k in gone {
            if let Some(e) = self.workers.get_mut(&ObjectKey::of_instance(&k)) {
                e.life_mut().not_listed();
            }
            self.instances.uncheck_orphan(&k);
            self.agenda.mark(Subject::Orphan(Box::new(k)));
        }
        self.reindex_host(host, now);
    }

    fn host_unreachable(&mut self, host: &HostKey, why: String, now: Now) {
        self.instances.unreachable(host, why);
        self.reindex_host(host, now);
    }

    fn start_answered(
        &mut self,
        key: &InstanceKey,
        host: Option<&HostKey>,
        result: Result<Instance, StartError>,
        now: Now,
    ) {
        match (result, host) {
            (Ok(i), Some(host)) => self.answered(host, i, now),
            (Err(error @ (StartError::NotNow(_) | StartError::Unknown(_))), _) => self.start_waits(key, &error, now),
            (Err(StartError::Refused(why)), _) => {
                if self.workers.of_instance(key).is_some() {
                    self.fail_start(&ObjectKey::of_instance(key), why);
                }
            }
            (Err(StartError::Unreachable(why)), Some(host)) => self.host_unreachable(host, why, now),
            (Ok(_) | Err(StartError::Unreachable(_)), None) => {}
        }
    }

    /// A start did not happen, as far as is known. It is retried after a wait.
    fn start_waits(&mut self, instance: &InstanceKey, error: &StartError, now: Now) {
        let Some(e) = self.workers.of_instance_mut(instance).filter(|e| !e.obj().is_deleting()) else { return };
        let why = error.to_string();
        if matches!(error, StartError::NotNow(_)) {
            e.life_mut().postponed(why.clone(), now.mono);
        } else if !e.life_mut().unanswered(why.clone()) {
            return;
        }
        self.failed(&Subject::Worker(ObjectKey::of_instance(instance)), Attempted::Start, &why, now);
    }

    /// A start no longer waits.
    pub(in crate::core) fn start_no_longer_waits(&mut self, worker: &ObjectKey) {
        if self.workers.get_mut(worker).is_some_and(|e| e.life_mut().cease_to_wait()) {
            self.agenda.forget_failures(&Subject::Worker(worker.clone()));
        }
    }

    /// The answer to a check that asks whether a start made the instance, since the answer to the start was lost.
    fn start_checked(
        &mut self,
        key: &InstanceKey,
        host: Option<&HostKey>,
        result: Result<Option<Instance>, RuntimeError>,
        now: Now,
    ) {
        let is_seen = self.instances.get(key).is_some();
        let Some(e) = self.workers.of_instance_mut(key) else { return };
        e.life_mut().checked(now.mono);
        if result.is_ok() || is_seen {
            e.life_mut().confirmed();
        }
        match (result, host) {
            (Ok(Some(i)), Some(host)) => self.answered(host, i, now),
            (Ok(_), _) => {} // if it was not made it is started again
            (Err(_), _) if is_seen => {}
            (Err(why), _) => {
                let worker = Subject::Worker(ObjectKey::of_instance(key));
                self.failed(&worker, Attempted::Start, &why.to_string(), now);
            }
        }
    }

    /// The answer to a check of an instance that was seen before.
    fn health_checked(
        &mut self,
        key: &InstanceKey,
        host: Option<&HostKey>,
        result: Result<Option<Instance>, RuntimeError>,
        now: Now,
    ) {
        if let Some(e) = self.workers.of_instance_mut(key) {
            e.life_mut().checked(now.mono);
            let starting = worker_status(e.obj()).phase == WorkerPhase::Starting;
            match &result {
                Ok(Some(i)) if starting || matches!(i.state, InstanceState::Running | InstanceState::Paused) => {
                    e.life_mut().passed_check();
                }
                Ok(_) => {}
                Err(_) => e.life_mut().missed_check(),
            }
        }
        match (result, host) {
            (Ok(Some(i)), Some(host)) => self.answered(host, i, now),
            (Ok(None), Some(host)) => self.instance_gone(host, key, now),
            _ => {}
        }
    }

    /// An observation showed an instance.
    fn observed(&mut self, host: &HostKey, i: Instance, now: Now) {
        if let Some(e) = self.workers.of_instance_mut(&i.key) {
            e.life_mut().observed();
        }
        self.saw_instance(host, i, now);
    }

    /// The answer to an order shows an instance as it was at some time since the order began. What was observed meanwhile may
    /// be newer. If it is not, a newer observation follows. Only an end is final.
    fn answered(&mut self, host: &HostKey, i: Instance, now: Now) {
        let is_old = self.workers.of_instance(&i.key).is_some_and(|e| e.life().was_observed());
        if !is_old || matches!(i.state, InstanceState::Exited(_)) {
            self.saw_instance(host, i, now);
        }
    }

    /// Ends an order. Returns the host that it was for.
    fn order_answered(&mut self, key: &InstanceKey, order: Order) -> Option<HostKey> {
        if let Some(e) = self.workers.of_instance_mut(key) {
            e.life_mut().answered(order);
            return Some(host_of(e.obj()));
        }
        self.instances.end_stop(key);
        self.instances.get(key).map(|e| e.host.clone())
    }

    /// What a decision about an instance is about: its Worker, or the instance as an orphan.
    pub(in crate::core) fn subject_of(&self, key: &InstanceKey) -> Subject {
        match self.workers.of_instance(key) {
            Some(_) => Subject::Worker(ObjectKey::of_instance(key)),
            None => Subject::Orphan(Box::new(key.clone())),
        }
    }

    /// Records what was seen of an instance.
    pub(in crate::core) fn saw_instance(&mut self, host: &HostKey, i: Instance, now: Now) {
        let key = i.key.clone();
        if let Some(e) = self.workers.of_instance_mut(&key) {
            // While the instance is held, the time that its start may take does not run.
            let held = |s: &InstanceState| matches!(s, InstanceState::NotReady { held: true, .. });
            let before = self.instances.get(&key).map(|e| &e.view);
            let was = matches!(before, Some(InstanceView::There { state, .. }) if held(state));
            if e.life_mut().seen(was || held(&i.state), now.mono) {
                self.agenda.forget_failures(&Subject::Worker(ObjectKey::of_instance(&key)));
            }
        }
        let view = match i.state {
            InstanceState::Exited(exit) => InstanceView::Ended(exit),
            state => InstanceView::There { handle: i.handle, state },
        };
        // An instance that ended does not run again: a late answer may be older than the end.
        let ended = self.instances.get(&key).is_some_and(|e| e.view.is_dead());
        if !ended {
            self.instances.record(key.clone(), InstanceEntry { host: host.clone(), own: i.own, view });
        }
        self.mark_dependents(&key, now);
    }

    /// The runtime confirmed that an instance is gone.
    pub(in crate::core) fn instance_gone(&mut self, host: &HostKey, key: &InstanceKey, now: Now) {
        // An end with an exit code says more than that the instance is gone. For the finalizer the answer to a stop counts.
        if !self.instances.get(key).is_some_and(|e| matches!(e.view, InstanceView::Ended(..)) && !self.is_leaving(key))
        {
            let (host, view) = (host.clone(), InstanceView::Gone);
            self.instances.record(key.clone(), InstanceEntry { host, own: true, view });
        }
        self.mark_dependents(key, now);
    }

    /// True if the Worker of an instance is being deleted, or is gone.
    pub(in crate::core) fn is_leaving(&self, key: &InstanceKey) -> bool {
        self.workers.of_instance(key).is_none_or(|e| e.obj().is_deleting())
    }

    /// Marks all that depends on an instance.
    pub(in crate::core) fn mark_dependents(&mut self, key: &InstanceKey, now: Now) {
        match self.workers.of_instance(key) {
            Some(e) => {
                let worker = ObjectKey::of_instance(key);
                let running = e.named().cloned();
                self.reindex_worker(&worker, now);
                self.agenda.mark_worker(&worker);
                if let Some(d) = running {
                    self.agenda.mark_dispatch(&worker.sibling(d.name));
                }
            }
            None => {
                for dispatch in self.claims.lost_on(&key.uid) {
                    self.agenda.mark_dispatch(dispatch);
                }
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

    /// A host was listed or lost: marks every worker on it, and every attempt that no worker leads to. This is rare, so a scan is fine.
    pub(in crate::core) fn reindex_host(&mut self, host: &HostKey, now: Now) {
        let on_it: Vec<ObjectKey> =
            self.workers.iter().filter(|(_, e)| host_of(e.obj()) == *host).map(|(k, _)| k.clone()).collect();
        for w in on_it {
            self.reindex_worker(&w, now);
            self.agenda.mark_worker(&w);
            let running = self.workers.get(&w).and_then(WorkerEntry::named).cloned();
            if let Some(d) = running {
                self.agenda.mark_dispatch(&w.sibling(d.name));
            }
        }
        let known: BTreeSet<&str> = self.workers.iter().map(|(_, e)| e.obj().uid_str()).collect();
        for dispatch in self.claims.open_on_others(&known).chain(self.claims.all_lost()) {
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
