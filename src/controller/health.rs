//! What the probes say: written by the loop, its watches and the election, read by the server of the probes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A loop that did not turn for this long hangs. It turns at least every 30 s, if only to look at the clock.
const HANGS: Duration = Duration::from_secs(60);

/// Where this process stands among those that may lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// The Lease was not read yet.
    #[default]
    Starting,
    /// The Lease cannot be read or written, and why.
    Failing(String),
    /// Somebody else leads; their identity, if there is one.
    Standby(Option<String>),
    /// This one leads.
    Leader,
    /// There is no election.
    Alone,
}

/// Shared by clones.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Monotonic time of the loop's last turn. None: no loop is to run.
    beat: Option<Duration>,
    standing: Standing,
    watches: BTreeMap<String, Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    listed: bool,
    fault: Option<Fault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    /// The kind is not served.
    missing: bool,
    text: String,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop turned.
    pub fn beat(&self, now: Duration) {
        self.lock().beat = Some(now);
    }

    /// The loop ended: nothing is watched any more.
    pub fn ended(&self) {
        let mut state = self.lock();
        state.beat = None;
        state.watches.clear();
    }

    /// The election came to this. True if that is new.
    pub fn stands(&self, standing: Standing) -> bool {
        let old = std::mem::replace(&mut self.lock().standing, standing.clone());
        old != standing
    }

    /// What the election came to last.
    pub fn standing(&self) -> Standing {
        self.lock().standing.clone()
    }

    /// This kind is going to be followed.
    pub fn follows(&self, kind: &str) {
        self.lock().watches.entry(kind.to_owned()).or_default();
    }

    /// All objects of the kind were listed. True if the watch had failed before.
    pub fn listed(&self, kind: &str) -> bool {
        let mut state = self.lock();
        let Some(watch) = state.watches.get_mut(kind) else { return false };
        watch.listed = true;
        watch.fault.take().is_some()
    }

    /// The watch on the kind is open. True if it had failed before.
    pub fn connected(&self, kind: &str) -> bool {
        self.lock().watches.get_mut(kind).is_some_and(|watch| watch.fault.take().is_some())
    }

    /// The watch on the kind failed; `missing`: because the kind is not served. True if that is new.
    pub fn failed(&self, kind: &str, missing: bool, text: String) -> bool {
        let fault = Some(Fault { missing, text });
        let mut state = self.lock();
        let Some(watch) = state.watches.get_mut(kind) else { return false };
        let new = watch.fault != fault;
        watch.fault = fault;
        new
    }

    /// Whether the process works, whatever the API server does.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn live(&self, now: Duration) -> Result<String, String> {
        match self.lock().beat.map(|beat| now.saturating_sub(beat)) {
            Some(age) if age > HANGS => Err(format!("the controller's loop did not turn for {}s", age.as_secs())),
            _ => Ok("ok".to_owned()),
        }
    }

    /// Whether it does, or would at once do, what it is for. One line each of what is known.
    ///
    /// # Errors
    /// Why not, for people: one line each.
    pub fn ready(&self) -> Result<String, String> {
        let state = self.lock();
        let first = match &state.standing {
            Standing::Starting => return Err("the Lease was not read yet".to_owned()),
            Standing::Failing(why) => return Err(why.clone()),
            Standing::Standby(Some(holder)) => return Ok(format!("standby: {holder} leads")),
            Standing::Standby(None) => return Ok("standby: nobody leads yet".to_owned()),
            Standing::Leader => "leader",
            Standing::Alone => "the only controller",
        };
        if state.watches.is_empty() {
            return Err(format!("{first}; the loop has not started yet"));
        }
        let faults: Vec<String> = state.watches.iter().filter_map(|(kind, watch)| watch.fault(kind)).collect();
        if faults.is_empty() { Ok(first.to_owned()) } else { Err(faults.join("\n")) }
    }
}

impl Watch {
    fn fault(&self, kind: &str) -> Option<String> {
        match &self.fault {
            Some(fault) if fault.missing => Some(format!(
                "{kind} is not served: install the CustomResourceDefinitions (poolkeeper crd | kubectl apply -f -)"
            )),
            Some(fault) => Some(format!("the watch on {kind} is lost: {}", fault.text)),
            None if !self.listed => Some(format!("{kind}: the first list is under way")),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn it_is_alive_unless_the_loop_hangs() {
        let health = Health::default();
        assert!(health.live(seconds(1000)).is_ok(), "a standby has no loop");
        health.beat(seconds(1000));
        health.follows("Worker");
        health.failed("Worker", false, "the API server is away".to_owned());
        assert!(health.live(seconds(1060)).is_ok());
        assert!(health.live(seconds(1061)).unwrap_err().contains("61s"));
        health.ended();
        assert!(health.live(seconds(9000)).is_ok());
    }

    #[test]
    fn it_is_ready_when_it_leads_and_sees_all_or_when_it_stands_by() {
        let health = Health::default();
        assert!(health.ready().is_err());
        assert!(health.stands(Standing::Standby(Some("a".to_owned()))));
        assert!(!health.stands(Standing::Standby(Some("a".to_owned()))), "that is no news");
        assert_eq!(health.ready().unwrap(), "standby: a leads");
        health.stands(Standing::Leader);
        assert!(health.ready().is_err(), "no watch yet");
        for kind in ["ContainerPool", "Worker"] {
            health.follows(kind);
        }
        health.listed("Worker");
        assert_eq!(health.ready().unwrap_err(), "ContainerPool: the first list is under way");
        assert!(health.failed("ContainerPool", true, "404".to_owned()));
        assert!(!health.failed("ContainerPool", true, "404".to_owned()), "that is no news");
        assert!(health.failed("Worker", false, "reset".to_owned()));
        let why = health.ready().unwrap_err();
        assert!(why.contains("ContainerPool is not served") && why.contains("watch on Worker is lost: reset"), "{why}");
        assert!(health.connected("Worker") && health.listed("ContainerPool"));
        assert_eq!(health.ready().unwrap(), "leader");
    }
}
