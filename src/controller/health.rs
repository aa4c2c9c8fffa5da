//! The state that the probes report. The loop, its watches and the election write it; the server of the probes reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A loop without a turn for this long hangs. It turns at least every 30 s, to look at the clock.
const HANGS: Duration = Duration::from_secs(60);

/// The role of this process in the election.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// The Lease has not been read yet.
    #[default]
    Starting,
    /// The Lease cannot be read or written, with the reason.
    Failing(String),
    /// Another process leads, with its identity if it is known.
    Standby(Option<String>),
    /// This process leads.
    Leader,
    /// There is no election.
    Alone,
}

/// The state that the probes report. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Monotonic time of the loop's last turn. None: no loop should run.
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
    /// Whether the server does not serve the kind.
    missing: bool,
    text: String,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a turn of the loop.
    pub fn beat(&self, now: Duration) {
        self.lock().beat = Some(now);
    }

    /// Records the end of the loop. Nothing is watched any more.
    pub fn ended(&self) {
        let mut state = self.lock();
        state.beat = None;
        state.watches.clear();
    }

    /// Records the role of this process. True if it is new.
    pub fn stands(&self, standing: Standing) -> bool {
        let old = std::mem::replace(&mut self.lock().standing, standing.clone());
        old != standing
    }

    /// The role of this process.
    pub fn standing(&self) -> Standing {
        self.lock().standing.clone()
    }

    /// Records that this kind is going to be watched.
    pub fn follows(&self, kind: &str) {
        self.lock().watches.entry(kind.to_owned()).or_default();
    }

    /// Records a complete list of the kind. True if the watch had failed before.
    pub fn listed(&self, kind: &str) -> bool {
        let mut state = self.lock();
        let Some(watch) = state.watches.get_mut(kind) else { return false };
        watch.listed = true;
        watch.fault.take().is_some()
    }

    /// Records that the watch on the kind is open. True if it had failed before.
    pub fn connected(&self, kind: &str) -> bool {
        self.lock().watches.get_mut(kind).is_some_and(|watch| watch.fault.take().is_some())
    }

    /// Records a failure of the watch on the kind. `missing`: the server does not serve the kind. True if that is new.
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
    /// The reason why it does not work.
    pub fn live(&self, now: Duration) -> Result<String, String> {
        match self.lock().beat.map(|beat| now.saturating_sub(beat)) {
            Some(age) if age > HANGS => Err(format!("the controller's loop did not turn for {}s", age.as_secs())),
            _ => Ok("ok".to_owned()),
        }
    }

    /// Whether this process does its work, or would as soon as it leads.
    ///
    /// # Errors
    /// The reasons why it does not, a line each.
    pub fn ready(&self) -> Result<String, String> {
        let state = self.lock();
        let first = match &state.standing {
            Standing::Starting => return Err("the Lease was not read yet".to_owned()),
            Standing::Failing(why) => return Err(why.clone()),
            Standing::Standby(Some(holder)) => return Ok(format!("standby: {holder} leads")),
            Standing::Standby(None) => return Ok("standby: there is no leader yet".to_owned()),
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

/// What is wrong and what to do if the API server does not know a kind.
pub(super) fn not_served(kind: &str) -> String {
    format!("{kind} is not served: install the CustomResourceDefinitions (poolkeeper crd | kubectl apply -f -)")
}

impl Watch {
    fn fault(&self, kind: &str) -> Option<String> {
        match &self.fault {
            Some(fault) if fault.missing => Some(not_served(kind)),
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
        assert!(!health.stands(Standing::Standby(Some("a".to_owned()))), "that is not new");
        assert_eq!(health.ready().unwrap(), "standby: a leads");
        health.stands(Standing::Leader);
        assert!(health.ready().is_err(), "no watch yet");
        for kind in ["ContainerPool", "Worker"] {
            health.follows(kind);
        }
        health.listed("Worker");
        assert_eq!(health.ready().unwrap_err(), "ContainerPool: the first list is under way");
        assert!(health.failed("ContainerPool", true, "404".to_owned()));
        assert!(!health.failed("ContainerPool", true, "404".to_owned()), "that is not new");
        assert!(health.failed("Worker", false, "reset".to_owned()));
        let why = health.ready().unwrap_err();
        assert!(why.contains("ContainerPool is not served") && why.contains("watch on Worker is lost: reset"), "{why}");
        assert!(health.connected("Worker") && health.listed("ContainerPool"));
        assert_eq!(health.ready().unwrap(), "leader");
    }
}
