//! The ground truth: hosts, instances with their tasks, and the observers.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use poolkeeper::clock::{Clock, Ids};
use poolkeeper::runtime::{Instance, InstanceKey, InstanceState, Observation, RuntimeError, StartError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{FakeEvent, Fault, NotThere, What};

pub struct World {
    pub clock: Arc<dyn Clock>,
    pub ids: Ids,
    pub hosts: BTreeMap<String, bool>,
    pub instances: BTreeMap<String, Held>,
    pub starts: BTreeMap<String, u32>,
    pub observers: Vec<Observer>,
    pub events: Vec<FakeEvent>,
    pub latency: Range<Duration>,
    pub start_time: Range<Duration>,
    pub stop_time: Range<Duration>,
    pub relist: Duration,
    pub next_starts: Vec<Fault>,
    pub next_stops: Vec<Fault>,
    /// Whether the next pause is refused, and whether every end of one is.
    pub refuse_pauses: (bool, bool),
}

pub struct Held {
    pub instance: Instance,
    pub tasks: BTreeSet<(String, i32)>,
}

pub struct Observer {
    pub host: String,
    pub queue: mpsc::UnboundedSender<(Instant, Observation)>,
    /// Nothing overtakes what was sent before.
    pub last: Instant,
}

impl World {
    pub fn reachable(&self, host: &str) -> bool {
        self.hosts.get(host).copied().unwrap_or(false)
    }

    /// A runtime that lists once does not report that a host was not reached, since no listing would revoke that.
    pub fn not_reached(&self) -> StartError {
        let (why, once) = ("no route to host".to_owned(), self.relist > Duration::from_secs(3600));
        if once { StartError::Unknown(why) } else { StartError::Unreachable(why) }
    }

    pub fn known(&self, host: &str) -> Result<(), RuntimeError> {
        if self.hosts.contains_key(host) { Ok(()) } else { Err(RuntimeError::Refused(format!("no host {host}"))) }
    }

    pub fn within(&self, bounds: &Range<Duration>) -> Duration {
        bounds.start + bounds.end.saturating_sub(bounds.start).mul_f64(self.ids.unit())
    }

    pub fn record(&mut self, what: What) {
        let event = FakeEvent { at: self.clock.now(), mono: self.clock.mono(), what };
        self.events.push(event);
    }

    pub fn listed(&self, host: &str) -> Observation {
        let there = self.instances.values().filter(|held| held.instance.host == host);
        Observation::Listed(there.map(|held| held.instance.clone()).collect())
    }

    /// Sends an observation to all observers of the host, if it is reachable.
    pub fn tell(&mut self, host: &str, observation: &Observation) {
        if self.reachable(host) {
            self.tell_all(host, observation);
        }
    }

    pub fn tell_cut_off(&mut self, host: &str) {
        self.tell_all(host, &Observation::Unreachable("no route to host".to_owned()));
    }

    fn tell_all(&mut self, host: &str, observation: &Observation) {
        let mut observers = std::mem::take(&mut self.observers);
        observers.retain_mut(|observer| observer.host != host || self.send(observer, observation.clone()));
        self.observers = observers;
    }

    pub fn send(&self, observer: &mut Observer, observation: Observation) -> bool {
        observer.last = observer.last.max(Instant::now() + self.within(&self.latency));
        observer.queue.send((observer.last, observation)).is_ok()
    }

    /// Pauses an instance that runs, or lets a paused one go on. Answers with how it is then.
    pub fn set_paused(&mut self, host: &str, key: &InstanceKey, paused: bool, by: &str) -> Option<Instance> {
        let held = self.instances.get_mut(&key.uid).filter(|held| held.instance.host == host)?;
        let (from, to) = match paused {
            true => (InstanceState::Running, InstanceState::Paused),
            false => (InstanceState::Paused, InstanceState::Running),
        };
        if held.instance.state != from {
            return Some(held.instance.clone());
        }
        held.instance.state = to;
        let (instance, tasks) = (held.instance.clone(), held.live());
        self.record(What::PauseSet { key: key.clone(), by: by.to_owned(), paused, tasks });
        self.tell(host, &Observation::Changed(instance.clone()));
        Some(instance)
    }

    pub fn running(&mut self, id: &str) -> Result<&mut Held, NotThere> {
        let reachable: BTreeSet<String> =
            self.hosts.iter().filter(|(_, up)| **up).map(|(host, _)| host.clone()).collect();
        let found = self.instances.values_mut().find(|held| held.instance.handle.id == id);
        let held = found.ok_or_else(|| NotThere(format!("there is no {id}")))?;
        if held.instance.state != InstanceState::Running {
            return Err(NotThere(format!("{id} does not run")));
        }
        if !reachable.contains(&held.instance.host) {
            return Err(NotThere(format!("the host of {id} is not reached")));
        }
        Ok(held)
    }
}

impl Held {
    pub fn live(&self) -> Vec<(String, i32)> {
        self.tasks.iter().cloned().collect()
    }
}
